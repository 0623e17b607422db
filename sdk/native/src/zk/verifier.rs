//! Whether proofs hold: one at a time, or many in one equation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ark_bn254::{Bn254, Fr, G1Affine, G1Projective};
use ark_ec::pairing::Pairing;
use ark_ec::{CurveGroup, VariableBaseMSM};
use ark_ff::{AdditiveGroup, Field, UniformRand};
use ark_groth16::{prepare_verifying_key, Groth16, PreparedVerifyingKey, Proof, VerifyingKey};
use rand::rngs::OsRng;

use super::gnark;
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

/// A key in this project's form.
fn prepared_key(raw: &[u8], publics: usize) -> Outcome<Prepared> {
    static CACHE: Mutex<Option<KeyCache>> = Mutex::new(None);
    prepared_by(&CACHE, parse_key, raw, publics)
}

/// Reads, checks and prepares a key, or finds it among those done before. Each form of keys has a
/// cache of its own.
///
/// Only keys that passed every check are kept, so a hit stands for the whole check.
fn prepared_by(
    kept: &Mutex<Option<KeyCache>>,
    parse: fn(&[u8]) -> Outcome<VerifyingKey<Bn254>>,
    raw: &[u8],
    publics: usize,
) -> Outcome<Prepared> {
    let cached = |work: &mut dyn FnMut(&mut KeyCache) -> Option<Prepared>| {
        let mut guard = kept.lock().unwrap_or_else(PoisonError::into_inner);
        work(guard.get_or_insert_with(KeyCache::default))
    };
    let prepared = match cached(&mut |cache| cache.get(raw)) {
        Some(prepared) => prepared,
        None => {
            let key = parse(raw)?;
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

/// Checks one proof that gnark wrote, by a key in its form.
pub fn verify_gnark(key: &[u8], publics: &[Fr], proof: &[u8]) -> Outcome<()> {
    static CACHE: Mutex<Option<KeyCache>> = Mutex::new(None);
    let key = prepared_by(&CACHE, gnark::parse_key, key, publics.len())?;
    check(&key, publics, &gnark::parse_proof(proof)?)
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

/// Whether the sum of all proofs' equations, each times its weight, holds.
fn sum_holds(statements: &[Statement], weights: &[Fr]) -> Outcome<bool> {
    let mut sums: HashMap<&[u8], Sum> = HashMap::new();
    let mut left: Vec<G1Projective> = Vec::new();
    let mut right: Vec<<Bn254 as Pairing>::G2Prepared> = Vec::new();
    for (statement, z) in statements.iter().zip(weights) {
        let key = prepared_key(&statement.key, statement.publics.len())?;
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
            *total += *z * public;
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
    Ok(product.is_some_and(|product| product.0 == <Bn254 as Pairing>::TargetField::ONE))
}

/// Checks many proofs in one equation, each weighted by 128 fresh bits.
///
/// A batch in which a proof is false passes with probability 2^-128, whatever the proofs are: the
/// weights are drawn after they are fixed (threat Z23). Says nothing about which one is false.
pub fn verify_batch(statements: &[Statement]) -> Outcome<()> {
    let draw = |_: &Statement| Fr::from(u128::rand(&mut OsRng));
    let weights: Vec<Fr> = statements.iter().map(draw).collect();
    if sum_holds(statements, &weights)? {
        return Ok(());
    }
    Err(does_not_verify("batch"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zk::points::{parse_proof, serialize};
    use crate::zk::prover::Prover;
    use crate::zk::{proving_key, r1cs, setup};
    use ark_ec::AffineRepr;

    fn statement(left: u64, right: u64) -> Statement {
        let circuit = r1cs::tests::multiplier();
        let keys = setup::keys(&circuit, &[7; 32]).unwrap();
        let prover = Prover::new(&circuit, &proving_key::serialize(&keys).unwrap()).unwrap();
        let wires = [1, left * right, left, right].map(Fr::from);
        let (proof, publics) = prover.prove(&wires).unwrap();
        Statement {
            key: serialize(&keys.vk).unwrap(),
            publics,
            proof,
        }
    }

    fn one(statement: &Statement) -> Outcome<()> {
        verify(&statement.key, &statement.publics, &statement.proof)
    }

    #[test]
    fn test_z23_a_cancelling_pair_is_refused() {
        let mut pair = [statement(3, 11), statement(5, 7)];
        let shift = G1Affine::generator();
        pair[0].proof.c = (pair[0].proof.c + shift).into_affine();
        pair[1].proof.c = (pair[1].proof.c - shift).into_affine();
        // with predictable weights the two faults cancel
        assert_eq!(sum_holds(&pair, &[Fr::ONE, Fr::ONE]), Ok(true));
        assert!(matches!(verify_batch(&pair), Err(Fault::Proof(_))));
        assert!(one(&pair[0]).is_err() && one(&pair[1]).is_err());
    }

    #[test]
    fn test_z14_a_rerandomized_proof_says_the_same() {
        let mut stated = statement(3, 11);
        let key = parse_key(&stated.key).unwrap();
        let again = Groth16::<Bn254>::rerandomize_proof(&key, &stated.proof, &mut OsRng);
        assert_ne!(again, stated.proof);
        stated.proof = again;
        assert_eq!(one(&stated), Ok(()));
        stated.publics[0] += Fr::ONE;
        assert!(one(&stated).is_err());
    }

    #[test]
    fn an_empty_batch_holds_and_a_full_one_too() {
        assert_eq!(verify_batch(&[]), Ok(()));
        assert_eq!(verify_batch(&[statement(3, 11), statement(5, 7)]), Ok(()));
    }

    #[test]
    fn test_z11_points_outside_the_subgroup_are_refused() {
        let stated = statement(3, 11);
        let good = serialize(&stated.proof).unwrap();
        // B's x counted up until it is on the twist's curve, where the subgroup is a tiny part
        let (mut raw, mut met) = (good.clone(), 0);
        for x in 1..=40u8 {
            raw[32..96].fill(0);
            raw[32] = x;
            let b = ark_bn254::G2Affine::get_point_from_x_unchecked(u64::from(x).into(), false);
            if let Some(b) = b {
                assert!(b.is_on_curve() && !b.is_in_correct_subgroup_assuming_on_curve());
                met += 1;
            }
            assert!(matches!(parse_proof(&raw), Err(Fault::Proof(_))), "{x}");
        }
        assert!(met > 10);
        assert!(parse_proof(&good).is_ok());
    }

    #[test]
    fn test_z24_the_cache_is_bounded_and_keeps_the_last() {
        let key = |n: u64| n.to_le_bytes();
        let stated = statement(3, 11);
        let prepared = prepared_key(&stated.key, 1).unwrap();
        let mut cache = KeyCache::default();
        for n in 0..1000 {
            cache.put(&key(n), &prepared);
            assert!(cache.get(&key(0)).is_some(), "{n}: used again and again");
        }
        assert_eq!(cache.keys.len(), KEPT_KEYS);
        assert!(cache.get(&key(999)).is_some());
        assert!(cache.get(&key(500)).is_none());
    }
}
