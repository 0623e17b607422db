//! Groth16 over BN254, Poseidon, and iden3's file formats, for Python.
//!
//! Field elements cross as 32 big-endian bytes below r; a list that is returned is joined.

use ark_bn254::Fr;
use ark_ff::{BigInteger, PrimeField};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::edge::{outside, Fault, Outcome};

mod affine;
pub(crate) mod babyjub;
mod eddsa;
pub(crate) mod field;
pub(crate) mod gnark;
mod montgomery;
mod msm;
pub(crate) mod points;
mod poseidon;
pub(crate) mod program;
mod prover;
pub(crate) mod proving_key;
pub(crate) mod ptau;
pub(crate) mod r1cs;
pub(crate) mod reader;
mod scalars;
mod setup;
mod sparse;
mod verifier;
pub(crate) mod wtns;
pub(crate) mod zkey;

type Raw<'py> = Bound<'py, PyBytes>;

fn joined(elements: &[Fr]) -> Vec<u8> {
    elements.iter().flat_map(field::to_be).collect()
}

/// Poseidon of 1 to 16 elements of 32 big-endian bytes.
#[pyfunction]
#[pyo3(name = "poseidon")]
fn poseidon_hash<'py>(py: Python<'py>, inputs: Vec<PyBackedBytes>) -> PyResult<Raw<'py>> {
    let hash = outside(py, || poseidon::hash(&field::list_from_be(&inputs)?))?;
    Ok(PyBytes::new(py, &field::to_be(&hash)))
}

/// Full rounds, partial rounds, round constants and the MDS matrix, row by row.
#[pyfunction]
fn poseidon_constants<'py>(
    py: Python<'py>,
    t: usize,
) -> PyResult<(usize, usize, Raw<'py>, Raw<'py>)> {
    let known = outside(py, || poseidon::constants(t))?;
    Ok((
        poseidon::FULL_ROUNDS,
        known.partial,
        PyBytes::new(py, &joined(&known.rounds)),
        PyBytes::new(py, &joined(&known.mds)),
    ))
}

/// Two coordinates from 32 big-endian bytes each.
fn pair(coordinates: &[PyBackedBytes]) -> Outcome<[Fr; 2]> {
    match field::list_from_be(coordinates)?.as_slice() {
        [x, y] => Ok([*x, *y]),
        _ => Err(Fault::input("BabyJubJub: a point is x and y")),
    }
}

/// The sum of two points of BabyJubJub.
#[pyfunction]
fn babyjub_add<'py>(
    py: Python<'py>,
    left: Vec<PyBackedBytes>,
    right: Vec<PyBackedBytes>,
) -> PyResult<Raw<'py>> {
    let raw = outside(py, || {
        let ([x, y], [u, v]) = (pair(&left)?, pair(&right)?);
        let sum = babyjub::point(&x, &y)? + babyjub::point(&u, &v)?;
        Ok(joined(&babyjub::coordinates(&sum)?))
    })?;
    Ok(PyBytes::new(py, &raw))
}

/// A point of BabyJubJub times a number of 32 big-endian bytes.
#[pyfunction]
fn babyjub_times<'py>(
    py: Python<'py>,
    point: Vec<PyBackedBytes>,
    number: PyBackedBytes,
) -> PyResult<Raw<'py>> {
    let raw = outside(py, || {
        let [x, y] = pair(&point)?;
        let product = babyjub::times(&babyjub::point(&x, &y)?, &number)?;
        Ok(joined(&babyjub::coordinates(&product)?))
    })?;
    Ok(PyBytes::new(py, &raw))
}

/// The 32 bytes that stand for a point.
#[pyfunction]
fn babyjub_pack<'py>(py: Python<'py>, point: Vec<PyBackedBytes>) -> PyResult<Raw<'py>> {
    let raw = outside(py, || {
        let [x, y] = pair(&point)?;
        let _ = babyjub::point(&x, &y)?;
        Ok(babyjub::pack(&x, &y))
    })?;
    Ok(PyBytes::new(py, &raw))
}

/// The point that 32 bytes stand for.
#[pyfunction]
fn babyjub_unpack<'py>(py: Python<'py>, packed: PyBackedBytes) -> PyResult<Raw<'py>> {
    let raw = outside(py, || Ok(joined(&babyjub::unpack(&packed)?)))?;
    Ok(PyBytes::new(py, &raw))
}

/// The public key of 32 secret bytes.
#[pyfunction]
fn eddsa_public_key<'py>(py: Python<'py>, secret: PyBackedBytes) -> PyResult<Raw<'py>> {
    let raw = outside(py, || Ok(joined(&eddsa::public_key(&secret)?)))?;
    Ok(PyBytes::new(py, &raw))
}

/// Signs one element: R8's x and y, and S.
#[pyfunction]
fn eddsa_sign<'py>(
    py: Python<'py>,
    secret: PyBackedBytes,
    message: PyBackedBytes,
) -> PyResult<Raw<'py>> {
    let raw = outside(py, || {
        let signed = eddsa::sign(&secret, &field::from_be(&message)?)?;
        let mut raw = joined(&signed.nonce);
        raw.extend(signed.s.into_bigint().to_bytes_be());
        Ok(raw)
    })?;
    Ok(PyBytes::new(py, &raw))
}

/// Checks a signature over one element.
#[pyfunction]
fn eddsa_verify(
    py: Python<'_>,
    key: Vec<PyBackedBytes>,
    message: PyBackedBytes,
    nonce: Vec<PyBackedBytes>,
    s: PyBackedBytes,
) -> PyResult<()> {
    outside(py, || {
        eddsa::verify(&pair(&key)?, &field::from_be(&message)?, &pair(&nonce)?, &s)
    })
}

/// Wires, public outputs, public inputs, private inputs, labels, constraints.
#[pyfunction]
fn r1cs_info(
    py: Python<'_>,
    r1cs: PyBackedBytes,
) -> PyResult<(usize, usize, usize, usize, u64, usize)> {
    let system = outside(py, || r1cs::R1cs::parse(&r1cs))?;
    Ok((
        system.wires,
        system.public_outputs,
        system.public_inputs,
        system.private_inputs,
        system.labels,
        system.constraints,
    ))
}

/// The index of the first constraint that a witness breaks.
#[pyfunction]
fn r1cs_check(py: Python<'_>, r1cs: PyBackedBytes, wtns: PyBackedBytes) -> PyResult<Option<usize>> {
    outside(py, || {
        let system = r1cs::R1cs::parse(&r1cs)?;
        Ok(system.products(&wtns::parse(&wtns)?, 0)?.first_failing())
    })
}

/// All wires of a witness.
#[pyfunction]
fn wtns_wires<'py>(py: Python<'py>, wtns: PyBackedBytes) -> PyResult<Raw<'py>> {
    let raw = outside(py, || Ok(joined(&wtns::parse(&wtns)?)))?;
    Ok(PyBytes::new(py, &raw))
}

/// Evaluates a witness program: all wires as `.wtns` bytes.
#[pyfunction]
fn program_run<'py>(
    py: Python<'py>,
    program: PyBackedBytes,
    inputs: Vec<PyBackedBytes>,
) -> PyResult<Raw<'py>> {
    let raw = outside(py, || {
        let wires = program::Program::parse(&program)?.run(&field::list_from_be(&inputs)?)?;
        Ok(wtns::serialize(&wires))
    })?;
    Ok(PyBytes::new(py, &raw))
}

/// Proving key and verifying key, a function of circuit and seed.
#[pyfunction]
fn groth16_setup<'py>(
    py: Python<'py>,
    r1cs: PyBackedBytes,
    seed: PyBackedBytes,
) -> PyResult<(Raw<'py>, Raw<'py>)> {
    let (pk, vk) = outside(py, || {
        let keys = setup::keys(&r1cs, &seed)?;
        Ok((proving_key::serialize(&keys)?, points::serialize(&keys.vk)?))
    })?;
    Ok((PyBytes::new(py, &pk), PyBytes::new(py, &vk)))
}

/// Refuses a key that binds less than it seems to.
#[pyfunction]
fn vk_check(py: Python<'_>, vk: PyBackedBytes, n_public: usize) -> PyResult<()> {
    outside(py, || points::check_key(&points::parse_key(&vk)?, n_public))
}

/// Checks one proof.
#[pyfunction]
fn groth16_verify(
    py: Python<'_>,
    vk: PyBackedBytes,
    publics: Vec<PyBackedBytes>,
    proof: PyBackedBytes,
) -> PyResult<()> {
    outside(py, || {
        let publics = field::list_from_be(&publics)?;
        verifier::verify(&vk, &publics, &points::parse_proof(&proof)?)
    })
}

/// Checks one proof in gnark's form, by a key in gnark's form.
#[pyfunction]
fn gnark_verify(
    py: Python<'_>,
    vk: PyBackedBytes,
    publics: Vec<PyBackedBytes>,
    proof: PyBackedBytes,
) -> PyResult<()> {
    outside(py, || {
        verifier::verify_gnark(&vk, &field::list_from_be(&publics)?, &proof)
    })
}

/// Checks many proofs in one equation.
#[pyfunction]
fn groth16_verify_batch(
    py: Python<'_>,
    statements: Vec<(PyBackedBytes, Vec<PyBackedBytes>, PyBackedBytes)>,
) -> PyResult<()> {
    outside(py, || {
        let read = |(key, publics, proof): &(PyBackedBytes, Vec<PyBackedBytes>, PyBackedBytes)| {
            Ok(verifier::Statement {
                key: key.to_vec(),
                publics: field::list_from_be(publics)?,
                proof: points::parse_proof(proof)?,
            })
        };
        let statements: Vec<_> = statements.iter().map(read).collect::<Outcome<_>>()?;
        verifier::verify_batch(&statements)
    })
}

/// Affine coordinates of a key's points.
#[pyfunction]
fn vk_points<'py>(py: Python<'py>, vk: PyBackedBytes) -> PyResult<Raw<'py>> {
    let raw = outside(py, || Ok(points::key_coordinates(&points::parse_key(&vk)?)))?;
    Ok(PyBytes::new(py, &raw))
}

/// A key from affine coordinates.
#[pyfunction]
fn vk_from_points<'py>(py: Python<'py>, coordinates: Vec<PyBackedBytes>) -> PyResult<Raw<'py>> {
    let raw = outside(py, || {
        points::serialize(&points::key_from_coordinates(&points::join(&coordinates)?)?)
    })?;
    Ok(PyBytes::new(py, &raw))
}

/// Affine coordinates of a proof's points.
#[pyfunction]
fn proof_points<'py>(py: Python<'py>, proof: PyBackedBytes) -> PyResult<Raw<'py>> {
    let raw = outside(py, || {
        Ok(points::proof_coordinates(&points::parse_proof(&proof)?))
    })?;
    Ok(PyBytes::new(py, &raw))
}

/// A proof from affine coordinates.
#[pyfunction]
fn proof_from_points<'py>(py: Python<'py>, coordinates: Vec<PyBackedBytes>) -> PyResult<Raw<'py>> {
    let raw = outside(py, || {
        points::serialize(&points::proof_from_coordinates(&points::join(
            &coordinates,
        )?)?)
    })?;
    Ok(PyBytes::new(py, &raw))
}

/// Proves a witness: the proof, and the public inputs.
fn prove<'py>(
    py: Python<'py>,
    prover: &prover::Prover,
    wires: impl FnOnce() -> Outcome<Vec<Fr>> + Send,
) -> PyResult<(Raw<'py>, Raw<'py>)> {
    let (proof, publics) = outside(py, || {
        let (proof, publics) = prover.prove(&wires()?)?;
        Ok((points::serialize(&proof)?, joined(&publics)))
    })?;
    Ok((PyBytes::new(py, &proof), PyBytes::new(py, &publics)))
}

/// Proves any witness in iden3's format.
#[pyfunction]
fn prove_wtns<'py>(
    py: Python<'py>,
    pk: PyBackedBytes,
    r1cs: PyBackedBytes,
    wtns: PyBackedBytes,
) -> PyResult<(Raw<'py>, Raw<'py>)> {
    let prover = outside(py, || prover::Prover::new(&r1cs, &pk))?;
    prove(py, &prover, || wtns::parse(&wtns))
}

/// A circuit, its proving key and its witness program.
#[pyclass(frozen, module = "grail._native")]
struct Prover {
    prover: prover::Prover,
    program: program::Program,
}

#[pymethods]
impl Prover {
    #[new]
    fn new(
        py: Python<'_>,
        r1cs: PyBackedBytes,
        pk: PyBackedBytes,
        program: PyBackedBytes,
    ) -> PyResult<Self> {
        outside(py, || {
            let program = program::Program::parse(&program)?;
            let prover = prover::Prover::new(&r1cs, &pk)?;
            if program.wires() != prover.wires() {
                return Err(Fault::input(format!(
                    "witness program: computes {} wires, the circuit has {}",
                    program.wires(),
                    prover.wires()
                )));
            }
            Ok(Self { prover, program })
        })
    }

    /// Evaluates the program: all wires as `.wtns` bytes.
    fn witness<'py>(&self, py: Python<'py>, inputs: Vec<PyBackedBytes>) -> PyResult<Raw<'py>> {
        let raw = outside(py, || {
            let wires = self.program.run(&field::list_from_be(&inputs)?)?;
            Ok(wtns::serialize(&wires))
        })?;
        Ok(PyBytes::new(py, &raw))
    }

    /// Evaluates and proves.
    fn prove<'py>(
        &self,
        py: Python<'py>,
        inputs: Vec<PyBackedBytes>,
    ) -> PyResult<(Raw<'py>, Raw<'py>)> {
        prove(py, &self.prover, || {
            self.program.run(&field::list_from_be(&inputs)?)
        })
    }

    /// Proves a witness that was made elsewhere.
    fn prove_wtns<'py>(
        &self,
        py: Python<'py>,
        wtns: PyBackedBytes,
    ) -> PyResult<(Raw<'py>, Raw<'py>)> {
        prove(py, &self.prover, || wtns::parse(&wtns))
    }
}

/// A proving key of snarkjs, loaded once for many proofs.
#[pyclass(frozen, module = "grail._native")]
struct Zkey(zkey::Zkey);

#[pymethods]
impl Zkey {
    #[new]
    fn new(py: Python<'_>, zkey: PyBackedBytes) -> PyResult<Self> {
        outside(py, || Ok(Self(zkey::Zkey::parse(&zkey)?)))
    }

    /// Wires, public inputs, rows of the domain, coefficients.
    fn info(&self) -> (usize, usize, usize, usize) {
        let publics = self.0.vk().gamma_abc_g1.len().saturating_sub(1);
        (self.0.wires, publics, self.0.domain, self.0.terms())
    }

    /// The verifying key's bytes.
    fn vk<'py>(&self, py: Python<'py>) -> PyResult<Raw<'py>> {
        let raw = outside(py, || points::serialize(self.0.vk()))?;
        Ok(PyBytes::new(py, &raw))
    }

    /// Proves a witness: the proof, and the public inputs.
    fn prove<'py>(&self, py: Python<'py>, wtns: PyBackedBytes) -> PyResult<(Raw<'py>, Raw<'py>)> {
        let (proof, publics) = outside(py, || {
            let (proof, publics) = self.0.prove(&wtns::parse(&wtns)?)?;
            Ok((points::serialize(&proof)?, joined(&publics)))
        })?;
        Ok((PyBytes::new(py, &proof), PyBytes::new(py, &publics)))
    }
}

/// Powers of tau, read and checked: power, the ceremony's power, contributions, and whether the
/// points that a setup needs (phase 2) are there.
#[pyfunction]
fn ptau_info(py: Python<'_>, ptau: PyBackedBytes) -> PyResult<(usize, usize, usize, bool)> {
    outside(py, || {
        let found = ptau::Ptau::parse(&ptau)?;
        found.check()?;
        Ok((
            found.power,
            found.ceremony_power,
            found.contributions,
            found.prepared(),
        ))
    })
}

/// Adds this module's functions to the extension.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(poseidon_hash, module)?)?;
    module.add_function(wrap_pyfunction!(poseidon_constants, module)?)?;
    module.add_function(wrap_pyfunction!(babyjub_add, module)?)?;
    module.add_function(wrap_pyfunction!(babyjub_times, module)?)?;
    module.add_function(wrap_pyfunction!(babyjub_pack, module)?)?;
    module.add_function(wrap_pyfunction!(babyjub_unpack, module)?)?;
    module.add_function(wrap_pyfunction!(eddsa_public_key, module)?)?;
    module.add_function(wrap_pyfunction!(eddsa_sign, module)?)?;
    module.add_function(wrap_pyfunction!(eddsa_verify, module)?)?;
    module.add_function(wrap_pyfunction!(r1cs_info, module)?)?;
    module.add_function(wrap_pyfunction!(r1cs_check, module)?)?;
    module.add_function(wrap_pyfunction!(wtns_wires, module)?)?;
    module.add_function(wrap_pyfunction!(program_run, module)?)?;
    module.add_function(wrap_pyfunction!(groth16_setup, module)?)?;
    module.add_function(wrap_pyfunction!(groth16_verify, module)?)?;
    module.add_function(wrap_pyfunction!(gnark_verify, module)?)?;
    module.add_function(wrap_pyfunction!(groth16_verify_batch, module)?)?;
    module.add_function(wrap_pyfunction!(vk_check, module)?)?;
    module.add_function(wrap_pyfunction!(vk_points, module)?)?;
    module.add_function(wrap_pyfunction!(vk_from_points, module)?)?;
    module.add_function(wrap_pyfunction!(proof_points, module)?)?;
    module.add_function(wrap_pyfunction!(proof_from_points, module)?)?;
    module.add_function(wrap_pyfunction!(prove_wtns, module)?)?;
    module.add_function(wrap_pyfunction!(ptau_info, module)?)?;
    module.add_class::<Zkey>()?;
    module.add_class::<Prover>()
}
