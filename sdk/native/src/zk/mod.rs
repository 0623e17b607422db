//! Groth16 over BN254, Poseidon, and iden3's file formats, for Python.

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::edge::outside;

mod field;
mod poseidon;

type Raw<'py> = Bound<'py, PyBytes>;

/// Poseidon of 1 to 16 elements of 32 big-endian bytes.
#[pyfunction]
#[pyo3(name = "poseidon")]
fn poseidon_hash<'py>(py: Python<'py>, inputs: Vec<PyBackedBytes>) -> PyResult<Raw<'py>> {
    let hash = outside(py, || poseidon::hash(&field::list_from_be(&inputs)?))?;
    Ok(PyBytes::new(py, &field::to_be(&hash)))
}

/// Full rounds, partial rounds, round constants and the MDS matrix (32-byte elements in a row).
#[pyfunction]
fn poseidon_constants<'py>(
    py: Python<'py>,
    t: usize,
) -> PyResult<(usize, usize, Raw<'py>, Raw<'py>)> {
    let known = outside(py, || poseidon::constants(t))?;
    let flat = |elements: &[ark_bn254::Fr]| -> Vec<u8> {
        elements.iter().flat_map(field::to_be).collect()
    };
    Ok((
        poseidon::FULL_ROUNDS,
        known.partial,
        PyBytes::new(py, &flat(&known.rounds)),
        PyBytes::new(py, &flat(&known.mds)),
    ))
}

/// Adds this module's functions to the extension.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(poseidon_hash, module)?)?;
    module.add_function(wrap_pyfunction!(poseidon_constants, module)?)?;
    Ok(())
}
