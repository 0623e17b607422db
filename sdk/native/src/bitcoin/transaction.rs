//! Reading a transaction: only its one encoding is taken.

use bitcoin::consensus::encode::Error;
use bitcoin::consensus::{deserialize_partial, serialize};
use bitcoin::hashes::Hash;
use bitcoin::io::ErrorKind;
use bitcoin::{Amount, Transaction};

use crate::edge::{Fault, Kind, Outcome};

/// The limits of a block: weight in units, and so never more bytes than that.
const MAX_WEIGHT: usize = 4_000_000;

/// Txid, index, script, sequence, witness.
pub type Input = (Vec<u8>, u32, Vec<u8>, u32, Vec<Vec<u8>>);

/// Version, inputs, outputs (satoshi, script), lock time, txid, weight.
pub type Fields = (u32, Vec<Input>, Vec<(u64, Vec<u8>)>, u32, Vec<u8>, u64);

/// The transaction that `raw` encodes.
pub fn parse(raw: &[u8]) -> Outcome<Transaction> {
    let fault = |kind, text: String| Fault::decode(kind, format!("transaction: {text}"));
    if raw.len() > MAX_WEIGHT {
        let text = format!("got {} bytes, expected at most {MAX_WEIGHT}", raw.len());
        return Err(fault(Kind::TooLarge, text));
    }
    let (tx, read): (Transaction, usize) =
        deserialize_partial(raw).map_err(|error| match kind_of(&error) {
            Kind::Truncated => fault(
                Kind::Truncated,
                format!("the {} bytes end too early", raw.len()),
            ),
            kind => fault(kind, error.to_string()),
        })?;
    if read != raw.len() {
        let text = format!("{} bytes after the end", raw.len().saturating_sub(read));
        return Err(fault(Kind::TrailingBytes, text));
    }
    if tx.input.is_empty() || tx.output.is_empty() {
        let text = "expected at least one input and one output";
        return Err(fault(Kind::DecodeError, text.to_owned()));
    }
    if let Some(output) = tx
        .output
        .iter()
        .find(|output| output.value > Amount::MAX_MONEY)
    {
        let text = format!(
            "an output of {} sat, above all money",
            output.value.to_sat()
        );
        return Err(fault(Kind::DecodeError, text));
    }
    if tx.weight().to_wu() > MAX_WEIGHT as u64 {
        let text = format!(
            "weight {}, expected at most {MAX_WEIGHT}",
            tx.weight().to_wu()
        );
        return Err(fault(Kind::TooLarge, text));
    }
    if serialize(&tx) != raw {
        let text = "another encoding is the canonical one";
        return Err(fault(Kind::NotCanonical, text.to_owned()));
    }
    Ok(tx)
}

/// Which of our kinds an error of rust-bitcoin's decoder is.
pub fn kind_of(error: &Error) -> Kind {
    match error {
        Error::Io(io) if io.kind() == ErrorKind::UnexpectedEof => Kind::Truncated,
        Error::NonMinimalVarInt => Kind::NotCanonical,
        Error::OversizedVectorAllocation { .. } => Kind::TooLarge,
        // BIP 144: with no witness the marker must be left out.
        Error::ParseFailed(text) if text.contains("no witnesses") => Kind::NotCanonical,
        _ => Kind::DecodeError,
    }
}

/// Every field, in plain values.
pub fn fields(raw: &[u8]) -> Outcome<Fields> {
    let tx = parse(raw)?;
    let txid = tx.compute_txid().to_byte_array().to_vec();
    let weight = tx.weight().to_wu();
    let inputs = tx
        .input
        .into_iter()
        .map(|input| {
            (
                input.previous_output.txid.to_byte_array().to_vec(),
                input.previous_output.vout,
                input.script_sig.into_bytes(),
                input.sequence.to_consensus_u32(),
                input.witness.to_vec(),
            )
        })
        .collect();
    let outputs = tx
        .output
        .into_iter()
        .map(|output| (output.value.to_sat(), output.script_pubkey.into_bytes()))
        .collect();
    // Bitcoin reads the four bytes as unsigned since Core 28; the bytes are the same.
    let version = u32::from_le_bytes(tx.version.0.to_le_bytes());
    let locktime = tx.lock_time.to_consensus_u32();
    Ok((version, inputs, outputs, locktime, txid, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One input, one output of 1 sat with an empty script.
    fn plain() -> Vec<u8> {
        let mut raw = vec![2, 0, 0, 0, 1];
        raw.extend([7; 36]);
        raw.extend([
            0, 0xfd, 0xff, 0xff, 0xff, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0,
        ]);
        raw
    }

    fn kind(raw: &[u8]) -> Option<Kind> {
        match parse(raw) {
            Err(Fault::Decode(kind, _)) => Some(kind),
            _ => None,
        }
    }

    #[test]
    fn reads_every_field() {
        let Ok((version, inputs, outputs, locktime, txid, weight)) = fields(&plain()) else {
            unreachable!("the transaction is well formed")
        };
        assert_eq!((version, locktime, txid.len()), (2, 9, 32));
        let input = (vec![7; 32], 0x0707_0707, vec![], 0xffff_fffd, vec![]);
        assert_eq!(inputs, vec![input]);
        assert_eq!(outputs, vec![(1, vec![])]);
        assert_eq!(weight, 4 * plain().len() as u64);
    }

    #[test]
    fn names_each_way_to_be_malformed() {
        let raw = plain();
        for size in 0..raw.len() {
            assert_eq!(
                kind(raw.get(..size).unwrap_or_default()),
                Some(Kind::Truncated)
            );
        }
        let mut long = raw.clone();
        long.push(0);
        assert_eq!(kind(&long), Some(Kind::TrailingBytes));
        assert_eq!(kind(&vec![0; MAX_WEIGHT + 1]), Some(Kind::TooLarge));
        let no_inputs = [&[2, 0, 0, 0, 0, 1, 0, 1][..], &[0; 13]].concat();
        assert_eq!(kind(&no_inputs), Some(Kind::DecodeError));
        let mut wide_count = raw.clone();
        wide_count.splice(4..5, [0xfd, 1, 0]);
        assert_eq!(kind(&wide_count), Some(Kind::NotCanonical));
        let mut idle_marker = raw.clone();
        idle_marker.splice(4..4, [0, 1]);
        idle_marker.splice(idle_marker.len() - 4..idle_marker.len() - 4, [0]);
        assert_eq!(kind(&idle_marker), Some(Kind::NotCanonical));
    }
}
