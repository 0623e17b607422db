//! The reduction of snarkjs' keys: H has its bases between the rows, at the odd powers of the root
//! of twice as many rows, and C w is A w times B w.

use ark_ff::PrimeField;
use ark_groth16::r1cs_to_qap::{evaluate_constraint, LibsnarkReduction, R1CSToQAP};
use ark_poly::EvaluationDomain;
use ark_relations::r1cs::{
    ConstraintMatrices, ConstraintSystemRef, Result as Qap, SynthesisError::*,
};
use rayon::prelude::*;

/// A type only; all its functions are arkworks' to call.
pub struct Snarkjs;

impl R1CSToQAP for Snarkjs {
    fn instance_map_with_evaluation<F: PrimeField, D: EvaluationDomain<F>>(
        cs: ConstraintSystemRef<F>,
        t: &F,
    ) -> Qap<(Vec<F>, Vec<F>, Vec<F>, F, usize, usize)> {
        LibsnarkReduction::instance_map_with_evaluation::<F, D>(cs, t)
    }

    /// The matrices hold the rows of the public wires already.
    fn witness_map_from_matrices<F: PrimeField, D: EvaluationDomain<F>>(
        matrices: &ConstraintMatrices<F>,
        _inputs: usize,
        constraints: usize,
        wires: &[F],
    ) -> Qap<Vec<F>> {
        let rows = D::new(constraints).ok_or(PolynomialDegreeTooLarge)?;
        let root = F::get_root_of_unity(2 * rows.size() as u64).ok_or(PolynomialDegreeTooLarge)?;
        let between = rows.get_coset(root).ok_or(PolynomialDegreeTooLarge)?;
        let column = |matrix: &[Vec<(F, usize)>]| -> Vec<F> {
            let row = |terms: &Vec<(F, usize)>| evaluate_constraint::<F, F, F>(terms, wires);
            matrix.par_iter().map(row).collect()
        };
        let (mut a, mut b) = (column(&matrices.a), column(&matrices.b));
        let mut c = rows.mul_polynomials_in_evaluation_domain(&a, &b);
        for values in [&mut a, &mut b, &mut c] {
            rows.ifft_in_place(values);
            between.fft_in_place(values);
        }
        a.par_iter_mut()
            .zip(b)
            .zip(c)
            .for_each(|((a, b), c)| *a = *a * b - c);
        Ok(a)
    }

    /// tau^i / delta, taken to the Lagrange basis over twice the rows, of which every other one.
    fn h_query_scalars<F: PrimeField, D: EvaluationDomain<F>>(
        max_power: usize,
        t: F,
        _zt: F,
        delta_inverse: F,
    ) -> Qap<Vec<F>> {
        let domain = D::new(2 * max_power + 1).ok_or(PolynomialDegreeTooLarge)?;
        let powers = std::iter::successors(Some(delta_inverse), |power| Some(*power * t));
        let mut scalars: Vec<F> = powers.take(2 * max_power + 1).collect();
        domain.ifft_in_place(&mut scalars);
        Ok(scalars.into_iter().skip(1).step_by(2).collect())
    }
}
