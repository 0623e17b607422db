//! BabyJubJub (EIP-2494) in iden3's coordinates, a = 168700 and d = 168696: the curve whose
//! coordinates are elements of the field that circuits compute in.
//!
//! arkworks has the same curve with a = 1; its x is iden3's times a root of 168700.

use std::sync::OnceLock;

use ark_bn254::Fr;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ed_on_bn254::{EdwardsAffine, EdwardsProjective};
use ark_ff::{BigInteger, BigInteger256, Field, PrimeField, Zero};

use super::field;
use crate::edge::{Fault, Kind, Outcome};

const A: u64 = 168_700;
/// Base8, the generator of the subgroup of prime order.
const BASE: [&str; 2] = [
    "5299619240641551281634865583518297030282874472190772894086521144482721001553",
    "16950150798460657717958625567821834550301663161624707787222815936182638968203",
];
/// In a packed point, the bit that says x > (r - 1) / 2.
const SIGN: u8 = 0x80;

/// A root of a, and its inverse.
fn roots() -> Outcome<(Fr, Fr)> {
    static ROOTS: OnceLock<Option<(Fr, Fr)>> = OnceLock::new();
    ROOTS
        .get_or_init(|| {
            let root = Fr::from(A).sqrt()?;
            Some((root, root.inverse()?))
        })
        .ok_or_else(|| Fault::input("BabyJubJub: a is no square"))
}

fn refused() -> Fault {
    Fault::decode(
        Kind::DecodeError,
        "BabyJubJub: the point is not on the curve",
    )
}

/// A point from its coordinates, which must be on the curve; of any order.
pub fn point(x: &Fr, y: &Fr) -> Outcome<EdwardsAffine> {
    let point = EdwardsAffine::new_unchecked(roots()?.0 * x, *y);
    point.is_on_curve().then_some(point).ok_or_else(refused)
}

/// Coordinates of a point.
pub fn coordinates(point: &EdwardsProjective) -> Outcome<[Fr; 2]> {
    let point = point.into_affine();
    Ok([roots()?.1 * point.x, point.y])
}

/// Base8.
pub fn base() -> Outcome<EdwardsAffine> {
    let [x, y] = BASE.map(|digits| digits.parse::<Fr>());
    point(&x.map_err(|()| refused())?, &y.map_err(|()| refused())?)
}

/// A point times a number below 2^256.
pub fn times(point: &EdwardsAffine, number: &[u8]) -> Outcome<EdwardsProjective> {
    if number.len() != field::SIZE {
        return Err(Fault::input("BabyJubJub: a factor is not of 32 bytes"));
    }
    let bits: Vec<bool> = number
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1))
        .collect();
    Ok(point.mul_bigint(BigInteger256::from_bits_be(&bits)))
}

fn is_upper(x: &Fr) -> bool {
    x.into_bigint() > Fr::MODULUS_MINUS_ONE_DIV_TWO
}

/// 32 bytes: y, least significant byte first, and the sign of x in the top bit.
pub fn pack(x: &Fr, y: &Fr) -> Vec<u8> {
    let mut raw = Vec::with_capacity(field::SIZE);
    field::write_le(y, &mut raw);
    if is_upper(x) {
        if let Some(last) = raw.last_mut() {
            *last |= SIGN;
        }
    }
    raw
}

/// The point that 32 bytes stand for; each point has one form.
pub fn unpack(raw: &[u8]) -> Outcome<[Fr; 2]> {
    let mut raw = raw.to_vec();
    let mut upper = false;
    if let Some(last) = raw.last_mut() {
        upper = *last & SIGN != 0;
        *last &= !SIGN;
    }
    let y = field::from_le(&raw)?;
    let point = EdwardsAffine::get_point_from_y_unchecked(y, false).ok_or_else(refused)?;
    let [x, y] = coordinates(&point.into_group())?;
    if x.is_zero() && upper {
        return Err(Fault::decode(
            Kind::NotCanonical,
            "BabyJubJub: x is zero and has no other sign",
        ));
    }
    Ok([if is_upper(&x) == upper { x } else { -x }, y])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ec::AdditiveGroup;

    #[test]
    fn the_base_has_the_subgroups_order() {
        let base = base().unwrap();
        assert!(base.is_in_correct_subgroup_assuming_on_curve());
        assert!(!base.is_zero());
    }

    #[test]
    fn points_off_the_curve_are_refused() {
        let [x, y] = coordinates(&base().unwrap().into_group()).unwrap();
        assert!(point(&(x + Fr::from(1u64)), &y).is_err());
        assert!(point(&y, &x).is_err());
    }

    #[test]
    fn a_packed_point_is_the_point_again() {
        let mut point = base().unwrap().into_group();
        for _ in 0..20 {
            let [x, y] = coordinates(&point).unwrap();
            assert_eq!(unpack(&pack(&x, &y)), Ok([x, y]));
            assert_eq!(unpack(&pack(&-x, &y)), Ok([-x, y]));
            point.double_in_place();
        }
        assert!(unpack(&[0xff; 32]).is_err());
        assert!(unpack(&[1; 31]).is_err());
        let mut two_signs = pack(&Fr::ZERO, &Fr::from(1u64));
        assert!(unpack(&two_signs).is_ok());
        two_signs[31] |= SIGN;
        assert!(unpack(&two_signs).is_err());
    }
}
