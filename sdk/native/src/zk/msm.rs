//! Sums of points times scalars, where most of the time goes.

use ark_bn254::Fr;
use ark_ec::{AffineRepr, VariableBaseMSM};
use ark_ff::{PrimeField, Zero};

use super::proving_key::Query;

/// The sum of a query's bases, each times the value at its place. Zeros, of which bit-wise gadgets
/// leave many, cost nothing.
pub fn multi_scalar_product<P>(query: &Query<P>, values: &[Fr]) -> P::Group
where
    P: AffineRepr<ScalarField = Fr>,
    P::Group: VariableBaseMSM<MulBase = P>,
{
    let mut bases = Vec::with_capacity(query.bases.len());
    let mut scalars = Vec::with_capacity(query.bases.len());
    for (place, base) in query.places.iter().zip(&query.bases) {
        match values.get(*place as usize) {
            Some(value) if !value.is_zero() => {
                bases.push(*base);
                scalars.push(value.into_bigint());
            }
            _ => {}
        }
    }
    P::Group::msm_bigint(&bases, &scalars)
}
