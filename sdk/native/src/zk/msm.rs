//! Sums of points times scalars, where most of the time of a proof goes.
//!
//! Pippenger's buckets with signed digits, over scalars cut in two (`scalars.rs`). A bucket's points
//! are added in pairs, in affine coordinates and with one inversion for all pairs of a window: six
//! multiplications an addition, against eleven for adding to a bucket in Jacobian coordinates
//! (arkworks 0.5). The buckets themselves are added up in the same way, as rows and columns.

use ark_bn254::Fr;
use ark_ec::short_weierstrass::{Affine, Projective, SWCurveConfig};
use ark_ff::AdditiveGroup;
use rayon::prelude::*;

use super::affine::{added_up, buckets};
use super::proving_key::Query;
use super::scalars::{halves, Endomorphism, Half, Shifted, BITS};

/// Multiplications of an addition in a batch.
const PAIRED: usize = 6;
/// Multiplications that a bucket costs when it is added to its row and to its column.
const BUCKET: usize = 2 * PAIRED;
/// Multiplications that a row or a column costs when they are added up.
const LINE: usize = 27;
/// Scalars that one task of the thread pool cuts.
const SCALARS_PER_TASK: usize = 256;

/// Scalars cut in two, once for all sums that they are in.
pub struct Scalars(Vec<[Half; 2]>);

impl Scalars {
    /// Of field elements.
    pub fn new(values: &[Fr]) -> Self {
        let cut = values.par_iter().with_min_len(SCALARS_PER_TASK);
        Self(cut.map(halves).collect())
    }
}

/// The sum of a query's bases, each times the scalar at its place, the first place being `from`.
/// Zeros, of which bit-wise gadgets leave many, cost nothing.
pub fn multi_scalar_product<P: Endomorphism>(
    query: &Query<Affine<P>>,
    scalars: &Scalars,
    from: usize,
) -> Projective<P> {
    let scalars = scalars.0.get(from..).unwrap_or_default();
    let mut points = Vec::with_capacity(2 * query.bases.len());
    let mut multiples = Vec::with_capacity(2 * query.bases.len());
    for (place, base) in query.places.iter().zip(&query.bases) {
        if let Some([first, second]) = scalars.get(*place as usize) {
            if !first.is_zero() {
                points.push(*base);
                multiples.push(*first);
            }
            if !second.is_zero() {
                points.push(P::image(base));
                multiples.push(*second);
            }
        }
    }
    sum(&points, &multiples)
}

fn sum<P: SWCurveConfig>(points: &[Affine<P>], multiples: &[Half]) -> Projective<P> {
    let window = window_for(multiples.iter().map(Half::bits).sum());
    let shifted: Vec<Shifted> = multiples.iter().map(|x| Shifted::new(x, window)).collect();
    let sums: Vec<Projective<P>> = (0..BITS.div_ceil(window))
        .into_par_iter()
        .map(|index| {
            let digits: Vec<i32> = shifted.iter().map(|x| x.digit(window, index)).collect();
            window_sum(points, &digits, window)
        })
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
    let cost = |c: &usize| {
        let (buckets, lines) = (1 << (c - 1), 2 << (c / 2));
        bits.div_ceil(*c) * PAIRED + BITS.div_ceil(*c) * (BUCKET * buckets + LINE * lines)
    };
    (3..=15).min_by_key(cost).unwrap_or(3)
}

/// The sum over one window: bucket b holds the points of digits b and -b.
fn window_sum<P: SWCurveConfig>(
    points: &[Affine<P>],
    digits: &[i32],
    window: usize,
) -> Projective<P> {
    let mut lengths = vec![0usize; (1 << (window - 1)) + 1];
    for digit in digits.iter().filter(|digit| **digit != 0) {
        if let Some(length) = lengths.get_mut(digit.unsigned_abs() as usize) {
            *length += 1;
        }
    }
    let mut points = sorted(points, digits, &lengths);
    added_up(&mut points, &mut lengths);
    // bucket b is in row b / width and column b % width
    let width = 1 << (window / 2);
    let mut lines = lengths.chunks(width).map(|row| row.iter().sum()).collect();
    let rows = lengths.len().div_ceil(width);
    append_columns(&mut points, &lengths, &mut lines, width);
    added_up(&mut points, &mut lines);
    let end = lines.iter().take(rows).sum();
    let (in_rows, in_columns) = points.split_at_checked(end).unwrap_or_default();
    let (rows, columns) = lines.split_at_checked(rows).unwrap_or_default();
    let mut total = weighted(in_rows, rows);
    for _ in 0..window / 2 {
        total.double_in_place();
    }
    total + weighted(in_columns, columns)
}

/// Puts the buckets' points behind them once more, column after column.
fn append_columns<P: SWCurveConfig>(
    points: &mut Vec<Affine<P>>,
    lengths: &[usize],
    lines: &mut Vec<usize>,
    width: usize,
) {
    let buckets: Vec<&[Affine<P>]> = buckets(points, lengths).collect();
    let mut columns = Vec::with_capacity(points.len());
    for column in 0..width {
        let before = columns.len();
        for bucket in buckets.iter().skip(column).step_by(width) {
            columns.extend_from_slice(bucket);
        }
        lines.push(columns.len() - before);
    }
    points.append(&mut columns);
}

/// The sum of all buckets, each times its index.
fn weighted<P: SWCurveConfig>(points: &[Affine<P>], lengths: &[usize]) -> Projective<P> {
    let (mut running, mut total) = (Projective::ZERO, Projective::ZERO);
    let mut end = points.len();
    for length in lengths.iter().skip(1).rev() {
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
    digits: &[i32],
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
    for (base, digit) in bases.iter().zip(digits).filter(|(_, digit)| **digit != 0) {
        if let Some(place) = places.get_mut(digit.unsigned_abs() as usize) {
            if let Some(point) = points.get_mut(*place) {
                *point = if *digit < 0 { -*base } else { *base };
            }
            *place += 1;
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zk::scalars::tests::scalars;
    use ark_bn254::{g1, g2};
    use ark_ec::{AffineRepr, CurveGroup, VariableBaseMSM};
    use ark_ff::UniformRand;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha20Rng;

    /// Around what a pair, a batch of pairs, a task and a larger window take.
    const SIZES: [usize; 14] = [0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 255, 257, 1_000];

    fn query<P: SWCurveConfig>(bases: &[Affine<P>]) -> Query<Affine<P>> {
        Query::new(bases.to_vec())
    }

    /// Ours is arkworks' own sum.
    fn agrees<P: Endomorphism>(bases: &[Affine<P>], scalars: &[Fr])
    where
        Projective<P>: VariableBaseMSM<MulBase = Affine<P>, ScalarField = Fr>,
    {
        let theirs = Projective::<P>::msm_unchecked(bases, scalars);
        let ours = multi_scalar_product(&query(bases), &Scalars::new(scalars), 0);
        assert_eq!(ours, theirs, "{} points", bases.len());
    }

    fn points<P: SWCurveConfig>(count: usize, stream: &mut ChaCha20Rng) -> Vec<Affine<P>> {
        let points: Vec<_> = (0..count).map(|_| Projective::<P>::rand(stream)).collect();
        Projective::normalize_batch(&points)
    }

    fn at_every_size<P: Endomorphism>(largest: usize)
    where
        Projective<P>: VariableBaseMSM<MulBase = Affine<P>, ScalarField = Fr>,
    {
        let mut stream = ChaCha20Rng::from_seed([3; 32]);
        for count in SIZES.into_iter().filter(|count| *count <= largest) {
            let mut bases = points::<P>(count, &mut stream);
            let mut random: Vec<Fr> = (0..count).map(|_| Fr::rand(&mut stream)).collect();
            agrees(&bases, &random);
            // as a circuit has them: bits, small numbers, and elements near both ends
            for (index, scalar) in random.iter_mut().enumerate() {
                match index % 6 {
                    0 => *scalar = Fr::from(0u64),
                    1 | 2 => *scalar = Fr::from(1u64),
                    3 => *scalar = Fr::from(index as u64),
                    4 => *scalar = -Fr::from(index as u64),
                    _ => {}
                }
            }
            agrees(&bases, &random);
            // few different points, their opposites, images and the identity, under few scalars
            let known: Vec<Affine<P>> = bases.iter().take(3).copied().collect();
            let few: Vec<Fr> = [0, 1, 2, 5]
                .map(Fr::from)
                .into_iter()
                .chain(random)
                .collect();
            let mut drawn = Vec::with_capacity(count);
            for base in &mut bases {
                let point = known[stream.gen_range(0..known.len())];
                *base = match stream.gen_range(0..6) {
                    0 => Affine::identity(),
                    1 | 2 => -point,
                    3 => P::image(&point),
                    _ => point,
                };
                let scalar = few[stream.gen_range(0..few.len().min(12))];
                drawn.push(if stream.gen() { -scalar } else { scalar });
            }
            agrees(&bases, &drawn);
        }
    }

    #[test]
    fn agrees_with_arkworks_in_g1() {
        at_every_size::<g1::Config>(1_000);
    }

    #[test]
    fn agrees_with_arkworks_in_g2() {
        at_every_size::<g2::Config>(257);
    }

    #[test]
    fn scalars_where_something_may_go_wrong() {
        fn check<P: Endomorphism>(every: usize)
        where
            Projective<P>: VariableBaseMSM<MulBase = Affine<P>, ScalarField = Fr>,
        {
            let mut stream = ChaCha20Rng::from_seed([5; 32]);
            let edges: Vec<Fr> = scalars(6, 10).into_iter().step_by(every).collect();
            agrees(&points::<P>(edges.len(), &mut stream), &edges);
            let [point] = points::<P>(1, &mut stream)[..] else {
                panic!("one point")
            };
            for scalar in &edges {
                agrees(&[point], &[*scalar]);
            }
        }
        check::<g1::Config>(1);
        check::<g2::Config>(3);
    }

    #[test]
    fn points_that_meet_themselves_and_their_opposites() {
        fn check<P: Endomorphism>(count: usize)
        where
            Projective<P>: VariableBaseMSM<MulBase = Affine<P>, ScalarField = Fr>,
        {
            let mut stream = ChaCha20Rng::from_seed([4; 32]);
            let point = Affine::<P>::generator();
            for scalar in [Fr::from(1u64), -Fr::from(1u64), Fr::rand(&mut stream)] {
                let all = vec![scalar; count];
                for run in [count + 1, 1, 2] {
                    let sign = |i: usize| if i / run % 2 == 0 { point } else { -point };
                    agrees::<P>(&(0..count).map(sign).collect::<Vec<_>>(), &all);
                }
            }
        }
        check::<g1::Config>(400);
        check::<g2::Config>(200);
    }

    #[test]
    fn every_window_gives_the_same_sum() {
        let mut stream = ChaCha20Rng::from_seed([7; 32]);
        let bases = points::<g1::Config>(300, &mut stream);
        for window in 3..=13 {
            let end = 1 << (window - 1);
            let mut digits: Vec<i32> = (0..300).map(|_| stream.gen_range(-end..=end)).collect();
            for (digit, extreme) in digits.iter_mut().zip([0, 1, -1, end, -end, end - 1]) {
                *digit = extreme;
            }
            let scalars: Vec<Fr> = digits.iter().map(|digit| Fr::from(*digit)).collect();
            let theirs = Projective::msm_unchecked(&bases, &scalars);
            assert_eq!(window_sum(&bases, &digits, window), theirs, "{window}");
        }
    }

    #[test]
    fn scalars_from_a_place_on() {
        let mut stream = ChaCha20Rng::from_seed([8; 32]);
        let bases = points::<g1::Config>(40, &mut stream);
        let random: Vec<Fr> = (0..50).map(|_| Fr::rand(&mut stream)).collect();
        let ours = multi_scalar_product(&query(&bases), &Scalars::new(&random), 10);
        assert_eq!(ours, Projective::msm_unchecked(&bases, &random[10..]));
    }
}
