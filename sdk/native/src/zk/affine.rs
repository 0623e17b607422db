//! Sums of the points of many buckets at once, in affine coordinates.
//!
//! The slopes of all lines are found by one inversion (Montgomery's trick), so that an addition costs
//! six multiplications. Equal and opposite points and the identity take the same way.

use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ff::{AdditiveGroup, Field, Zero};

/// Pairs below which an inversion costs more than it saves.
const FEWEST_PAIRS: usize = 32;

/// Adds each bucket's points to each other until few pairs are left.
pub fn added_up<P: SWCurveConfig>(points: &mut Vec<Affine<P>>, lengths: &mut [usize]) {
    while lengths.iter().map(|length| length / 2).sum::<usize>() >= FEWEST_PAIRS {
        *points = halved(points, lengths);
    }
}

/// The points of each bucket.
pub fn buckets<'a, P: SWCurveConfig>(
    points: &'a [Affine<P>],
    lengths: &'a [usize],
) -> impl Iterator<Item = &'a [Affine<P>]> {
    lengths.iter().scan(points, |rest, length| {
        let (bucket, after) = rest.split_at_checked(*length)?;
        *rest = after;
        Some(bucket)
    })
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
    buckets(points, lengths).flat_map(|bucket| bucket.chunks(2))
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
