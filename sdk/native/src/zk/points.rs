//! Points of BN254 as bytes, each checked: canonical coordinates, on the curve, in the subgroup.

use ark_bn254::{Bn254, Fq, Fq2, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{BigInteger256, PrimeField};
use ark_groth16::{Proof, VerifyingKey};
use ark_serialize::CanonicalSerialize;

use super::field;
use super::reader::Reader;
use crate::edge::{Fault, Kind, Outcome};

/// Bytes of a compressed point of G1.
pub const G1_SIZE: usize = 32;
/// Bytes of a compressed point of G2.
pub const G2_SIZE: usize = 64;

/// Bytes of a verifying key before its IC points.
const KEY_HEAD: usize = G1_SIZE + 3 * G2_SIZE + 8;

/// Reads a compressed point that must not be the identity, and must be in canonical form.
fn compressed<P: AffineRepr>(raw: &mut Reader<'_>, name: &str) -> Outcome<P> {
    let size = P::generator().compressed_size();
    let bytes = raw.take(size)?;
    let point = P::deserialize_compressed(bytes)
        .map_err(|_| raw.fault(format!("{name} is not a point of the group")))?;
    let mut again = Vec::with_capacity(size);
    let written = point.serialize_compressed(&mut again);
    if written.is_err() || again != bytes {
        return Err(raw.fault_of(
            Kind::NotCanonical,
            format!("{name} is not in canonical form"),
        ));
    }
    if point.is_zero() {
        return Err(raw.fault(format!("{name} is the identity")));
    }
    Ok(point)
}

/// Bytes of a value whose writing into memory cannot fail.
pub fn serialize(value: &impl CanonicalSerialize) -> Outcome<Vec<u8>> {
    let mut raw = Vec::with_capacity(value.compressed_size());
    value
        .serialize_compressed(&mut raw)
        .map_err(|_| Fault::input("point cannot be written"))?;
    Ok(raw)
}

/// Reads a proof of exactly 128 bytes.
pub fn parse_proof(raw: &[u8]) -> Outcome<Proof<Bn254>> {
    let read = || {
        let mut raw = Reader::new("proof", raw);
        let proof = Proof {
            a: compressed(&mut raw, "A")?,
            b: compressed(&mut raw, "B")?,
            c: compressed(&mut raw, "C")?,
        };
        raw.end()?;
        Ok(proof)
    };
    read().map_err(Fault::of_proof)
}

/// Reads a verifying key; the count of its IC points must be what the bytes hold.
pub fn parse_key(raw: &[u8]) -> Outcome<VerifyingKey<Bn254>> {
    let length = raw.len();
    let mut raw = Reader::new("verifying key", raw);
    let (alpha_g1, beta_g2) = (
        compressed(&mut raw, "alpha")?,
        compressed(&mut raw, "beta")?,
    );
    let (gamma_g2, delta_g2) = (
        compressed(&mut raw, "gamma")?,
        compressed(&mut raw, "delta")?,
    );
    let count = raw.u64()?;
    let held = (length - KEY_HEAD) / G1_SIZE;
    if count != held as u64 || raw.left() != held * G1_SIZE {
        return Err(raw.fault(format!("says {count} IC points, has {held}")));
    }
    let gamma_abc_g1 = (0..held)
        .map(|i| compressed(&mut raw, &format!("IC point {i}")))
        .collect::<Outcome<_>>()?;
    Ok(VerifyingKey {
        alpha_g1,
        beta_g2,
        gamma_g2,
        delta_g2,
        gamma_abc_g1,
    })
}

/// PROTOCOL section 12, "Binding in Groth16" (threats Z7 and Z11): refuses a key that binds less
/// than it seems to.
pub fn check_key(key: &VerifyingKey<Bn254>, publics: usize) -> Outcome<()> {
    let refuse = |text: String| {
        let text = format!("verifying key: {text}");
        Err(Fault::decode(Kind::DecodeError, text))
    };
    if key.gamma_abc_g1.len().checked_sub(1) != Some(publics) {
        return refuse(format!(
            "{} IC points for {publics} public inputs, expected one more",
            key.gamma_abc_g1.len()
        ));
    }
    if key.gamma_g2 == key.delta_g2 {
        return refuse("gamma equals delta, so anyone can forge".to_owned());
    }
    if key.delta_g2 == G2Affine::generator() {
        return refuse("delta is the generator: nobody contributed to phase 2".to_owned());
    }
    let identity = key.alpha_g1.is_zero()
        || [key.beta_g2, key.gamma_g2, key.delta_g2]
            .iter()
            .any(AffineRepr::is_zero)
        || key.gamma_abc_g1.iter().any(AffineRepr::is_zero);
    if identity {
        return refuse("a point is the identity".to_owned());
    }
    let mut sorted: Vec<Vec<u8>> = key
        .gamma_abc_g1
        .iter()
        .map(serialize)
        .collect::<Outcome<_>>()?;
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != key.gamma_abc_g1.len() {
        return refuse("two IC points are equal, so two public inputs can be exchanged".to_owned());
    }
    Ok(())
}

// ------------------------------------------------------------------ affine coordinates (snarkjs)

/// The 32 bytes of a coordinate, most significant first.
pub fn fq_to_be(value: &Fq) -> Vec<u8> {
    let mut raw = Vec::with_capacity(G1_SIZE);
    write_fq(value, &mut raw);
    raw
}

fn write_fq(value: &Fq, to: &mut Vec<u8>) {
    for limb in value.into_bigint().0.iter().rev() {
        to.extend_from_slice(&limb.to_be_bytes());
    }
}

fn write_g1(point: &G1Affine, to: &mut Vec<u8>) {
    write_fq(&point.x, to);
    write_fq(&point.y, to);
}

fn write_g2(point: &G2Affine, to: &mut Vec<u8>) {
    for part in [&point.x.c0, &point.x.c1, &point.y.c0, &point.y.c1] {
        write_fq(part, to);
    }
}

/// A x y, B x0 x1 y0 y1, C x y, each 32 big-endian bytes.
pub fn proof_coordinates(proof: &Proof<Bn254>) -> Vec<u8> {
    let mut raw = Vec::new();
    write_g1(&proof.a, &mut raw);
    write_g2(&proof.b, &mut raw);
    write_g1(&proof.c, &mut raw);
    raw
}

/// alpha, beta, gamma, delta, then the IC points, in the same form.
pub fn key_coordinates(key: &VerifyingKey<Bn254>) -> Vec<u8> {
    let mut raw = Vec::new();
    write_g1(&key.alpha_g1, &mut raw);
    for point in [&key.beta_g2, &key.gamma_g2, &key.delta_g2] {
        write_g2(point, &mut raw);
    }
    for point in &key.gamma_abc_g1 {
        write_g1(point, &mut raw);
    }
    raw
}

fn read_fq(raw: &mut Reader<'_>) -> Outcome<Fq> {
    let mut limbs = [0u64; 4];
    for limb in limbs.iter_mut().rev() {
        *limb = raw.u64()?.swap_bytes();
    }
    Fq::from_bigint(BigInteger256::new(limbs)).ok_or_else(|| {
        raw.fault_of(
            Kind::NotCanonical,
            "coordinate is not below the curve's modulus",
        )
    })
}

/// An affine point of G1: x, y, each 32 big-endian bytes below the modulus.
pub fn read_g1(raw: &mut Reader<'_>) -> Outcome<G1Affine> {
    let (x, y) = (read_fq(raw)?, read_fq(raw)?);
    let point = G1Affine::new_unchecked(x, y);
    if !point.is_on_curve() || point.is_zero() {
        return Err(raw.fault("point is not on G1's curve"));
    }
    Ok(point)
}

fn read_g2(raw: &mut Reader<'_>) -> Outcome<G2Affine> {
    let x = Fq2::new(read_fq(raw)?, read_fq(raw)?);
    let y = Fq2::new(read_fq(raw)?, read_fq(raw)?);
    in_g2(raw, x, y)
}

/// An affine point of G2 with the imaginary part of each coordinate first, as gnark writes it.
pub fn read_g2_swapped(raw: &mut Reader<'_>) -> Outcome<G2Affine> {
    let (x1, x0) = (read_fq(raw)?, read_fq(raw)?);
    let (y1, y0) = (read_fq(raw)?, read_fq(raw)?);
    in_g2(raw, Fq2::new(x0, x1), Fq2::new(y0, y1))
}

fn in_g2(raw: &Reader<'_>, x: Fq2, y: Fq2) -> Outcome<G2Affine> {
    let point = G2Affine::new_unchecked(x, y);
    if !point.is_on_curve() || point.is_zero() || !point.is_in_correct_subgroup_assuming_on_curve()
    {
        return Err(raw.fault("point is not in G2"));
    }
    Ok(point)
}

/// The inverse of `proof_coordinates`.
pub fn proof_from_coordinates(raw: &[u8]) -> Outcome<Proof<Bn254>> {
    let read = || {
        let mut raw = Reader::new("proof", raw);
        let proof = Proof {
            a: read_g1(&mut raw)?,
            b: read_g2(&mut raw)?,
            c: read_g1(&mut raw)?,
        };
        raw.end()?;
        Ok(proof)
    };
    read().map_err(Fault::of_proof)
}

/// The inverse of `key_coordinates`.
pub fn key_from_coordinates(raw: &[u8]) -> Outcome<VerifyingKey<Bn254>> {
    let mut raw = Reader::new("verifying key", raw);
    let mut key = VerifyingKey {
        alpha_g1: read_g1(&mut raw)?,
        beta_g2: read_g2(&mut raw)?,
        gamma_g2: read_g2(&mut raw)?,
        delta_g2: read_g2(&mut raw)?,
        gamma_abc_g1: Vec::new(),
    };
    while raw.left() > 0 {
        key.gamma_abc_g1.push(read_g1(&mut raw)?);
    }
    Ok(key)
}

/// Field elements of the curve as Python gives them, joined.
pub fn join(coordinates: &[impl AsRef<[u8]>]) -> Outcome<Vec<u8>> {
    if coordinates.iter().any(|c| c.as_ref().len() != field::SIZE) {
        return Err(Fault::input("coordinate: expected 32 bytes"));
    }
    Ok(coordinates
        .iter()
        .flat_map(|c| c.as_ref().to_vec())
        .collect())
}
