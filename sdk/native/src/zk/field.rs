//! BN254's scalar field, and its elements as bytes. Nothing is reduced in silence.

use ark_bn254::Fr;
use ark_ff::{BigInteger, BigInteger256, PrimeField};

use crate::edge::{Fault, Kind, Outcome};

/// Bytes of one element.
pub const SIZE: usize = 32;

/// The modulus r as iden3's files write it.
pub fn modulus_le() -> [u8; SIZE] {
    let mut raw = [0u8; SIZE];
    for (to, from) in raw.iter_mut().zip(Fr::MODULUS.to_bytes_le()) {
        *to = from;
    }
    raw
}

/// Reads a canonical element (below r), least significant byte first.
pub fn from_le(raw: &[u8]) -> Outcome<Fr> {
    if raw.len() != SIZE {
        return Err(Fault::input(format!(
            "field element: got {} bytes, expected {SIZE}",
            raw.len()
        )));
    }
    let mut limbs = [0u64; 4];
    for (limb, chunk) in limbs.iter_mut().zip(raw.chunks_exact(8)) {
        for (place, byte) in chunk.iter().enumerate() {
            *limb |= u64::from(*byte) << (8 * place);
        }
    }
    Fr::from_bigint(BigInteger256::new(limbs))
        .ok_or_else(|| Fault::decode(Kind::NotCanonical, "field element: not below the modulus"))
}

/// Reads a canonical element (below r), most significant byte first.
pub fn from_be(raw: &[u8]) -> Outcome<Fr> {
    let mut reversed = raw.to_vec();
    reversed.reverse();
    from_le(&reversed)
}

/// Reads a list of canonical elements, most significant byte first.
pub fn list_from_be(raw: &[impl AsRef<[u8]>]) -> Outcome<Vec<Fr>> {
    raw.iter()
        .map(|element| from_be(element.as_ref()))
        .collect()
}

/// Appends the 32 bytes, least significant first.
pub fn write_le(element: &Fr, to: &mut Vec<u8>) {
    for limb in element.into_bigint().0 {
        to.extend_from_slice(&limb.to_le_bytes());
    }
}

/// The 32 bytes, most significant first.
pub fn to_be(element: &Fr) -> Vec<u8> {
    let mut raw = Vec::with_capacity(SIZE);
    write_le(element, &mut raw);
    raw.reverse();
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modulus_and_above_are_refused() {
        let r = modulus_le();
        assert!(from_le(&r).is_err());
        let mut below = r;
        below[0] -= 1;
        assert_eq!(
            from_le(&below).map(|x| x + Fr::from(1u64)),
            Ok(Fr::from(0u64))
        );
        assert!(from_le(&[255; SIZE]).is_err());
        assert!(from_le(&[0; 31]).is_err());
        assert!(from_be(&[0; 33]).is_err());
    }

    #[test]
    fn both_byte_orders_agree() {
        let element = Fr::from(0x0102_0304u64);
        let be = to_be(&element);
        assert_eq!(be[28..], [1, 2, 3, 4]);
        assert_eq!(from_be(&be), Ok(element));
    }
}
