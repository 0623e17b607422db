//! Poseidon with circomlib's parameters, its constants derived by the Grain LFSR.
//!
//! Poseidon paper (ePrint 2019/458), appendix E, and its reference script
//! `generate_parameters_grain.sage`: an 80-bit register is filled with the parameters, stepped
//! 160 times, and then yields bits in pairs of which the first says whether the second counts.
//! Round constants are drawn with rejection, the Cauchy matrix's points without.

use std::sync::OnceLock;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field, PrimeField};

use super::sparse::Partial;
use crate::edge::{Fault, Outcome};

/// Rounds in which every element goes through the S-box.
pub const FULL_ROUNDS: usize = 8;
/// Rounds in which only the first element does, for t = 2 to 17 (circomlib's table).
const PARTIAL_ROUNDS: [usize; 16] = [
    56, 57, 56, 60, 60, 63, 64, 63, 60, 66, 60, 65, 70, 60, 64, 68,
];
const FIELD_BITS: usize = 254;

/// What defines the permutation of one width.
pub struct Constants {
    /// Width of the state.
    pub t: usize,
    /// Number of partial rounds.
    pub partial: usize,
    /// t a round, in order.
    pub rounds: Vec<Fr>,
    /// Row by row.
    pub mds: Vec<Fr>,
    /// The partial rounds, made quick.
    sparse: Partial,
}

/// The register of the paper's appendix E.
struct Grain {
    state: u128,
}

impl Grain {
    const WIDTH: u32 = 80;

    fn new(t: usize, partial: usize) -> Self {
        // field kind (prime), S-box (a power), field bits, width, rounds, then thirty ones;
        // the first bit written is the first to leave the register
        let fields: [(u32, u128); 7] = [
            (2, 1),
            (4, 0),
            (12, FIELD_BITS as u128),
            (12, t as u128),
            (10, FULL_ROUNDS as u128),
            (10, partial as u128),
            (30, (1 << 30) - 1),
        ];
        let mut written = 0u128;
        for (width, value) in fields {
            written = (written << width) | value;
        }
        // bit i of `state` is the i-th oldest bit
        let mut grain = Self {
            state: written.reverse_bits() >> (128 - Self::WIDTH),
        };
        for _ in 0..160 {
            grain.step();
        }
        grain
    }

    fn step(&mut self) -> u128 {
        let bit = [0, 13, 23, 38, 51, 62]
            .iter()
            .fold(0, |sum, tap| sum ^ (self.state >> tap))
            & 1;
        self.state = (self.state >> 1) | (bit << (Self::WIDTH - 1));
        bit
    }

    fn bit(&mut self) -> u128 {
        while self.step() == 0 {
            self.step();
        }
        self.step()
    }

    /// A number of `FIELD_BITS` bits, most significant first, as limbs.
    fn number(&mut self) -> [u64; 4] {
        let mut limbs = [0u64; 4];
        for place in (0..FIELD_BITS).rev() {
            let bit = self.bit();
            if let Some(limb) = limbs.get_mut(place / 64) {
                *limb |= (bit as u64) << (place % 64);
            }
        }
        limbs
    }

    fn element_by_rejection(&mut self) -> Fr {
        loop {
            if let Some(element) = Fr::from_bigint(ark_ff::BigInteger256::new(self.number())) {
                return element;
            }
        }
    }

    fn element_reduced(&mut self) -> Fr {
        let bytes: Vec<u8> = self.number().iter().flat_map(|x| x.to_le_bytes()).collect();
        Fr::from_le_bytes_mod_order(&bytes)
    }
}

fn derive(t: usize, partial: usize) -> Outcome<Constants> {
    let mut grain = Grain::new(t, partial);
    let rounds: Vec<Fr> = (0..t * (FULL_ROUNDS + partial))
        .map(|_| grain.element_by_rejection())
        .collect();
    let xs: Vec<Fr> = (0..t).map(|_| grain.element_reduced()).collect();
    let ys: Vec<Fr> = (0..t).map(|_| grain.element_reduced()).collect();
    let mut mds = Vec::with_capacity(t * t);
    for x in &xs {
        for y in &ys {
            let entry = (*x + y).inverse();
            mds.push(entry.ok_or_else(|| Fault::input("poseidon: singular matrix"))?);
        }
    }
    let singular = || Fault::input("poseidon: singular matrix");
    let inner = rounds.iter().skip(t * FULL_ROUNDS / 2).take(t * partial);
    let inner: Vec<Fr> = inner.copied().collect();
    let sparse = Partial::derive(&mds, t, &inner).ok_or_else(singular)?;
    Ok(Constants {
        t,
        partial,
        rounds,
        mds,
        sparse,
    })
}

/// The constants of width t, derived once.
pub fn constants(t: usize) -> Outcome<&'static Constants> {
    static DERIVED: [OnceLock<Outcome<Constants>>; 16] = [const { OnceLock::new() }; 16];
    let place = t.checked_sub(2);
    let slot = place.and_then(|p| Some((DERIVED.get(p)?, *PARTIAL_ROUNDS.get(p)?)));
    let (cell, partial) =
        slot.ok_or_else(|| Fault::input(format!("poseidon: got width {t}, expected 2 to 17")))?;
    cell.get_or_init(|| derive(t, partial))
        .as_ref()
        .map_err(Clone::clone)
}

fn fifth_power(element: &mut Fr) {
    let fourth = element.square().square();
    *element *= fourth;
}

/// Takes a state through full rounds with these constants.
fn full_rounds<'a>(known: &Constants, state: &mut Vec<Fr>, rounds: impl Iterator<Item = &'a [Fr]>) {
    for added in rounds {
        for (element, constant) in state.iter_mut().zip(added) {
            *element += constant;
            fifth_power(element);
        }
        *state = mixed(known, state);
    }
}

fn mixed(known: &Constants, state: &[Fr]) -> Vec<Fr> {
    known
        .mds
        .chunks_exact(known.t)
        .map(|row| row.iter().zip(state).map(|(m, x)| *m * x).sum())
        .collect()
}

/// The hash of 1 to 16 elements.
pub fn hash(inputs: &[Fr]) -> Outcome<Fr> {
    let known = constants(inputs.len() + 1)?;
    let mut state = vec![Fr::ZERO];
    state.extend_from_slice(inputs);
    let rounds = known.rounds.chunks_exact(known.t);
    full_rounds(known, &mut state, rounds.clone().take(FULL_ROUNDS / 2));
    known.sparse.apply(&mut state);
    let after = FULL_ROUNDS / 2 + known.partial;
    full_rounds(known, &mut state, rounds.skip(after));
    state
        .first()
        .copied()
        .ok_or_else(|| Fault::input("poseidon: empty state"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    #[test]
    fn agrees_with_circomlib() {
        // circomlib's test/poseidoncircuit.js
        let two = hash(&[1u64, 2].map(Fr::from));
        let expected =
            "7853200120776062878684798364095072458815029376092732009249414926327459813530";
        assert_eq!(two, Ok(Fr::from_str(expected).unwrap_or_default()));
        let four = hash(&[1u64, 2, 3, 4].map(Fr::from));
        let expected =
            "18821383157269793795438455681495246036402687001665670618754263018637548127333";
        assert_eq!(four, Ok(Fr::from_str(expected).unwrap_or_default()));
    }

    /// As the paper writes it: every round with the whole matrix.
    fn plainly(inputs: &[Fr]) -> Outcome<Fr> {
        let known = constants(inputs.len() + 1)?;
        let mut state = vec![Fr::ZERO];
        state.extend_from_slice(inputs);
        let partial = (FULL_ROUNDS / 2)..(FULL_ROUNDS / 2 + known.partial);
        for (round, added) in known.rounds.chunks_exact(known.t).enumerate() {
            for (element, constant) in state.iter_mut().zip(added) {
                *element += constant;
            }
            let touched = if partial.contains(&round) { 1 } else { known.t };
            state.iter_mut().take(touched).for_each(fifth_power);
            state = mixed(known, &state);
        }
        Ok(state.first().copied().unwrap_or_default())
    }

    #[test]
    fn the_quick_way_is_the_plain_way_at_every_width() {
        for width in 1..=16u64 {
            for seed in 0..3 {
                let value = |n: u64| Fr::from(seed * 1_000 + n).square() - Fr::from(seed);
                let inputs: Vec<Fr> = (0..width).map(value).collect();
                assert_eq!(hash(&inputs), plainly(&inputs), "{width} {seed}");
            }
        }
    }

    #[test]
    fn widths_outside_the_table_are_refused() {
        assert!(hash(&[]).is_err());
        assert!(hash(&[Fr::ZERO; 17]).is_err());
        assert!(constants(0).is_err());
        assert!(constants(1).is_err());
        assert!(constants(18).is_err());
        assert_eq!(
            constants(17).map(|c| (c.rounds.len(), c.mds.len())),
            Ok((76 * 17, 289))
        );
    }
}
