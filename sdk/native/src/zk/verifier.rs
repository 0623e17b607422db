//! Whether proofs hold: one at a time, or many in one equation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ark_bn254::{Bn254, Fr, G1Affine, G1Projective};
use ark_ec::pairing::Pairing;
use ark_ec::{CurveGroup, VariableBaseMSM};
use ark_ff::{AdditiveGroup, Field, UniformRand};
use ark_groth16::{prepare_verifying_key, Groth16, PreparedVerifyingKey, Proof};
use rand::rngs::OsRng;

use super::points::{check_key, parse_key};
use crate::edge::{Fault, Outcome};

/// Prepared keys that are kept; one takes some 45 kB.
const KEPT_KEYS: usize = 128;

type Prepared = Arc<PreparedVerifyingKey<Bn254>>;

/// Prepared keys by their whole bytes, so that no other key can be met by chance (threat Z24).
#[derive(Default)]
struct KeyCache {
    clock: u64,
    keys: HashMap<Vec<u8>, (u64, Prepared)>,
}

impl KeyCache {
    fn get(&mut self, raw: &[u8]) -> Option<Prepared> {
        self.clock += 1;
        let (used, prepared) = self.keys.get_mut(raw)?;
        *used = self.clock;
        Some(prepared.clone())
    }

    fn put(&mut self, raw: &[u8], prepared: &Prepared) {
        if self.keys.len() >= KEPT_KEYS {
            let oldest = self.keys.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(raw, _)| raw.clone()) {
                self.keys.remove(&oldest);
            }
        }
        self.keys
            .insert(raw.to_vec(), (self.clock, prepared.clone()));
    }
}

/// Reads, checks and prepares a key, or finds it among those done before.
///
/// Only keys that passed every check are kept, so a hit stands for the whole check.
fn prepared_key(raw: &[u8], publics: usize) -> Outcome<Prepared> {
    static CACHE: Mutex<Option<KeyCache>> = Mutex::new(None);
    let cached = |work: &mut dyn FnMut(&mut KeyCache) -> Option<Prepared>| {
        let mut guard = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        work(guard.get_or_insert_with(KeyCache::default))
    };
    let prepared = match cached(&mut |cache| cache.get(raw)) {
        Some(prepared) => prepared,
        None => {
            let key = parse_key(raw)?;
            check_key(&key, key.gamma_abc_g1.len().saturating_sub(1))?;
            let prepared = Arc::new(prepare_verifying_key(&key));
            cached(&mut |cache| {
                cache.put(raw, &prepared);
                None
            });
            prepared
        }
    };
    let expected = prepared.vk.gamma_abc_g1.len().saturating_sub(1);
    if publics != expected {
        return Err(Fault::input(format!(
            "public inputs: got {publics}, the key has {expected}"
        )));
    }
    Ok(prepared)
}

fn does_not_verify(what: impl std::fmt::Display) -> Fault {
    Fault::Proof(format!("{what} does not verify"))
}

/// Checks one proof against a prepared key.
pub fn check(
    key: &PreparedVerifyingKey<Bn254>,
    publics: &[Fr],
    proof: &Proof<Bn254>,
) -> Outcome<()> {
    match Groth16::<Bn254>::verify_proof(key, proof, publics) {
        Ok(true) => Ok(()),
        _ => Err(does_not_verify("proof")),
    }
}

/// Checks one proof.
pub fn verify(key: &[u8], publics: &[Fr], proof: &Proof<Bn254>) -> Outcome<()> {
    check(&*prepared_key(key, publics.len())?, publics, proof)
}

/// A proof, its key's bytes and its public inputs.
pub struct Statement {
    /// The verifying key.
    pub key: Vec<u8>,
    /// Public inputs.
    pub publics: Vec<Fr>,
    /// The proof.
    pub proof: Proof<Bn254>,
}

/// What the statements of one key add up to.
struct Sum {
    key: Prepared,
    /// Weight of alpha and beta, and of IC's first point.
    weight: Fr,
    publics: Vec<Fr>,
    c: G1Projective,
}

/// Checks many proofs in one equation: sum of z_i times each, z_i of 128 fresh bits.
///
/// A batch in which a proof is false passes with probability 2^-128, whatever the proofs are: the
/// weights are drawn after they are fixed (threat Z23).
pub fn verify_batch(statements: &[Statement]) -> Outcome<()> {
    let mut sums: HashMap<&[u8], Sum> = HashMap::new();
    let mut left: Vec<G1Projective> = Vec::new();
    let mut right: Vec<<Bn254 as Pairing>::G2Prepared> = Vec::new();
    for statement in statements {
        let key = prepared_key(&statement.key, statement.publics.len())?;
        let z = Fr::from(u128::rand(&mut OsRng));
        left.push(statement.proof.a * z);
        right.push(statement.proof.b.into());
        let sum = sums.entry(&statement.key).or_insert_with(|| Sum {
            key,
            weight: Fr::ZERO,
            publics: vec![Fr::ZERO; statement.publics.len()],
            c: G1Projective::ZERO,
        });
        sum.weight += z;
        sum.c += statement.proof.c * z;
        for (total, public) in sum.publics.iter_mut().zip(&statement.publics) {
            *total += z * public;
        }
    }
    for sum in sums.into_values() {
        let vk = &sum.key.vk;
        let scalars = [&[sum.weight][..], &sum.publics].concat();
        left.push(G1Projective::msm_unchecked(&vk.gamma_abc_g1, &scalars));
        right.push(sum.key.gamma_g2_neg_pc.clone());
        left.push(sum.c);
        right.push(sum.key.delta_g2_neg_pc.clone());
        left.push(vk.alpha_g1 * -sum.weight);
        right.push(vk.beta_g2.into());
    }
    let left: Vec<G1Affine> = G1Projective::normalize_batch(&left);
    let product = Bn254::final_exponentiation(Bn254::multi_miller_loop(left, right));
    if product.is_some_and(|product| product.0 == <Bn254 as Pairing>::TargetField::ONE) {
        return Ok(());
    }
    for (index, statement) in statements.iter().enumerate() {
        verify(&statement.key, &statement.publics, &statement.proof).map_err(
            |fault| match fault {
                Fault::Proof(_) => does_not_verify(format!("proof {index} of the batch")),
                other => other,
            },
        )?;
    }
    Err(does_not_verify("batch"))
}
