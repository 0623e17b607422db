//! Powers of tau in snarkjs' `.ptau` v1: what a ceremony of many parties leaves behind, phase 1 of
//! every Groth16 setup up to its size.
//!
//! What is read is checked to be powers of one tau, that alpha and beta go along, and that the points
//! for phase 2 are the same ones in the Lagrange basis. Who contributed is counted, not verified.

use ark_bn254::{Bn254, Fq, Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::pairing::Pairing;
use ark_ec::{AffineRepr, CurveGroup, VariableBaseMSM};
use ark_ff::{UniformRand, Zero};
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use rand::rngs::OsRng;
use rayon::prelude::*;

use super::montgomery::{g1, g2, g2_in_subgroup, list, modulus, G1_SIZE, G2_SIZE};
use super::r1cs::MAX_CONSTRAINTS;
use super::reader::{required, Reader};
use crate::edge::{Fault, Kind, Outcome};

const NAME: &str = "powers of tau";
/// The sections of phase 2: the powers of tau in both groups, those times alpha, those times beta.
const LAGRANGE: [usize; 4] = [12, 13, 14, 15];
/// Bytes that a contribution has at least: its points, hashes, kind and length of parameters.
const CONTRIBUTION: usize = 9 * G1_SIZE + 5 * G2_SIZE + 216 + 64 + 8;

/// The points of phase 2: for each size 1, 2, 4, ... those of the Lagrange basis, one after another.
struct Lagrange {
    tau_g1: Vec<G1Affine>,
    tau_g2: Vec<G2Affine>,
    alpha_g1: Vec<G1Affine>,
    beta_g1: Vec<G1Affine>,
}

/// A file of powers of tau.
pub struct Ptau {
    /// For circuits of up to 2^power constraints.
    pub power: usize,
    /// The power of the ceremony that this was cut from.
    pub ceremony_power: usize,
    /// How many contributions it lists.
    pub contributions: usize,
    tau_g1: Vec<G1Affine>,
    tau_g2: Vec<G2Affine>,
    alpha_g1: Vec<G1Affine>,
    beta_g1: Vec<G1Affine>,
    beta_g2: G2Affine,
    lagrange: Option<Lagrange>,
}

fn fault(text: impl AsRef<str>) -> Fault {
    Reader::new(NAME, &[]).fault(text)
}

impl Ptau {
    /// Reads a whole file; every section has exactly the size that the header asks for.
    pub fn parse(raw: &[u8]) -> Outcome<Self> {
        let mut sections = Reader::new(NAME, raw).sections(b"ptau", 1, 15)?;
        let mut header = required(NAME, &mut sections, 1)?;
        modulus::<Fq>(&mut header, "curve")?;
        let (power, ceremony_power) = (header.count()?, header.count()?);
        header.end()?;
        if power > MAX_CONSTRAINTS.ilog2() as usize {
            return Err(header.fault_of(Kind::TooLarge, format!("power {power}")));
        }
        if power == 0 || power > ceremony_power {
            let text = format!("power {power} of a ceremony of power {ceremony_power}");
            return Err(header.fault(text));
        }
        let size = 1 << power;
        let mut g1s = |kind, count| list(required(NAME, &mut sections, kind)?, count, G1_SIZE, g1);
        let (tau_g1, alpha_g1) = (g1s(2, 2 * size - 1)?, g1s(4, size)?);
        let beta_g1 = g1s(5, size)?;
        let tau_g2 = list(required(NAME, &mut sections, 3)?, size, G2_SIZE, g2)?;
        let mut beta = required(NAME, &mut sections, 6)?;
        let beta_g2 = g2_in_subgroup(&mut beta)?;
        beta.end()?;
        let mut listed = required(NAME, &mut sections, 7)?;
        let contributions = listed.count()?;
        if contributions > listed.left() / CONTRIBUTION {
            let text = format!("says {contributions} contributions");
            return Err(listed.fault_of(Kind::Truncated, text));
        }
        let there = |kind: &usize| sections.get(*kind).is_some_and(Option::is_some);
        let lagrange = if LAGRANGE.iter().any(there) {
            let mut g1s =
                |kind, count| list(required(NAME, &mut sections, kind)?, count, G1_SIZE, g1);
            // Of the powers of tau in G1 there are twice as many, and one size more of them here.
            let (tau_g1, alpha_g1) = (g1s(12, 4 * size - 1)?, g1s(14, 2 * size - 1)?);
            let beta_g1 = g1s(15, 2 * size - 1)?;
            let tau_g2 = list(
                required(NAME, &mut sections, 13)?,
                2 * size - 1,
                G2_SIZE,
                g2,
            )?;
            Some(Lagrange {
                tau_g1,
                tau_g2,
                alpha_g1,
                beta_g1,
            })
        } else {
            None
        };
        Ok(Self {
            power,
            ceremony_power,
            contributions,
            tau_g1,
            tau_g2,
            alpha_g1,
            beta_g1,
            beta_g2,
            lagrange,
        })
    }

    /// Whether the points that a setup needs are there.
    pub fn prepared(&self) -> bool {
        self.lagrange.is_some()
    }

    /// Refuses what is not made of one tau, alpha and beta: equations over random sums, each of
    /// which a false file passes with a chance of 2^-128.
    pub fn check(&self) -> Outcome<()> {
        let (one, two) = (G1Affine::generator(), G2Affine::generator());
        if self.tau_g1.first() != Some(&one) || self.tau_g2.first() != Some(&two) {
            return Err(fault("the powers do not begin with the generators"));
        }
        let (Some(tau_g1), Some(tau_g2)) = (self.tau_g1.get(1), self.tau_g2.get(1)) else {
            return Err(fault("no first power"));
        };
        if *tau_g1 == one {
            return Err(fault("tau is one: nobody contributed"));
        }
        let firsts = [self.alpha_g1.first(), self.beta_g1.first(), Some(tau_g1)];
        if firsts.iter().flatten().any(|point| point.is_zero()) {
            return Err(fault("a secret is zero"));
        }
        let outside = |point: &G2Affine| !point.is_in_correct_subgroup_assuming_on_curve();
        if self.tau_g2.par_iter().any(outside) {
            return Err(fault("a point is not in its group"));
        }
        for (name, powers) in [
            ("tau in G1", &self.tau_g1),
            ("alpha times tau", &self.alpha_g1),
            ("beta times tau", &self.beta_g1),
        ] {
            let (low, high) = shifted::<G1Projective>(powers);
            same_ratio(low, *tau_g2, high, two, &format!("the powers of {name}"))?;
        }
        let (low, high) = shifted::<G2Projective>(&self.tau_g2);
        same_ratio(*tau_g1, low, one, high, "the powers of tau in G2")?;
        if let Some(beta_g1) = self.beta_g1.first() {
            same_ratio(*beta_g1, two, one, self.beta_g2, "beta in both groups")?;
        }
        self.lagrange.as_ref().map_or(Ok(()), |found| {
            in_basis::<G1Projective>(&found.tau_g1, &self.tau_g1, "tau in G1")?;
            in_basis::<G2Projective>(&found.tau_g2, &self.tau_g2, "tau in G2")?;
            in_basis::<G1Projective>(&found.alpha_g1, &self.alpha_g1, "alpha times tau")?;
            in_basis::<G1Projective>(&found.beta_g1, &self.beta_g1, "beta times tau")
        })
    }
}

/// Scalars of 128 fresh bits.
fn weights(count: usize) -> Vec<Fr> {
    (0..count)
        .map(|_| Fr::from(u128::rand(&mut OsRng)))
        .collect()
}

/// A random sum of all points but the last, and the same sum one place on.
fn shifted<G>(points: &[G::Affine]) -> (G::Affine, G::Affine)
where
    G: CurveGroup<ScalarField = Fr> + VariableBaseMSM<MulBase = <G as CurveGroup>::Affine>,
{
    let (_, high) = points.split_at(1.min(points.len()));
    let weights = weights(high.len());
    // The longer one's last point meets no weight.
    let low = G::msm_unchecked(points.split_at(high.len()).0, &weights);
    (
        low.into_affine(),
        G::msm_unchecked(high, &weights).into_affine(),
    )
}

/// Refuses unless e(a, b) = e(c, d).
fn same_ratio(a: G1Affine, b: G2Affine, c: G1Affine, d: G2Affine, what: &str) -> Outcome<()> {
    if Bn254::multi_pairing([a, -c], [b, d]).is_zero() {
        return Ok(());
    }
    Err(fault(format!("{what} are not of one secret")))
}

/// Refuses unless each block of 1, 2, 4, ... points is that many powers in the Lagrange basis.
///
/// sum c_i tau^i = sum r_j L_j(tau), where r are the values on the domain of the polynomial with the
/// coefficients c. The last block in G1 is one power longer than what is known; what that one adds
/// depends on the ceremony, and no coefficient meets it.
fn in_basis<G>(blocks: &[G::MulBase], powers: &[G::MulBase], what: &str) -> Outcome<()>
where
    G: CurveGroup<ScalarField = Fr> + VariableBaseMSM,
{
    let mut rest = blocks;
    let mut size = 1;
    while !rest.is_empty() {
        let domain = Radix2EvaluationDomain::<Fr>::new(size);
        let (Some(domain), Some((block, later))) = (domain, rest.split_at_checked(size)) else {
            return Err(fault(format!("a block of {size} points of {what}")));
        };
        let known = powers.split_at(size.min(powers.len())).0;
        let coefficients = weights(known.len());
        let values = domain.fft(&coefficients);
        if G::msm_unchecked(block, &values) != G::msm_unchecked(known, &coefficients) {
            return Err(fault(format!(
                "the points for phase 2 are not those of {what}"
            )));
        }
        rest = later;
        size *= 2;
    }
    Ok(())
}
