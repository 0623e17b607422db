//! From a witness to a proof (Groth16, ePrint 2016/260, section 3.2).

use ark_bn254::{Bn254, Fr, G1Projective};
use ark_ec::CurveGroup;
use ark_ff::{FftField, Field, UniformRand};
use ark_groth16::Proof;
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use rand::rngs::OsRng;
use rayon::join;

use super::msm::{multi_scalar_product, Scalars};
use super::proving_key::Bases;
use super::r1cs::{Products, R1cs};
use super::verifier::check;
use crate::edge::{Fault, Outcome};

type Domain = Radix2EvaluationDomain<Fr>;

/// A circuit and its proving key, ready to prove.
pub struct Prover {
    system: R1cs,
    bases: Bases,
    domain: Domain,
    coset: Domain,
    /// 1 / Z on the coset, where Z is the polynomial that vanishes on the domain.
    vanishing_inverse: Fr,
}

impl Prover {
    /// Reads a circuit and its key, which must fit it.
    pub fn new(r1cs: &[u8], pk: &[u8]) -> Outcome<Self> {
        let system = R1cs::parse(r1cs)?;
        let too_large = || Fault::input("r1cs: too many constraints");
        let rows = system.constraints + system.instance();
        let domain = Domain::new(rows).ok_or_else(too_large)?;
        let coset = domain.get_coset(Fr::GENERATOR).ok_or_else(too_large)?;
        let vanishing_inverse = domain
            .evaluate_vanishing_polynomial(Fr::GENERATOR)
            .inverse()
            .ok_or_else(too_large)?;
        let bases = Bases::parse(pk, &system, domain.size())?;
        Ok(Self {
            system,
            bases,
            domain,
            coset,
            vanishing_inverse,
        })
    }

    /// How many wires a witness must have.
    pub fn wires(&self) -> usize {
        self.system.wires
    }

    /// A proof and its public inputs; refuses a witness that breaks a constraint.
    ///
    /// The proof is verified before it is handed out: a key that was damaged or made for another
    /// circuit shows here, not at an operator.
    pub fn prove(&self, wires: &[Fr]) -> Outcome<(Proof<Bn254>, Vec<Fr>)> {
        let products = self.system.products(wires, self.domain.size())?;
        if let Some(row) = products.first_failing() {
            return Err(Fault::Unsatisfied(row));
        }
        assemble(&self.bases, wires, |public| self.quotient(products, public))?
            .ok_or_else(|| Fault::input("proving key: does not belong to the circuit"))
    }

    /// Coefficients of (A B - C) / Z, where the rows x_i * 0 = 0 follow the circuit's own.
    fn quotient(&self, products: Products, public: &[Fr]) -> Vec<Fr> {
        let Products {
            mut a,
            mut b,
            mut c,
        } = products;
        a.extend_from_slice(public);
        let to_coset = |values: &mut Vec<Fr>| {
            self.domain.ifft_in_place(values);
            self.coset.fft_in_place(values);
        };
        join(
            || to_coset(&mut a),
            || join(|| to_coset(&mut b), || to_coset(&mut c)),
        );
        for ((a, b), c) in a.iter_mut().zip(&b).zip(&c) {
            *a = (*a * b - c) * self.vanishing_inverse;
        }
        self.coset.ifft_in_place(&mut a);
        a
    }
}

/// A proof from its sums, and its public inputs; `h` makes the scalars of the key's H from the
/// constant and the public wires.
///
/// The proof is verified before it is handed out: None when it does not hold.
pub fn assemble(
    key: &Bases,
    wires: &[Fr],
    h: impl FnOnce(&[Fr]) -> Vec<Fr> + Send,
) -> Outcome<Option<(Proof<Bn254>, Vec<Fr>)>> {
    // fresh for every proof: two proofs that shared them would give the witness away (Z21)
    let (r, s) = (Fr::rand(&mut OsRng), Fr::rand(&mut OsRng));
    let (public, _) = wires
        .split_at_checked(key.vk.vk.gamma_abc_g1.len())
        .ok_or_else(|| Fault::input("witness: no wires"))?;
    let instance = public.len();
    let scalars = Scalars::new(wires);
    let ((b_g2, h), ((a, b_g1), l)) = join(
        || {
            join(
                || multi_scalar_product(&key.b_g2, &scalars, 0),
                || multi_scalar_product(&key.h, &Scalars::new(&h(public)), 0),
            )
        },
        || {
            join(
                || {
                    join(
                        || multi_scalar_product(&key.a, &scalars, 0),
                        || multi_scalar_product(&key.b_g1, &scalars, 0),
                    )
                },
                || multi_scalar_product(&key.l, &scalars, instance),
            )
        },
    );
    let a = a + key.vk.vk.alpha_g1 + key.delta_g1 * r;
    let b_g1 = b_g1 + key.beta_g1 + key.delta_g1 * s;
    let b_g2 = b_g2 + key.vk.vk.beta_g2 + key.vk.vk.delta_g2 * s;
    let c: G1Projective = l + h + a * s + b_g1 * r - key.delta_g1 * (r * s);
    let proof: Proof<Bn254> = Proof {
        a: a.into_affine(),
        b: b_g2.into_affine(),
        c: c.into_affine(),
    };
    let publics = public.get(1..).unwrap_or_default().to_vec();
    let holds = proof.b.is_in_correct_subgroup_assuming_on_curve()
        && check(&key.vk, &publics, &proof).is_ok();
    Ok(holds.then_some((proof, publics)))
}
