//! Reading a PSBT of version 0: one canonical order, an allow-list of fields, rust-bitcoin's checks
//! of each value.

use bitcoin::psbt::{Error, Psbt};
use bitcoin::TxIn;

use super::transaction;
use crate::edge::{Fault, Kind, Outcome};

const MAGIC: &[u8] = b"psbt\xff";

/// No larger than a block: a request that carries it must fit beside its evidence.
const MAX_BYTES: usize = 4_000_000;

/// A key's type, its data, the value.
pub type Pair = (u64, Vec<u8>, Vec<u8>);

/// Global map, a map per input, a map per output.
pub type Maps = (Vec<Pair>, Vec<Vec<Pair>>, Vec<Vec<Pair>>);

/// What is taken, per map. Left out on purpose: final scriptSigs (they would change the txid after
/// the digest was fixed), partial ECDSA signatures and their scripts, sighash types (the form of the
/// input says it), trees of outputs (no signer needs them), proprietary and unknown fields, and all
/// of version 2.
const GLOBAL: &[u64] = &[0x00];
const INPUT: &[u64] = &[0x00, 0x01, 0x08, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18];
const OUTPUT: &[u64] = &[0x05, 0x07];

const TAP_LEAF_SCRIPT: u64 = 0x15;

fn fault(kind: Kind, text: impl std::fmt::Display) -> Fault {
    Fault::decode(kind, format!("PSBT: {text}"))
}

/// What is left of the bytes.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, size: u64) -> Outcome<&'a [u8]> {
        let split = usize::try_from(size)
            .ok()
            .and_then(|size| self.0.split_at_checked(size));
        let Some((piece, rest)) = split else {
            let text = format!("{} bytes left, expected {size}", self.0.len());
            return Err(fault(Kind::Truncated, text));
        };
        self.0 = rest;
        Ok(piece)
    }

    fn compact_size(&mut self) -> Outcome<u64> {
        let mut uint = |size| {
            let piece = self.take(size)?;
            Ok(piece
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
        };
        let (value, least) = match uint(1)? {
            0xfd => (uint(2)?, 0xfd),
            0xfe => (uint(4)?, 0x1_0000),
            0xff => (uint(8)?, 0x1_0000_0000),
            small => (small, 0),
        };
        if value < least {
            return Err(fault(
                Kind::NotCanonical,
                format!("compact size {value} is too wide"),
            ));
        }
        Ok(value)
    }

    /// One map, up to its separator; keys must rise, so none can be there twice.
    fn map(&mut self, what: &str, allowed: &[u64]) -> Outcome<Vec<Pair>> {
        let mut pairs = Vec::new();
        let mut last: &[u8] = &[];
        loop {
            let size = self.compact_size()?;
            if size == 0 {
                return Ok(pairs);
            }
            let key = self.take(size)?;
            let size = self.compact_size()?;
            let value = self.take(size)?;
            if key == last {
                return Err(fault(
                    Kind::DecodeError,
                    format!("{what}: a key is there twice"),
                ));
            }
            if key < last {
                return Err(fault(
                    Kind::NotCanonical,
                    format!("{what}: keys do not rise"),
                ));
            }
            last = key;
            let mut rest = Cursor(key);
            let kind = rest.compact_size()?;
            if !allowed.contains(&kind) {
                let text = format!("{what}: field {kind:#04x} is not allowed");
                return Err(fault(Kind::DecodeError, text));
            }
            pairs.push((kind, rest.0.to_vec(), value.to_vec()));
        }
    }
}

/// Refuses a leaf whose two statements of its version differ: the value's last byte, and the control
/// block's first, whose lowest bit is the parity.
fn check_leaves(what: &str, pairs: &[Pair]) -> Outcome<()> {
    for (kind, control_block, script) in pairs {
        let version = control_block.first().map(|byte| byte & 0xfe);
        if *kind == TAP_LEAF_SCRIPT && version != script.last().copied() {
            let text = format!("{what}: a leaf and its control block differ in version");
            return Err(fault(Kind::DecodeError, text));
        }
    }
    Ok(())
}

/// The checked maps of a PSBT.
pub fn read(raw: &[u8]) -> Outcome<Maps> {
    if raw.len() > MAX_BYTES {
        let text = format!("got {} bytes, expected at most {MAX_BYTES}", raw.len());
        return Err(fault(Kind::TooLarge, text));
    }
    let mut cursor = Cursor(raw);
    if cursor.take(MAGIC.len() as u64)? != MAGIC {
        return Err(fault(
            Kind::DecodeError,
            "the first five bytes are not psbt, ff",
        ));
    }
    let global = cursor.map("global", GLOBAL)?;
    let Some((_, key_data, unsigned)) = global.first() else {
        return Err(fault(Kind::DecodeError, "global: no unsigned transaction"));
    };
    if !key_data.is_empty() {
        return Err(fault(Kind::DecodeError, "global: field 0x00 has key data"));
    }
    let tx = transaction::parse(unsigned)?;
    let signed = |input: &TxIn| !input.script_sig.is_empty() || !input.witness.is_empty();
    if tx.input.iter().any(signed) {
        let text = "global: the transaction has a scriptSig or a witness";
        return Err(fault(Kind::DecodeError, text));
    }
    let mut inputs = Vec::with_capacity(tx.input.len());
    for index in 0..tx.input.len() {
        let what = format!("input {index}");
        let pairs = cursor.map(&what, INPUT)?;
        check_leaves(&what, &pairs)?;
        inputs.push(pairs);
    }
    let mut outputs = Vec::with_capacity(tx.output.len());
    for index in 0..tx.output.len() {
        outputs.push(cursor.map(&format!("output {index}"), OUTPUT)?);
    }
    if !cursor.0.is_empty() {
        let text = format!("{} bytes after the end", cursor.0.len());
        return Err(fault(Kind::TrailingBytes, text));
    }
    let psbt = Psbt::deserialize(raw).map_err(|error| match error {
        Error::ConsensusEncoding(inner) => match transaction::kind_of(&inner) {
            Kind::Truncated => fault(Kind::Truncated, "a value ends too early"),
            kind => fault(kind, inner),
        },
        other => fault(Kind::DecodeError, other),
    })?;
    if psbt.serialize() != raw {
        return Err(fault(
            Kind::NotCanonical,
            "a value is not in its canonical form",
        ));
    }
    Ok((global, inputs, outputs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_psbt() {
        let kind = |raw: &[u8]| match read(raw) {
            Err(Fault::Decode(kind, _)) => Some(kind),
            _ => None,
        };
        assert_eq!(kind(b""), Some(Kind::Truncated));
        assert_eq!(kind(b"psbt\x00\x00"), Some(Kind::DecodeError));
        assert_eq!(kind(b"psbt\xff\x00"), Some(Kind::DecodeError));
        assert_eq!(
            kind(b"psbt\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            Some(Kind::Truncated)
        );
        assert_eq!(kind(b"psbt\xff\xfd\x01\x00"), Some(Kind::NotCanonical));
        assert_eq!(
            kind(b"psbt\xff\x01\xfb\x04\x02\x00\x00\x00\x00"),
            Some(Kind::DecodeError)
        );
        assert_eq!(kind(&vec![0; MAX_BYTES + 1]), Some(Kind::TooLarge));
    }
}
