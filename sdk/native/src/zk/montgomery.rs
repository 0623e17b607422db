//! Numbers and points as snarkjs' binary files hold them: least significant byte first, in Montgomery
//! form, affine, the identity as zeros.

use ark_bn254::{Fq, Fq2, G1Affine, G2Affine};
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ff::{BigInteger256, PrimeField, Zero};
use rayon::prelude::*;

use super::field;
use super::proving_key::POINTS_PER_TASK;
use super::reader::Reader;
use crate::edge::{Kind, Outcome};

/// Bytes of a point of G1.
pub const G1_SIZE: usize = 2 * field::SIZE;
/// Bytes of a point of G2.
pub const G2_SIZE: usize = 4 * field::SIZE;

/// Four words below a modulus, which is that of `F`.
pub fn limbs<F: PrimeField<BigInt = BigInteger256>>(
    raw: &mut Reader<'_>,
) -> Outcome<BigInteger256> {
    let limbs = BigInteger256::new([raw.u64()?, raw.u64()?, raw.u64()?, raw.u64()?]);
    if limbs >= F::MODULUS {
        return Err(raw.fault_of(Kind::NotCanonical, "a number is not below its modulus"));
    }
    Ok(limbs)
}

fn fq(raw: &mut Reader<'_>) -> Outcome<Fq> {
    Ok(Fq::new_unchecked(limbs::<Fq>(raw)?))
}

fn fq2(raw: &mut Reader<'_>) -> Outcome<Fq2> {
    Ok(Fq2::new(fq(raw)?, fq(raw)?))
}

/// A point that is on its curve, or the identity.
fn point<P: SWCurveConfig>(
    raw: &mut Reader<'_>,
    coordinate: impl Fn(&mut Reader<'_>) -> Outcome<P::BaseField>,
) -> Outcome<Affine<P>> {
    let (x, y) = (coordinate(raw)?, coordinate(raw)?);
    if x.is_zero() && y.is_zero() {
        return Ok(Affine::identity());
    }
    let point = Affine::new_unchecked(x, y);
    if !point.is_on_curve() {
        return Err(raw.fault("a point is not on its curve"));
    }
    Ok(point)
}

/// A point of G1, or the identity.
pub fn g1(raw: &mut Reader<'_>) -> Outcome<G1Affine> {
    point(raw, fq)
}

/// As `g1`; whether it is in the subgroup costs far more to know (see `proving_key`).
pub fn g2(raw: &mut Reader<'_>) -> Outcome<G2Affine> {
    point(raw, fq2)
}

/// A point of G2, or the identity.
pub fn g2_in_subgroup(raw: &mut Reader<'_>) -> Outcome<G2Affine> {
    let point = g2(raw)?;
    if !point.is_in_correct_subgroup_assuming_on_curve() {
        return Err(raw.fault("a point is not in its group"));
    }
    Ok(point)
}

/// A section of exactly `count` points.
pub fn list<P: Send>(
    mut section: Reader<'_>,
    count: usize,
    size: usize,
    read: impl Fn(&mut Reader<'_>) -> Outcome<P> + Sync,
) -> Outcome<Vec<P>> {
    let raw = section.take_many(count, size)?;
    section.end()?;
    let name = section.name();
    raw.par_chunks_exact(size)
        .with_min_len(POINTS_PER_TASK)
        .map(|one| read(&mut Reader::new(name, one)))
        .collect()
}

/// Refuses another modulus than that of `F`, written as its size and its bytes.
pub fn modulus<F: PrimeField<BigInt = BigInteger256>>(
    raw: &mut Reader<'_>,
    what: &str,
) -> Outcome<()> {
    let words = F::MODULUS.0;
    let expected: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    if raw.count()? != field::SIZE || raw.take(field::SIZE)? != expected {
        return Err(raw.fault(format!("not over BN254's {what}")));
    }
    Ok(())
}
