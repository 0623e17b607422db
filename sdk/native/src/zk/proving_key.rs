//! A proving key as it lies on disk, and as the prover wants it.
//!
//! Bytes are arkworks' uncompressed form of `ProvingKey`: a compressed key would cost a square root
//! a point, seconds for a circuit of some thousand rows. Reading checks that every point is on its curve.

use ark_bn254::{Bn254, G1Affine, G2Affine};
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ec::AffineRepr;
use ark_groth16::{prepare_verifying_key, PreparedVerifyingKey, ProvingKey, VerifyingKey};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize, Compress, Validate};
use rayon::prelude::*;

use super::points::check_key;
use super::r1cs::R1cs;
use super::reader::Reader;
use crate::edge::{Fault, Kind, Outcome};

const NAME: &str = "proving key";
/// Points that one task of the thread pool checks.
pub const POINTS_PER_TASK: usize = 64;

/// The bases of one of a proof's sums, those left out that are the identity: a wire that no row's
/// right side names has no part in B.
pub struct Query<P> {
    /// Index of the wire or power that a base belongs to.
    pub places: Vec<u32>,
    /// The bases.
    pub bases: Vec<P>,
}

impl<P: AffineRepr> Query<P> {
    /// Of points in their order.
    pub fn new(points: Vec<P>) -> Self {
        let kept = points.into_iter().zip(0u32..).filter(|(p, _)| !p.is_zero());
        let (bases, places) = kept.unzip();
        Self { places, bases }
    }
}

/// A proving key for one circuit, checked.
pub struct Bases {
    /// What the verifier uses, ready for use.
    pub vk: PreparedVerifyingKey<Bn254>,
    /// beta in G1.
    pub beta_g1: G1Affine,
    /// delta in G1.
    pub delta_g1: G1Affine,
    /// Over all wires.
    pub a: Query<G1Affine>,
    /// Over all wires.
    pub b_g1: Query<G1Affine>,
    /// Over all wires.
    pub b_g2: Query<G2Affine>,
    /// Over the powers of tau.
    pub h: Query<G1Affine>,
    /// Over the private wires.
    pub l: Query<G1Affine>,
}

/// Writes a key.
pub fn serialize(key: &ProvingKey<Bn254>) -> Outcome<Vec<u8>> {
    let mut raw = Vec::with_capacity(key.uncompressed_size());
    key.serialize_uncompressed(&mut raw)
        .map_err(|_| Fault::input("proving key cannot be written"))?;
    Ok(raw)
}

fn refused() -> Fault {
    Fault::decode(
        Kind::DecodeError,
        format!("{NAME}: a point is not in its group"),
    )
}

fn single<P: AffineRepr>(raw: &mut Reader<'_>) -> Outcome<P> {
    let bytes = raw.take(P::generator().uncompressed_size())?;
    P::deserialize_with_mode(bytes, Compress::No, Validate::Yes).map_err(|_| refused())
}

/// Reads one of many points. That it is in the subgroup costs far more to check than all else in
/// G2; the prover checks the one point that it makes of them instead (G1 has no other subgroup).
fn on_curve<P: SWCurveConfig>(raw: &[u8]) -> Outcome<Affine<P>> {
    let point = Affine::<P>::deserialize_with_mode(raw, Compress::No, Validate::No);
    point.ok().filter(Affine::is_on_curve).ok_or_else(refused)
}

/// A list of exactly `expected` points.
fn list<P: SWCurveConfig>(
    raw: &mut Reader<'_>,
    name: &str,
    expected: usize,
) -> Outcome<Vec<Affine<P>>> {
    let count = raw.u64()?;
    if count != expected as u64 {
        return Err(raw.fault(format!(
            "{count} points of {name}, the circuit wants {expected}"
        )));
    }
    let size = Affine::<P>::generator().uncompressed_size();
    raw.take_many(expected, size)?
        .par_chunks_exact(size)
        .with_min_len(POINTS_PER_TASK)
        .map(on_curve)
        .collect()
}

impl Bases {
    /// Reads a key; every length must be what the circuit asks for.
    pub fn parse(raw: &[u8], system: &R1cs, domain: usize) -> Outcome<Self> {
        let mut raw = Reader::new(NAME, raw);
        let vk = VerifyingKey {
            alpha_g1: single(&mut raw)?,
            beta_g2: single(&mut raw)?,
            gamma_g2: single(&mut raw)?,
            delta_g2: single(&mut raw)?,
            gamma_abc_g1: list(&mut raw, "IC", system.instance())?,
        };
        check_key(&vk, system.publics())?;
        let bases = Self {
            vk: prepare_verifying_key(&vk),
            beta_g1: single(&mut raw)?,
            delta_g1: single(&mut raw)?,
            a: Query::new(list(&mut raw, "A", system.wires)?),
            b_g1: Query::new(list(&mut raw, "B in G1", system.wires)?),
            b_g2: Query::new(list(&mut raw, "B in G2", system.wires)?),
            h: Query::new(list(&mut raw, "H", domain - 1)?),
            l: Query::new(list(&mut raw, "L", system.wires - system.instance())?),
        };
        raw.end()?;
        Ok(bases)
    }
}
