//! The verdict of Bitcoin Core's own script interpreter on a spend (libbitcoinconsensus).

use bitcoinconsensus::{verify_with_flags, Error, Utxo, VERIFY_ALL_PRE_TAPROOT, VERIFY_TAPROOT};

use super::{transaction, Prevout};
use crate::edge::{Fault, Outcome};

/// Refuses an input whose script or witness is invalid, or whose index has no prevout.
pub fn verify_input(raw: &[u8], prevouts: &[Prevout], index: usize) -> Outcome<()> {
    let tx = transaction::parse(raw)?;
    if tx.input.len() != prevouts.len() {
        return Err(Fault::input(format!(
            "prevouts: got {}, expected {}, one for each input",
            prevouts.len(),
            tx.input.len()
        )));
    }
    let Some((sats, script)) = prevouts.get(index) else {
        return Err(Fault::input(format!("input {index} of {}", prevouts.len())));
    };
    let mut spent = Vec::with_capacity(prevouts.len());
    for (sats, script) in prevouts {
        let too_large = |_| Fault::input("prevouts: an amount or a script is too large");
        spent.push(Utxo {
            // Both live as long as `prevouts`, which outlives the call.
            script_pubkey: script.as_ptr(),
            script_pubkey_len: u32::try_from(script.len()).map_err(too_large)?,
            value: i64::try_from(*sats).map_err(too_large)?,
        });
    }
    let flags = VERIFY_ALL_PRE_TAPROOT | VERIFY_TAPROOT;
    match verify_with_flags(script, *sats, raw, Some(&spent), index, flags) {
        Ok(()) => Ok(()),
        // The library's word for "the script failed" is that it set no error of its own.
        Err(Error::ERR_SCRIPT) => Err(Fault::Script(format!(
            "input {index}: script or witness is invalid"
        ))),
        Err(other) => Err(Fault::input(format!("input {index}: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::absolute::LockTime;
    use bitcoin::consensus::serialize;
    use bitcoin::transaction::Version;
    use bitcoin::{Amount, ScriptBuf, Transaction, TxIn, TxOut};
    use pyo3::types::PyBytes;
    use pyo3::Python;

    /// The verdict on an input without witness that spends an output with this script.
    fn verdict(script: &[u8]) -> Outcome<()> {
        let raw = serialize(&Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn::default()],
            output: vec![TxOut {
                value: Amount::ZERO,
                script_pubkey: ScriptBuf::new(),
            }],
        });
        Python::initialize();
        let prevouts = Python::attach(|py| vec![(1_000, PyBytes::new(py, script).into())]);
        verify_input(&raw, &prevouts, 0)
    }

    #[test]
    fn runs_scripts() {
        assert_eq!(verdict(&[0x51]), Ok(()));
        assert!(matches!(verdict(&[0x00]), Err(Fault::Script(_))));
        let nobody = [&[0x51, 0x20][..], &[7; 32]].concat();
        assert!(matches!(verdict(&nobody), Err(Fault::Script(_))));
    }
}
