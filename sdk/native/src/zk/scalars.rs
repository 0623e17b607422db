//! Scalars cut in two for the curves' endomorphism, and their signed digits.
//!
//! Multiplying x by a cube root of one takes a point to its multiple by lambda (Gallant, Lambert and
//! Vanstone, CRYPTO 2001), in G1 and in G2 alike. So k P = k1 P + k2 (lambda P) with k1 and k2 of
//! half as many bits: twice the points, half the windows, and half as much work on buckets.

use ark_bn254::{g1, g2, Fr};
use ark_ec::scalar_mul::glv::GLVConfig;
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ff::{BigInt, BigInteger, BigInteger256, MontFp, PrimeField, Zero};

/// The halves are below 2^127, so with digits from -2^(c-1) to 2^(c-1) - 1 this many bits hold them.
pub const BITS: usize = 129;

/// G2's eigenvalue in arkworks, of which G1's there is the square.
const LAMBDA: Fr = MontFp!("4407920970296243842393367215006156084916469457145843978461");
/// (LONG, SHORT) and (-SHORT, OTHER) are short vectors (x, y) with x + lambda y = 0.
const SHORT: Fr = MontFp!("9931322734385697763");
const OTHER: Fr = MontFp!("147946756881789319000765030803803410728");
/// OTHER and SHORT times 2^256 / r, rounded down.
const OTHER_BY_R: BigInteger256 = BigInt!("782660544089080853078787955015628534157");
const SHORT_BY_R: BigInteger256 = BigInt!("52538187511802934231");

/// Curves with lambda's endomorphism.
pub trait Endomorphism: SWCurveConfig<ScalarField = Fr> {
    /// lambda times the point.
    fn image(point: &Affine<Self>) -> Affine<Self>;
}

impl Endomorphism for g1::Config {
    fn image(point: &Affine<Self>) -> Affine<Self> {
        Self::endomorphism_affine(&Self::endomorphism_affine(point))
    }
}

impl Endomorphism for g2::Config {
    fn image(point: &Affine<Self>) -> Affine<Self> {
        Self::endomorphism_affine(point)
    }
}

/// Half of a scalar: a number below 2^127 and its sign.
#[derive(Clone, Copy, Default)]
pub struct Half {
    magnitude: u128,
    negative: bool,
}

impl Half {
    /// Of a field element that is this close to zero.
    fn of(element: Fr) -> Self {
        let low = |bits: BigInteger256| {
            let [first, second, ..] = bits.0;
            u128::from(first) | (u128::from(second) << 64)
        };
        let (up, down) = (element.into_bigint(), (-element).into_bigint());
        if up <= down {
            Self {
                magnitude: low(up),
                negative: false,
            }
        } else {
            Self {
                magnitude: low(down),
                negative: true,
            }
        }
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.magnitude == 0
    }

    /// How many bits it has.
    pub fn bits(&self) -> usize {
        (u128::BITS - self.magnitude.leading_zeros()) as usize
    }
}

/// k1 and k2 with k = k1 + lambda k2; a scalar below 2^64 is its own k1.
///
/// Of the lattice's points near (k, 0) any will do: rounding down costs a bit at most.
pub fn halves(scalar: &Fr) -> [Half; 2] {
    if scalar.is_zero() {
        return [Half::default(); 2];
    }
    let bits = scalar.into_bigint();
    let rounded = |by_r: &BigInteger256| Fr::from_bigint(bits.mul_high(by_r)).unwrap_or_default();
    let (long, short) = (rounded(&OTHER_BY_R), rounded(&SHORT_BY_R));
    let second = short * OTHER - long * SHORT;
    let first = *scalar - LAMBDA * second;
    [Half::of(first), Half::of(second)]
}

/// A half ready to be read digit by digit.
#[derive(Clone, Copy)]
pub struct Shifted {
    limbs: [u64; 3],
    negative: bool,
}

impl Shifted {
    /// The half plus 2^(c-1) in every window, so that a digit is its window's bits less 2^(c-1) and
    /// no carry runs from one window to the next.
    pub fn new(half: &Half, window: usize) -> Self {
        let mut limbs = [half.magnitude as u64, (half.magnitude >> 64) as u64, 0];
        for index in 0..BITS.div_ceil(window) {
            let place = (index + 1) * window - 1;
            let mut carry = 1u64 << (place % 64);
            for limb in limbs.iter_mut().skip(place / 64) {
                let (added, over) = limb.overflowing_add(carry);
                *limb = added;
                carry = u64::from(over);
            }
        }
        Self {
            limbs,
            negative: half.negative,
        }
    }

    /// The digit of this window, from -2^(c-1) to 2^(c-1).
    pub fn digit(&self, window: usize, index: usize) -> i32 {
        let place = index * window;
        let at = |limb: usize| self.limbs.get(limb).copied().unwrap_or(0);
        let low = at(place / 64) >> (place % 64);
        // two shifts, as one by 64 would be none
        let high = (at(place / 64 + 1) << 1) << (63 - place % 64);
        let bits = (low | high) & ((1 << window) - 1);
        let digit = bits as i32 - (1 << (window - 1));
        if self.negative {
            -digit
        } else {
            digit
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use ark_ec::{AffineRepr, CurveGroup};
    use ark_ff::{AdditiveGroup, Field, UniformRand};
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    /// Scalars where something may go wrong, then so many others.
    pub fn scalars(seed: u8, count: usize) -> Vec<Fr> {
        let mut stream = ChaCha20Rng::from_seed([seed; 32]);
        let near = [LAMBDA, LAMBDA.double(), SHORT, OTHER, LAMBDA * SHORT];
        let powers = (0..254).map(|power| Fr::from(2u64).pow([power]));
        let mut scalars: Vec<Fr> = [Fr::ZERO, Fr::ONE, Fr::from(2u64)].into();
        scalars.extend(near);
        scalars.extend(powers);
        let negatives: Vec<Fr> = scalars.iter().map(|scalar| -*scalar).collect();
        scalars.extend(negatives);
        scalars.extend((0..count).map(|_| Fr::rand(&mut stream)));
        scalars
    }

    fn value(half: &Half) -> Fr {
        let magnitude = Fr::from(half.magnitude);
        if half.negative {
            -magnitude
        } else {
            magnitude
        }
    }

    #[test]
    fn halves_make_up_the_scalar_and_are_short() {
        for scalar in scalars(1, 5_000) {
            let [first, second] = halves(&scalar);
            assert_eq!(value(&first) + LAMBDA * value(&second), scalar);
            assert!(first.bits() <= 127 && second.bits() <= 127, "{scalar}");
        }
        for small in [1, 2, u64::MAX] {
            let [first, second] = halves(&Fr::from(small));
            assert_eq!(first.magnitude, u128::from(small));
            assert!(second.is_zero());
        }
    }

    #[test]
    fn digits_make_up_the_half_again() {
        let longest = |negative| Half {
            magnitude: (1 << 127) - 1,
            negative,
        };
        let mut all = vec![longest(false), longest(true)];
        all.extend(scalars(2, 50).iter().flat_map(halves));
        for window in 3..=15 {
            for half in &all {
                let shifted = Shifted::new(half, window);
                let mut sum = Fr::ZERO;
                for index in (0..BITS.div_ceil(window)).rev() {
                    let digit = shifted.digit(window, index);
                    assert!(digit.unsigned_abs() <= 1 << (window - 1));
                    sum = sum * Fr::from(1u64 << window) + Fr::from(digit);
                }
                assert_eq!(sum, value(half), "{window}");
            }
        }
    }

    #[test]
    fn the_image_is_the_multiple_by_lambda() {
        fn check<P: Endomorphism>() {
            let point = (Affine::<P>::generator() * Fr::from(5u64)).into_affine();
            assert_eq!(P::image(&point), (point * LAMBDA).into_affine());
            assert_eq!(P::image(&Affine::identity()), Affine::identity());
        }
        check::<g1::Config>();
        check::<g2::Config>();
    }
}
