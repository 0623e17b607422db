//! What a signature signs: BIP 341 and 342, and BIP 143 for P2WPKH.

use bitcoin::hashes::Hash;
use bitcoin::sighash::{EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::{Amount, Script, ScriptBuf, TapLeafHash, TxOut};

use super::{transaction, Prevout};
use crate::edge::{Fault, Outcome};

/// A leaf's signatures commit to the last OP_CODESEPARATOR; this says that there was none.
const NO_CODE_SEPARATOR: u32 = 0xffff_ffff;

/// Python's pairs as rust-bitcoin's outputs.
pub fn outputs(prevouts: &[Prevout]) -> Vec<TxOut> {
    prevouts
        .iter()
        .map(|(sats, script)| TxOut {
            value: Amount::from_sat(*sats),
            script_pubkey: ScriptBuf::from_bytes(script.to_vec()),
        })
        .collect()
}

/// The hash for the key path, or for `leaf_hash`; no annex.
pub fn taproot(
    raw: &[u8],
    prevouts: &[Prevout],
    index: usize,
    sighash_type: u8,
    leaf_hash: Option<[u8; 32]>,
) -> Outcome<[u8; 32]> {
    let tx = transaction::parse(raw)?;
    // rust-bitcoin hashes an index past the end as if it were there.
    if index >= tx.input.len() {
        return Err(Fault::input(format!(
            "sighash: input {index} of {}",
            tx.input.len()
        )));
    }
    let kind = TapSighashType::from_consensus_u8(sighash_type)
        .map_err(|error| Fault::input(format!("sighash type: {error}")))?;
    let leaf = leaf_hash.map(|hash| (TapLeafHash::from_byte_array(hash), NO_CODE_SEPARATOR));
    SighashCache::new(&tx)
        .taproot_signature_hash(index, &Prevouts::All(&outputs(prevouts)), None, leaf, kind)
        .map(|hash| hash.to_byte_array())
        .map_err(|error| Fault::input(format!("sighash: {error}")))
}

/// The hash for a P2WPKH input.
pub fn p2wpkh(raw: &[u8], prevout: &Prevout, index: usize, sighash_type: u8) -> Outcome<[u8; 32]> {
    let tx = transaction::parse(raw)?;
    let kind = EcdsaSighashType::from_standard(u32::from(sighash_type))
        .map_err(|error| Fault::input(format!("sighash type: {error}")))?;
    let (sats, script) = prevout;
    SighashCache::new(&tx)
        .p2wpkh_signature_hash(
            index,
            Script::from_bytes(script),
            Amount::from_sat(*sats),
            kind,
        )
        .map(|hash| hash.to_byte_array())
        .map_err(|error| Fault::input(format!("sighash: {error}")))
}
