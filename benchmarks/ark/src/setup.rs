//! A zkey from an `.r1cs`, by arkworks' setup and a seed that everybody knows.

use ark_bn254::{Fr, G1Projective, G2Projective};
use ark_ec::PrimeGroup;
use ark_ff::{Field, PrimeField, UniformRand};
use ark_relations::r1cs::{
    ConstraintSynthesizer, ConstraintSystemRef, LinearCombination, SynthesisError, Variable,
};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use crate::zkey::{self, Bytes};
use crate::{Ark, Outcome};

/// A row's linear combination: coefficients and their wires.
pub type Terms = Vec<(Fr, usize)>;

/// A circuit in iden3's format.
pub struct Circuit {
    /// All wires.
    pub wires: usize,
    /// The constant and the public wires.
    pub instance: usize,
    /// A, B and C.
    pub rows: Vec<[Terms; 3]>,
}

fn terms(body: &mut Bytes<'_>) -> Terms {
    let count = body.u32();
    let term = |_| {
        let wire = body.u32();
        (Fr::from_le_bytes_mod_order(body.take(32)), wire)
    };
    (0..count).map(term).collect()
}

fn parse(raw: &[u8]) -> Circuit {
    let mut header = zkey::section(raw, 1);
    header.take(4 + 32);
    let [wires, outputs, inputs, _] = [(); 4].map(|()| header.u32());
    header.take(8);
    let count = header.u32();
    let mut body = zkey::section(raw, 2);
    let rows = (0..count).map(|_| [(); 3].map(|()| terms(&mut body)));
    Circuit {
        wires,
        instance: 1 + outputs + inputs,
        rows: rows.collect(),
    }
}

impl ConstraintSynthesizer<Fr> for &Circuit {
    fn generate_constraints(self, cs: ConstraintSystemRef<Fr>) -> Result<(), SynthesisError> {
        let unassigned = || Err(SynthesisError::AssignmentMissing);
        for _ in 1..self.instance {
            cs.new_input_variable(unassigned)?;
        }
        for _ in self.instance..self.wires {
            cs.new_witness_variable(unassigned)?;
        }
        let variable = |wire: usize| match wire {
            0 => Variable::One,
            wire if wire < self.instance => Variable::Instance(wire),
            wire => Variable::Witness(wire - self.instance),
        };
        for row in &self.rows {
            let [a, b, c] = row.each_ref().map(|terms| {
                LinearCombination(terms.iter().map(|(x, wire)| (*x, variable(*wire))).collect())
            });
            cs.enforce_constraint(a, b, c)?;
        }
        Ok(())
    }
}

/// The bytes of a key.
pub fn zkey(raw: &[u8]) -> Outcome<Vec<u8>> {
    let mut circuit = parse(raw);
    let mut stream = ChaCha20Rng::from_seed([1; 32]);
    let [alpha, beta, delta] = [(); 3].map(|()| Fr::rand(&mut stream));
    let key = Ark::generate_parameters_with_qap(
        &circuit,
        alpha,
        beta,
        Fr::ONE, // snarkjs' gamma is the generator
        delta,
        G1Projective::generator(),
        G2Projective::generator(),
        &mut stream,
    )?;
    // the rows of the public wires, which arkworks adds by itself and snarkjs writes down
    for wire in 0..circuit.instance {
        circuit.rows.push([vec![(Fr::ONE, wire)], Terms::new(), Terms::new()]);
    }
    Ok(zkey::write(&key, &circuit))
}
