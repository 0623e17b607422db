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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zk::prover::Prover;
    use crate::zk::verifier::verify_gnark;
    use crate::zk::{proving_key, r1cs, setup};
    use ark_bn254::Fr;
    use ark_ff::Field;

    fn flag(larger: bool, mut raw: Vec<u8>) -> Vec<u8> {
        raw[0] |= if larger { FLAGS } else { SMALLER };
        raw
    }

    fn g1(point: &G1Affine) -> Vec<u8> {
        flag(point.y > -point.y, fq_to_be(&point.x))
    }

    fn g2(point: &G2Affine) -> Vec<u8> {
        let x = [fq_to_be(&point.x.c1), fq_to_be(&point.x.c0)].concat();
        flag(point.y > -point.y, x)
    }

    /// A key and a proof of ours for 3 * 11 = 33, as gnark would write them.
    fn stated() -> (Vec<u8>, Vec<Fr>, Vec<u8>) {
        let circuit = r1cs::tests::multiplier();
        let keys = setup::keys(&circuit, &[7; 32]).unwrap();
        let prover = Prover::new(&circuit, &proving_key::serialize(&keys).unwrap()).unwrap();
        let (proof, publics) = prover.prove(&[1, 33, 3, 11].map(Fr::from)).unwrap();
        let vk = &keys.vk;
        let mut key = [g1(&vk.alpha_g1), g1(&vk.alpha_g1), g2(&vk.beta_g2)].concat();
        key.extend([g2(&vk.gamma_g2), g1(&vk.alpha_g1), g2(&vk.delta_g2)].concat());
        key.extend((vk.gamma_abc_g1.len() as u32).to_be_bytes());
        key.extend(vk.gamma_abc_g1.iter().flat_map(g1));
        key.extend([0; 8]);
        let coordinates = [
            proof.a.x,
            proof.a.y,
            proof.b.x.c1,
            proof.b.x.c0,
            proof.b.y.c1,
            proof.b.y.c0,
            proof.c.x,
            proof.c.y,
        ];
        (
            key,
            publics,
            coordinates.iter().flat_map(fq_to_be).collect(),
        )
    }

    #[test]
    fn a_proof_in_gnarks_form_holds_for_its_inputs_only() {
        let (key, mut publics, proof) = stated();
        assert_eq!(verify_gnark(&key, &publics, &proof), Ok(()));
        publics[0] += Fr::ONE;
        assert!(matches!(
            verify_gnark(&key, &publics, &proof),
            Err(Fault::Proof(_))
        ));
        assert!(verify_gnark(&key, &[], &proof).is_err());
    }

    #[test]
    fn test_z11_points_outside_the_subgroup_are_refused() {
        let (_, _, good) = stated();
        assert!(parse_proof(&good).is_ok());
        let mut met = 0;
        for x in 1..=40u64 {
            let Some(b) = G2Affine::get_point_from_x_unchecked(x.into(), false) else {
                continue;
            };
            met += 1;
            let parts = [&b.x.c1, &b.x.c0, &b.y.c1, &b.y.c0];
            let mut raw = good.clone();
            raw[64..192].copy_from_slice(&parts.map(fq_to_be).concat());
            assert!(matches!(parse_proof(&raw), Err(Fault::Proof(_))), "{x}");
        }
        assert!(met > 10);
        for zero in [0..64, 64..192, 192..256] {
            let mut raw = good.clone();
            raw[zero].fill(0);
            assert!(matches!(parse_proof(&raw), Err(Fault::Proof(_))));
        }
    }

    #[test]
    fn a_key_with_commitments_or_in_another_form_is_refused() {
        let (key, _, _) = stated();
        assert!(parse_key(&key).is_ok());
        for (at, bit) in [(0, 0x80), (64, 0x80), (key.len() - 1, 1), (291, 1)] {
            let mut raw = key.clone();
            raw[at] ^= bit;
            assert!(matches!(parse_key(&raw), Err(Fault::Decode(..))), "{at}");
        }
        assert!(parse_key(&key[..key.len() - 4]).is_err());
        assert!(parse_key(&[key, vec![0]].concat()).is_err());
    }
}
