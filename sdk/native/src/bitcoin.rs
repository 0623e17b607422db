//! Transactions, taproot, addresses and PSBTs by rust-bitcoin; script verdicts by Bitcoin Core's
//! own interpreter (libbitcoinconsensus).

pub(crate) mod address;
mod consensus;
pub(crate) mod psbt;
mod sighash;
mod taproot;
pub(crate) mod transaction;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::edge::outside;

/// A previous output as Python hands it over: satoshi and scriptPubKey.
type Prevout = (u64, PyBackedBytes);

/// Version, inputs, outputs, lock time, txid, weight.
#[pyfunction]
fn tx_parse(py: Python<'_>, raw: &[u8]) -> PyResult<transaction::Fields> {
    outside(py, || transaction::fields(raw))
}

/// The signature hash of BIP 341 for the key path, or for a leaf (BIP 342).
#[pyfunction]
#[pyo3(signature = (raw, prevouts, index, sighash_type, leaf_hash=None))]
fn sighash_taproot(
    py: Python<'_>,
    raw: &[u8],
    prevouts: Vec<Prevout>,
    index: usize,
    sighash_type: u8,
    leaf_hash: Option<[u8; 32]>,
) -> PyResult<[u8; 32]> {
    outside(py, || {
        sighash::taproot(raw, &prevouts, index, sighash_type, leaf_hash)
    })
}

/// The signature hash of BIP 143 for a P2WPKH input.
#[pyfunction]
fn sighash_p2wpkh(
    py: Python<'_>,
    raw: &[u8],
    prevout: Prevout,
    index: usize,
    sighash_type: u8,
) -> PyResult<[u8; 32]> {
    outside(py, || sighash::p2wpkh(raw, &prevout, index, sighash_type))
}

/// Output key, parity, Merkle root (empty without leaves), and per leaf its hash and control block.
///
/// Leaves are (depth, leaf version, script) in the order of the tree, left to right.
#[pyfunction]
fn taproot_output(
    py: Python<'_>,
    internal_key: &[u8],
    leaves: Vec<(u8, u8, PyBackedBytes)>,
) -> PyResult<taproot::Output> {
    outside(py, || taproot::output(internal_key, &leaves))
}

/// Refuses a leaf and a control block that do not lead to the key of an output's script.
#[pyfunction]
fn taproot_check_leaf(
    py: Python<'_>,
    output: &[u8],
    script: &[u8],
    control_block: &[u8],
) -> PyResult<()> {
    outside(py, || taproot::check_leaf(output, script, control_block))
}

/// Refuses bytes that are no x-only public key (BIP 340).
#[pyfunction]
fn xonly_check(py: Python<'_>, key: &[u8]) -> PyResult<()> {
    outside(py, || taproot::xonly(key).map(|_| ()))
}

/// The address of a scriptPubKey on the chain with this human-readable prefix.
#[pyfunction]
fn address_encode(py: Python<'_>, script: &[u8], hrp: &str) -> PyResult<String> {
    outside(py, || address::encode(script, hrp))
}

/// The scriptPubKey of an address of the chain with this human-readable prefix.
#[pyfunction]
fn address_decode(py: Python<'_>, text: &str, hrp: &str) -> PyResult<Vec<u8>> {
    outside(py, || address::decode(text, hrp))
}

/// The maps of a PSBT (global, inputs, outputs), checked; each a list of (type, key data, value).
#[pyfunction]
fn psbt_read(py: Python<'_>, raw: &[u8]) -> PyResult<psbt::Maps> {
    outside(py, || psbt::read(raw))
}

/// Refuses an input whose script or witness is invalid by consensus rules, taproot among them.
#[pyfunction]
fn verify_input(py: Python<'_>, raw: &[u8], prevouts: Vec<Prevout>, index: usize) -> PyResult<()> {
    outside(py, || consensus::verify_input(raw, &prevouts, index))
}

/// Adds this module's functions to the extension.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(tx_parse, module)?)?;
    module.add_function(wrap_pyfunction!(sighash_taproot, module)?)?;
    module.add_function(wrap_pyfunction!(sighash_p2wpkh, module)?)?;
    module.add_function(wrap_pyfunction!(taproot_output, module)?)?;
    module.add_function(wrap_pyfunction!(taproot_check_leaf, module)?)?;
    module.add_function(wrap_pyfunction!(xonly_check, module)?)?;
    module.add_function(wrap_pyfunction!(address_encode, module)?)?;
    module.add_function(wrap_pyfunction!(address_decode, module)?)?;
    module.add_function(wrap_pyfunction!(psbt_read, module)?)?;
    module.add_function(wrap_pyfunction!(verify_input, module)?)?;
    Ok(())
}
