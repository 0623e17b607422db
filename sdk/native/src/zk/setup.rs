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
