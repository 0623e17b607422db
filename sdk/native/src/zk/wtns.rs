//! Witnesses in iden3's `.wtns` v2: wire 0 is one, then the public wires, then the private ones.

use ark_bn254::Fr;
use ark_ff::Field;

use super::field;
use super::reader::{required, Reader};
use crate::edge::Outcome;

const NAME: &str = "wtns";

/// Reads all wires.
pub fn parse(raw: &[u8]) -> Outcome<Vec<Fr>> {
    let mut file = Reader::new(NAME, raw);
    let mut sections = file.sections(b"wtns", 2, 2)?;
    let mut header = required(NAME, &mut sections, 1)?;
    if header.count()? != field::SIZE || header.take(field::SIZE)? != field::modulus_le() {
        return Err(header.fault("not over BN254's scalar field"));
    }
    let count = header.count()?;
    header.end()?;
    let mut body = required(NAME, &mut sections, 2)?;
    let wires = body.take_many(count, field::SIZE)?;
    body.end()?;
    let wires: Vec<Fr> = wires
        .chunks_exact(field::SIZE)
        .map(field::from_le)
        .collect::<Outcome<_>>()?;
    if wires.first() != Some(&Fr::ONE) {
        return Err(file.fault("wire 0 is not one"));
    }
    Ok(wires)
}

/// Writes all wires.
pub fn serialize(wires: &[Fr]) -> Vec<u8> {
    let body = wires.len() as u64 * field::SIZE as u64;
    let mut raw = Vec::with_capacity(76 + wires.len() * field::SIZE);
    raw.extend_from_slice(b"wtns");
    raw.extend_from_slice(&2u32.to_le_bytes());
    raw.extend_from_slice(&2u32.to_le_bytes());
    raw.extend_from_slice(&1u32.to_le_bytes());
    raw.extend_from_slice(&40u64.to_le_bytes());
    raw.extend_from_slice(&(field::SIZE as u32).to_le_bytes());
    raw.extend_from_slice(&field::modulus_le());
    raw.extend_from_slice(&(wires.len() as u32).to_le_bytes());
    raw.extend_from_slice(&2u32.to_le_bytes());
    raw.extend_from_slice(&body.to_le_bytes());
    for wire in wires {
        field::write_le(wire, &mut raw);
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        serialize(&[1u64, 5, 7].map(Fr::from))
    }

    #[test]
    fn reads_what_it_writes() {
        assert_eq!(parse(&sample()), Ok([1u64, 5, 7].map(Fr::from).to_vec()));
    }

    #[test]
    fn every_truncation_and_any_trailing_byte_is_refused() {
        let raw = sample();
        for end in 0..raw.len() {
            assert!(parse(&raw[..end]).is_err(), "{end}");
        }
        let mut longer = raw;
        longer.push(0);
        assert!(parse(&longer).is_err());
    }

    #[test]
    fn a_lying_count_is_refused_without_allocation() {
        let mut raw = sample();
        raw[60..64].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(parse(&raw).is_err());
    }

    #[test]
    fn a_first_wire_other_than_one_is_refused() {
        assert!(parse(&serialize(&[2u64, 5].map(Fr::from))).is_err());
        assert!(parse(&serialize(&[])).is_err());
    }

    #[test]
    fn a_value_of_r_is_refused() {
        let mut raw = sample();
        let end = raw.len();
        raw[end - 32..].copy_from_slice(&field::modulus_le());
        assert!(parse(&raw).is_err());
    }
}
