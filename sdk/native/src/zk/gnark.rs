//! Keys and proofs as gnark writes them: what wraps the proofs of SP1.
//!
//! Numbers are big-endian, and of two parts of Fq2 the imaginary one comes first. A key's points are
//! compressed (two top bits: 10 the smaller y, 11 the larger one), a proof's are affine coordinates.

use ark_bn254::{Bn254, Fq, Fq2, G1Affine, G2Affine};
use ark_ff::PrimeField;
use ark_groth16::{Proof, VerifyingKey};

use super::points::{fq_to_be, read_g1, read_g2_swapped};
use super::reader::Reader;
use crate::edge::{Fault, Kind, Outcome};

const FLAGS: u8 = 0b1100_0000;
const SMALLER: u8 = 0b1000_0000;

/// Reads a proof of exactly 256 bytes: A, B, C.
pub fn parse_proof(raw: &[u8]) -> Outcome<Proof<Bn254>> {
    let read = || {
        let mut raw = Reader::new("proof", raw);
        let proof = Proof {
            a: read_g1(&mut raw)?,
            b: read_g2_swapped(&mut raw)?,
            c: read_g1(&mut raw)?,
        };
        raw.end()?;
        Ok(proof)
    };
    read().map_err(Fault::of_proof)
}

/// Reads a key: alpha, beta in G1 (unused), beta, gamma, delta in G1 (unused), delta, then a count
/// of four bytes and as many IC points. Two counts of commitments follow: there are none.
pub fn parse_key(raw: &[u8]) -> Outcome<VerifyingKey<Bn254>> {
    let mut raw = Reader::new("verifying key", raw);
    let alpha_g1 = compressed_g1(&mut raw)?;
    let _beta_g1 = compressed_g1(&mut raw)?;
    let beta_g2 = compressed_g2(&mut raw)?;
    let gamma_g2 = compressed_g2(&mut raw)?;
    let _delta_g1 = compressed_g1(&mut raw)?;
    let delta_g2 = compressed_g2(&mut raw)?;
    let count = raw.u32()?.swap_bytes() as usize;
    if count > raw.left() / 32 {
        return Err(raw.fault_of(Kind::Truncated, format!("says {count} IC points")));
    }
    let gamma_abc_g1 = (0..count)
        .map(|_| compressed_g1(&mut raw))
        .collect::<Outcome<Vec<_>>>()?;
    if raw.u64()? != 0 {
        return Err(raw.fault("has commitments"));
    }
    raw.end()?;
    Ok(VerifyingKey {
        alpha_g1,
        beta_g2,
        gamma_g2,
        delta_g2,
        gamma_abc_g1,
    })
}

/// The next number of 32 bytes below the modulus, and its two top bits.
fn flagged(raw: &mut Reader<'_>, flags: u8) -> Outcome<(Fq, u8)> {
    let mut bytes = [0u8; 32];
    for (to, from) in bytes.iter_mut().zip(raw.take(32)?) {
        *to = *from;
    }
    let [first, ..] = &mut bytes;
    let found = *first & flags;
    *first &= !flags;
    let value = Fq::from_be_bytes_mod_order(&bytes);
    if fq_to_be(&value) != bytes {
        return Err(raw.fault_of(Kind::NotCanonical, "coordinate is not below the modulus"));
    }
    Ok((value, found))
}

fn larger(raw: &Reader<'_>, flag: u8) -> Outcome<bool> {
    match flag {
        SMALLER => Ok(false),
        FLAGS => Ok(true),
        _ => Err(raw.fault("point is not compressed")),
    }
}

fn compressed_g1(raw: &mut Reader<'_>) -> Outcome<G1Affine> {
    let (x, flag) = flagged(raw, FLAGS)?;
    G1Affine::get_point_from_x_unchecked(x, larger(raw, flag)?)
        .ok_or_else(|| raw.fault("point is not on G1's curve"))
}

fn compressed_g2(raw: &mut Reader<'_>) -> Outcome<G2Affine> {
    let (c1, flag) = flagged(raw, FLAGS)?;
    let (c0, _) = flagged(raw, 0)?;
    G2Affine::get_point_from_x_unchecked(Fq2::new(c0, c1), larger(raw, flag)?)
        .filter(G2Affine::is_in_correct_subgroup_assuming_on_curve)
        .ok_or_else(|| raw.fault("point is not in G2"))
}
