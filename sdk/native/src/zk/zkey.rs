//! Proving keys in snarkjs' `.zkey` v1 (Groth16), and proofs from them.
//!
//! Numbers of a zkey are little-endian and in Montgomery form, coefficients twice so; the identity is
//! a point of zeros. The file holds the matrices A and B and not C: the prover takes A w times B w
//! for C w, so a witness that breaks a row shows only in the proof, which is verified before it is
//! handed out.

use ark_bn254::{Bn254, Fq, Fr, G1Affine, G2Affine};
use ark_ff::{AdditiveGroup, FftField, PrimeField};
use ark_groth16::{prepare_verifying_key, Proof, VerifyingKey};
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use rayon::join;

use super::field;
use super::montgomery::{g1, g2, g2_in_subgroup, limbs, list, modulus, G1_SIZE, G2_SIZE};
use super::points::check_key;
use super::prover::assemble;
use super::proving_key::{Bases, Query};
use super::r1cs::{wires_fit, MAX_CONSTRAINTS, MAX_WIRES};
use super::reader::{required, Reader};
use crate::edge::{Fault, Kind, Outcome};

const NAME: &str = "zkey";
/// The number of Groth16 among snarkjs' protocols.
const GROTH16: u32 = 1;
/// Bytes of a coefficient: its matrix, row and wire, and its value.
const TERM: usize = 3 * 4 + field::SIZE;

type Domain = Radix2EvaluationDomain<Fr>;

/// One coefficient of a matrix.
struct Term {
    row: usize,
    wire: usize,
    value: Fr,
}

/// A zkey, checked.
pub struct Zkey {
    /// All wires with wire 0, the constant one.
    pub wires: usize,
    /// Rows of the matrices with the added ones and rounded up to a power of two.
    pub domain: usize,
    bases: Bases,
    a: Vec<Term>,
    b: Vec<Term>,
    rows: Domain,
    /// The odd powers of the root of twice as many rows: where the key's H has its bases.
    between: Domain,
}

/// A coefficient, which is stored times 2^512.
fn coefficient(raw: &mut Reader<'_>) -> Outcome<Fr> {
    let once = Fr::new_unchecked(limbs::<Fr>(raw)?);
    Ok(Fr::new_unchecked(once.into_bigint()))
}

/// What the header says.
struct Header {
    wires: usize,
    publics: usize,
    domain: usize,
    alpha_g1: G1Affine,
    beta_g1: G1Affine,
    beta_g2: G2Affine,
    gamma_g2: G2Affine,
    delta_g1: G1Affine,
    delta_g2: G2Affine,
}

impl Header {
    fn parse(mut raw: Reader<'_>) -> Outcome<Self> {
        modulus::<Fq>(&mut raw, "curve")?;
        modulus::<Fr>(&mut raw, "scalar field")?;
        let (wires, publics, domain) = (raw.count()?, raw.count()?, raw.count()?);
        if wires > MAX_WIRES || domain > 2 * MAX_CONSTRAINTS {
            let text = format!("{wires} wires, {domain} rows");
            return Err(raw.fault_of(Kind::TooLarge, text));
        }
        if publics >= wires || publics >= domain || !domain.is_power_of_two() {
            let text = format!("{wires} wires, {publics} of them public, {domain} rows");
            return Err(raw.fault(text));
        }
        let header = Self {
            wires,
            publics,
            domain,
            alpha_g1: g1(&mut raw)?,
            beta_g1: g1(&mut raw)?,
            beta_g2: g2_in_subgroup(&mut raw)?,
            gamma_g2: g2_in_subgroup(&mut raw)?,
            delta_g1: g1(&mut raw)?,
            delta_g2: g2_in_subgroup(&mut raw)?,
        };
        raw.end()?;
        Ok(header)
    }
}

/// Both matrices, each coefficient within the header's bounds.
fn matrices(mut raw: Reader<'_>, header: &Header) -> Outcome<(Vec<Term>, Vec<Term>)> {
    let count = raw.count()?;
    let terms = raw.take_many(count, TERM)?;
    raw.end()?;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for term in terms.chunks_exact(TERM) {
        let mut term = Reader::new(NAME, term);
        let (matrix, row, wire) = (term.u32()?, term.count()?, term.count()?);
        if row >= header.domain || wire >= header.wires {
            return Err(term.fault(format!("a coefficient at row {row}, wire {wire}")));
        }
        let to = match matrix {
            0 => &mut a,
            1 => &mut b,
            other => return Err(term.fault(format!("matrix {other}, expected 0 or 1"))),
        };
        let value = coefficient(&mut term)?;
        to.push(Term { row, wire, value });
    }
    Ok((a, b))
}

/// A matrix times the wires.
fn product(terms: &[Term], wires: &[Fr], rows: usize) -> Vec<Fr> {
    let mut sums = vec![Fr::ZERO; rows];
    for term in terms {
        if let (Some(sum), Some(wire)) = (sums.get_mut(term.row), wires.get(term.wire)) {
            *sum += term.value * wire;
        }
    }
    sums
}

impl Zkey {
    /// Reads a whole file; every section has exactly the size that the header asks for.
    ///
    /// The list of contributions (section 10) is not read: that somebody contributed shows in delta.
    pub fn parse(raw: &[u8]) -> Outcome<Self> {
        let mut file = Reader::new(NAME, raw);
        let mut sections = file.sections(b"zkey", 1, 10)?;
        let mut protocol = required(NAME, &mut sections, 1)?;
        let kind = protocol.u32()?;
        if kind != GROTH16 {
            return Err(protocol.fault(format!("protocol {kind}, expected 1 (Groth16)")));
        }
        protocol.end()?;
        let header = Header::parse(required(NAME, &mut sections, 2)?)?;
        let (wires, instance) = (header.wires, 1 + header.publics);
        let mut g1s = |kind, count| list(required(NAME, &mut sections, kind)?, count, G1_SIZE, g1);
        let gamma_abc_g1 = g1s(3, instance)?;
        let (a, b_g1) = (g1s(5, wires)?, g1s(6, wires)?);
        let (l, h) = (g1s(8, wires - instance)?, g1s(9, header.domain)?);
        let b_g2 = list(required(NAME, &mut sections, 7)?, wires, G2_SIZE, g2)?;
        let vk = VerifyingKey {
            alpha_g1: header.alpha_g1,
            beta_g2: header.beta_g2,
            gamma_g2: header.gamma_g2,
            delta_g2: header.delta_g2,
            gamma_abc_g1,
        };
        check_key(&vk, header.publics)?;
        let bases = Bases {
            vk: prepare_verifying_key(&vk),
            beta_g1: header.beta_g1,
            delta_g1: header.delta_g1,
            a: Query::new(a),
            b_g1: Query::new(b_g1),
            b_g2: Query::new(b_g2),
            h: Query::new(h),
            l: Query::new(l),
        };
        let (a, b) = matrices(required(NAME, &mut sections, 4)?, &header)?;
        let too_large = || file.fault_of(Kind::TooLarge, "too many rows");
        let rows = Domain::new(header.domain).ok_or_else(too_large)?;
        let root = Fr::get_root_of_unity(2 * header.domain as u64).ok_or_else(too_large)?;
        let between = rows.get_coset(root).ok_or_else(too_large)?;
        Ok(Self {
            wires,
            domain: header.domain,
            bases,
            a,
            b,
            rows,
            between,
        })
    }

    /// The verifying key of the proofs.
    pub fn vk(&self) -> &VerifyingKey<Bn254> {
        &self.bases.vk.vk
    }

    /// Coefficients of both matrices.
    pub fn terms(&self) -> usize {
        self.a.len() + self.b.len()
    }

    /// A proof and its public inputs.
    pub fn prove(&self, wires: &[Fr]) -> Outcome<(Proof<Bn254>, Vec<Fr>)> {
        wires_fit(wires, self.wires)?;
        assemble(&self.bases, wires, |_| self.quotient(wires))?.ok_or_else(|| {
            Fault::Proof("the witness breaks a constraint, or the zkey is damaged".to_owned())
        })
    }

    /// A w times B w less C w between the rows, where the vanishing polynomial is constant: the
    /// key's bases have taken it in.
    fn quotient(&self, wires: &[Fr]) -> Vec<Fr> {
        let (mut a, mut b) = join(
            || product(&self.a, wires, self.domain),
            || product(&self.b, wires, self.domain),
        );
        let mut c: Vec<Fr> = a.iter().zip(&b).map(|(a, b)| *a * b).collect();
        let move_between = |values: &mut Vec<Fr>| {
            self.rows.ifft_in_place(values);
            self.between.fft_in_place(values);
        };
        join(
            || move_between(&mut a),
            || join(|| move_between(&mut b), || move_between(&mut c)),
        );
        for ((a, b), c) in a.iter_mut().zip(&b).zip(&c) {
            *a = *a * b - c;
        }
        a
    }
}
