//! Sums of points times scalars, where most of the time of a proof goes.
//!
//! Pippenger's buckets with signed digits. A bucket's points are added in pairs, in affine
//! coordinates and with one inversion for all pairs of a window: six multiplications an addition,
//! against eleven for adding to a bucket in Jacobian coordinates (arkworks 0.5).

use ark_bn254::Fr;
use ark_ec::short_weierstrass::{Affine, Projective, SWCurveConfig};
use ark_ff::{AdditiveGroup, BigInteger, BigInteger256, Field, PrimeField, Zero};
use rayon::prelude::*;

use super::proving_key::Query;

/// r is below 0.76 * 2^254, so with digits from -2^(c-1) to 2^(c-1) - 1 this many bits hold it.
const BITS: usize = 255;
/// Multiplications of an addition in a batch.
const PAIRED: usize = 6;
/// Multiplications that a bucket costs when the buckets are added up.
const BUCKET: usize = 27;
/// Pairs below which an inversion costs more than it saves.
const FEWEST_PAIRS: usize = 32;
const LIMBS: usize = 5;

/// The sum of a query's bases, each times the value at its place. Zeros, of which bit-wise gadgets
/// leave many, cost nothing.
pub fn multi_scalar_product<P>(query: &Query<Affine<P>>, values: &[Fr]) -> Projective<P>
where
    P: SWCurveConfig<ScalarField = Fr>,
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
    sum(&bases, &scalars)
}

fn sum<P>(bases: &[Affine<P>], scalars: &[BigInteger256]) -> Projective<P>
where
    P: SWCurveConfig<ScalarField = Fr>,
{
    let bits = scalars
        .iter()
        .map(|scalar| scalar.num_bits() as usize)
        .sum();
    let window = window_for(bits);
    let shifted: Vec<[u64; LIMBS]> = scalars.iter().map(|x| shift(x, window)).collect();
    let sums: Vec<Projective<P>> = (0..BITS.div_ceil(window))
        .into_par_iter()
        .map(|index| window_sum(bases, &shifted, window, index))
        .collect();
    sums.iter().rev().fold(Projective::ZERO, |mut total, sum| {
        for _ in 0..window {
            total.double_in_place();
        }
        total + sum
    })
}

/// The window that costs least for scalars of so many bits in all.
fn window_for(bits: usize) -> usize {
    let cost = |c: &usize| bits.div_ceil(*c) * PAIRED + BITS.div_ceil(*c) * (BUCKET << (c - 1));
    (3..=15).min_by_key(cost).unwrap_or(3)
}

/// The scalar plus 2^(c-1) in every window, so that a digit is its window's bits less 2^(c-1) and
/// no carry runs from one window to the next.
fn shift(scalar: &BigInteger256, window: usize) -> [u64; LIMBS] {
    let mut shifted = [0u64; LIMBS];
    for (to, from) in shifted.iter_mut().zip(scalar.0) {
        *to = from;
    }
    for index in 0..BITS.div_ceil(window) {
        let place = (index + 1) * window - 1;
        let mut carry = 1u64 << (place % 64);
        for limb in shifted.iter_mut().skip(place / 64) {
            let (added, over) = limb.overflowing_add(carry);
            *limb = added;
            carry = u64::from(over);
        }
    }
    shifted
}

fn digit(shifted: &[u64; LIMBS], window: usize, index: usize) -> i64 {
    let place = index * window;
    let at = |limb: usize| shifted.get(limb).copied().unwrap_or(0);
    let both = u128::from(at(place / 64)) | (u128::from(at(place / 64 + 1)) << 64);
    let bits = (both >> (place % 64)) & ((1 << window) - 1);
    bits as i64 - (1 << (window - 1))
}

/// The sum over one window: bucket b holds the points of digits b + 1 and -(b + 1).
fn window_sum<P>(
    bases: &[Affine<P>],
    shifted: &[[u64; LIMBS]],
    window: usize,
    index: usize,
) -> Projective<P>
where
    P: SWCurveConfig<ScalarField = Fr>,
{
    let digits: Vec<i64> = shifted.iter().map(|x| digit(x, window, index)).collect();
    let mut lengths = vec![0usize; 1 << (window - 1)];
    for digit in &digits {
        if let Some(length) = lengths.get_mut((digit.unsigned_abs() as usize).wrapping_sub(1)) {
            *length += 1;
        }
    }
    let mut points = sorted(bases, &digits, &lengths);
    if points.is_empty() {
        return Projective::ZERO;
    }
    while lengths.iter().map(|length| length / 2).sum::<usize>() >= FEWEST_PAIRS {
        points = halved(&points, &mut lengths);
    }
    let (mut running, mut total) = (Projective::ZERO, Projective::ZERO);
    let mut end = points.len();
    for length in lengths.iter().rev() {
        let start = end.saturating_sub(*length);
        for point in points.get(start..end).unwrap_or_default() {
            running += point;
        }
        total += running;
        end = start;
    }
    total
}

/// The points, with their digits' signs, bucket after bucket.
fn sorted<P: SWCurveConfig>(
    bases: &[Affine<P>],
    digits: &[i64],
    lengths: &[usize],
) -> Vec<Affine<P>> {
    let mut places: Vec<usize> = lengths
        .iter()
        .scan(0, |next, length| {
            let place = *next;
            *next += length;
            Some(place)
        })
        .collect();
    let mut points = vec![Affine::identity(); lengths.iter().sum()];
    for (base, digit) in bases.iter().zip(digits) {
        let bucket = (digit.unsigned_abs() as usize).wrapping_sub(1);
        let place = places.get_mut(bucket);
        if let Some(place) = place {
            if let Some(point) = points.get_mut(*place) {
                *point = if *digit < 0 { -*base } else { *base };
            }
            *place += 1;
        }
    }
    points
}

/// One round: in every bucket, each two neighbours become their sum.
fn halved<P: SWCurveConfig>(points: &[Affine<P>], lengths: &mut [usize]) -> Vec<Affine<P>> {
    let mut slopes = Vec::with_capacity(points.len() / 2);
    for pair in pairs(points, lengths) {
        if let [p, q] = pair {
            slopes.push(denominator(p, q));
        }
    }
    invert(&mut slopes);
    let mut slopes = slopes.into_iter();
    let mut sums = Vec::with_capacity(points.len().div_ceil(2) + lengths.len());
    for pair in pairs(points, lengths) {
        match pair {
            [p, q] => sums.push(added(p, q, slopes.next().unwrap_or_default())),
            rest => sums.extend_from_slice(rest),
        }
    }
    for length in lengths {
        *length = length.div_ceil(2);
    }
    sums
}

/// Neighbours of one bucket; a slice of one point where their number is odd.
fn pairs<'a, P: SWCurveConfig>(
    points: &'a [Affine<P>],
    lengths: &'a [usize],
) -> impl Iterator<Item = &'a [Affine<P>]> {
    lengths
        .iter()
        .scan(points, |rest, length| {
            let (bucket, after) = rest.split_at_checked(*length)?;
            *rest = after;
            Some(bucket)
        })
        .flat_map(|bucket| bucket.chunks(2))
}

/// What the slope of the line through both is divided by; zero where there is no such line.
fn denominator<P: SWCurveConfig>(p: &Affine<P>, q: &Affine<P>) -> P::BaseField {
    if p.infinity || q.infinity {
        P::BaseField::ZERO
    } else if p.x != q.x {
        q.x - p.x
    } else if p.y == q.y {
        p.y.double()
    } else {
        P::BaseField::ZERO
    }
}

/// The sum of two points, given the inverse of their denominator.
fn added<P: SWCurveConfig>(p: &Affine<P>, q: &Affine<P>, inverse: P::BaseField) -> Affine<P> {
    if p.infinity {
        return *q;
    }
    if q.infinity {
        return *p;
    }
    if inverse.is_zero() {
        return Affine::identity(); // opposite points
    }
    let rise = if p.x == q.x {
        let square = p.x.square();
        square.double() + square + P::COEFF_A
    } else {
        q.y - p.y
    };
    let slope = rise * inverse;
    let x = slope.square() - p.x - q.x;
    Affine::new_unchecked(x, slope * (p.x - x) - p.y)
}

/// Inverts all elements that are not zero, by one inversion (Montgomery's trick).
fn invert<F: Field>(elements: &mut [F]) {
    let mut product = F::ONE;
    let mut before = Vec::with_capacity(elements.len());
    for element in elements.iter() {
        before.push(product);
        if !element.is_zero() {
            product *= element;
        }
    }
    let mut inverse = product.inverse().unwrap_or_default(); // a product of elements not zero
    for (element, before) in elements.iter_mut().zip(before).rev() {
        if !element.is_zero() {
            let own = inverse * before;
            inverse *= *element;
            *element = own;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_bn254::{g1, g2, G1Affine, G2Affine};
    use ark_ec::{AffineRepr, CurveGroup, VariableBaseMSM};
    use ark_ff::UniformRand;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    fn query<P: AffineRepr>(bases: Vec<P>) -> Query<P> {
        let places = (0..bases.len() as u32).collect();
        Query { places, bases }
    }

    fn agrees<P>(bases: &[Affine<P>], scalars: &[Fr])
    where
        P: SWCurveConfig<ScalarField = Fr>,
        Projective<P>: VariableBaseMSM<MulBase = Affine<P>, ScalarField = Fr>,
    {
        let expected: Projective<P> = bases.iter().zip(scalars).map(|(p, x)| *p * x).sum();
        assert_eq!(
            multi_scalar_product(&query(bases.to_vec()), scalars),
            expected
        );
    }

    fn bases<P: AffineRepr>(count: usize) -> Vec<P> {
        let mut points = vec![P::generator(); count];
        let mut next = P::generator().into_group();
        for point in &mut points {
            next = next + next + P::generator();
            *point = next.into_affine();
        }
        points
    }

    #[test]
    fn agrees_with_adding_one_by_one() {
        let mut stream = ChaCha20Rng::from_seed([3; 32]);
        for count in [0, 1, 2, 3, 31, 64, 65, 300, 1000] {
            let mut scalars: Vec<Fr> = (0..count).map(|_| Fr::rand(&mut stream)).collect();
            agrees(&bases::<G1Affine>(count), &scalars);
            // as a circuit has them: bits, small numbers, and elements near both ends
            for (index, scalar) in scalars.iter_mut().enumerate() {
                match index % 6 {
                    0 => *scalar = Fr::from(0u64),
                    1 | 2 => *scalar = Fr::from(1u64),
                    3 => *scalar = Fr::from(index as u64),
                    4 => *scalar = -Fr::from(index as u64),
                    _ => {}
                }
            }
            agrees(&bases::<G1Affine>(count), &scalars);
            if count < 300 {
                agrees(&bases::<G2Affine>(count), &scalars);
            }
        }
    }

    #[test]
    fn points_that_meet_themselves_and_their_opposites() {
        let mut stream = ChaCha20Rng::from_seed([4; 32]);
        for scalar in [Fr::from(1u64), -Fr::from(1u64), Fr::rand(&mut stream)] {
            let point = G1Affine::generator();
            let scalars = vec![scalar; 400];
            agrees::<g1::Config>(&vec![point; 400], &scalars);
            let opposites: Vec<_> = (0..400)
                .map(|i| if i % 2 == 0 { point } else { -point })
                .collect();
            agrees::<g1::Config>(&opposites, &scalars);
            let fours: Vec<_> = (0..400)
                .map(|i| if i % 4 < 2 { point } else { -point })
                .collect();
            agrees::<g1::Config>(&fours, &scalars);
        }
        agrees::<g2::Config>(
            &vec![G2Affine::generator(); 200],
            &vec![Fr::from(7u64); 200],
        );
    }

    #[test]
    fn digits_make_up_the_scalar_again() {
        let mut stream = ChaCha20Rng::from_seed([5; 32]);
        let mut scalars = vec![
            Fr::from(0u64),
            Fr::from(1u64),
            -Fr::from(1u64),
            -Fr::from(2u64),
        ];
        scalars.extend((0..50).map(|_| Fr::rand(&mut stream)));
        for window in 3..=15 {
            for scalar in &scalars {
                let shifted = shift(&scalar.into_bigint(), window);
                let mut value = Fr::from(0u64);
                for index in (0..BITS.div_ceil(window)).rev() {
                    let digit = digit(&shifted, window, index);
                    assert!(digit.unsigned_abs() <= 1 << (window - 1));
                    value = value * Fr::from(1u64 << window) + Fr::from(digit);
                }
                assert_eq!(value, *scalar, "{window}");
            }
        }
    }
}
