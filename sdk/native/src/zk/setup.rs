//! Groth16's keys from a seed: for development, since whoever knows the seed can forge.

use ark_bn254::{Bn254, Fr, G1Projective, G2Projective};
use ark_ec::PrimeGroup;
use ark_ff::{PrimeField, Zero};
use ark_groth16::{Groth16, ProvingKey};
use ark_relations::lc;
use ark_relations::r1cs::{
    ConstraintSynthesizer, ConstraintSystemRef, LinearCombination, SynthesisError, Variable,
};
use bitcoin::hashes::{sha256, Hash};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::r1cs::R1cs;
use crate::edge::{Fault, Outcome};

/// Tells these draws from other uses of the same seed.
const TAG: &[u8] = b"grail/groth16/setup/1";

/// A parsed system as arkworks wants to hear it: rows are stated once, in their order.
///
/// arkworks' reduction adds the rows x_i * 0 = 0 by itself, one per public input and one for the
/// constant; without them a key would not bind a public input that no row uses.
struct Restated<'a>(&'a R1cs);

impl ConstraintSynthesizer<Fr> for Restated<'_> {
    fn generate_constraints(self, cs: ConstraintSystemRef<Fr>) -> Result<(), SynthesisError> {
        let unassigned = || Err(SynthesisError::AssignmentMissing);
        for _ in 1..self.0.instance() {
            cs.new_input_variable(unassigned)?;
        }
        for _ in self.0.instance()..self.0.wires {
            cs.new_witness_variable(unassigned)?;
        }
        let instance = self.0.instance();
        let combination = |terms: &[(u32, Fr)]| {
            let variable = |wire: u32| match wire as usize {
                0 => Variable::One,
                wire if wire < instance => Variable::Instance(wire),
                wire => Variable::Witness(wire - instance),
            };
            let terms = terms.iter().map(|(wire, x)| (*x, variable(*wire)));
            let sum: LinearCombination<Fr> = lc!();
            terms.fold(sum, |mut sum, term| {
                sum.0.push(term);
                sum
            })
        };
        let rows = self.0.a.rows().zip(self.0.b.rows()).zip(self.0.c.rows());
        for ((a, b), c) in rows {
            cs.enforce_constraint(combination(a), combination(b), combination(c))?;
        }
        Ok(())
    }
}

/// 512 bits of the stream, reduced: uniform but for 2^-256, and the same on every machine.
fn draw(stream: &mut ChaCha20Rng) -> Fr {
    loop {
        let mut wide = [0u8; 64];
        stream.fill_bytes(&mut wide);
        let element = Fr::from_le_bytes_mod_order(&wide);
        if !element.is_zero() {
            return element;
        }
    }
}

/// Makes the keys of a circuit. `raw` are the circuit's bytes: one seed gives unrelated keys for
/// different circuits, and the same keys for the same one.
pub fn keys(raw: &[u8], seed: &[u8]) -> Outcome<ProvingKey<Bn254>> {
    let system = R1cs::parse(raw)?;
    if seed.len() != 32 {
        return Err(Fault::input(format!(
            "setup seed: got {} bytes, expected 32",
            seed.len()
        )));
    }
    let circuit = sha256::Hash::hash(raw).to_byte_array();
    let own = sha256::Hash::hash(&[TAG, seed, &circuit].concat());
    let mut stream = ChaCha20Rng::from_seed(own.to_byte_array());
    let [alpha, beta, gamma, delta] = [(); 4].map(|()| draw(&mut stream));
    Groth16::<Bn254>::generate_parameters_with_qap(
        Restated(&system),
        alpha,
        beta,
        gamma,
        delta,
        G1Projective::generator(),
        G2Projective::generator(),
        &mut stream,
    )
    .map_err(|error| Fault::input(format!("setup: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zk::points::serialize;
    use crate::zk::proving_key;
    use crate::zk::r1cs::tests::{file, multiplier, Row};
    use ark_ec::AffineRepr;

    fn made(threads: usize, seed: u8) -> Vec<u8> {
        let row: Row<'_> = [&[(2, 1), (0, 5)], &[(3, 7)], &[(1, 1), (2, 3)]];
        let rows: Vec<Row<'_>> = vec![row; 300];
        let circuit = file([4, 1, 0, 2], &rows);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let keys = pool.unwrap().install(|| keys(&circuit, &[seed; 32]));
        proving_key::serialize(&keys.unwrap()).unwrap()
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let alone = made(1, 1);
        assert_eq!(alone, made(2, 1));
        assert_eq!(alone, made(7, 1));
        assert_ne!(alone, made(1, 2));
    }

    #[test]
    fn every_public_input_has_its_own_point() {
        // wires 1 to 3 are public and only the third is used: the added rows hold the others
        let circuit = file([5, 3, 0, 1], &[[&[(4, 1)], &[(4, 1)], &[(3, 1)]]]);
        let key = keys(&circuit, &[0; 32]).unwrap().vk;
        assert_eq!(key.gamma_abc_g1.len(), 4);
        assert!(key.gamma_abc_g1.iter().all(|point| !point.is_zero()));
        assert_eq!(crate::zk::points::check_key(&key, 3), Ok(()));
        assert_eq!(serialize(&key).map(|raw| raw.len()), Ok(360));
    }

    #[test]
    fn seeds_of_another_length_are_refused() {
        for length in [0, 31, 33] {
            assert!(keys(&multiplier(), &vec![0; length]).is_err());
        }
    }
}
