//! EdDSA over BabyJubJub with Poseidon, as iden3's circomlib has it.
//!
//! With A = a * Base8 and a = s / 8: S * Base8 = R8 + h * 8A, where h is Poseidon of R8, A and the
//! message. Keys and nonces come from BLAKE-512, the one before BLAKE2, as there.

use ark_bn254::Fr;
use ark_ec::AffineRepr;
use ark_ed_on_bn254::{EdwardsAffine, Fr as Scalar};
use ark_ff::{BigInteger, Field, PrimeField};
use blake_hash::{Blake512, Digest};

use super::babyjub::{base, coordinates, point, times};
use super::{field, poseidon};
use crate::edge::{Fault, Outcome};

/// R8's coordinates and S.
pub struct Signature {
    /// The nonce's point, x and y.
    pub nonce: [Fr; 2],
    /// S, which is below the subgroup's order.
    pub s: Scalar,
}

/// s, and the half of the hash that nonces come from.
fn expanded(secret: &[u8]) -> Outcome<(Scalar, Vec<u8>)> {
    if secret.len() != field::SIZE {
        return Err(Fault::input(format!(
            "secret key: got {} bytes, expected {}",
            secret.len(),
            field::SIZE
        )));
    }
    let mut hash = Blake512::digest(secret).to_vec();
    let rest = hash.split_off(field::SIZE);
    if let [first, .., last] = hash.as_mut_slice() {
        *first &= 0xf8;
        *last = *last & 0x7f | 0x40;
    }
    Ok((Scalar::from_le_bytes_mod_order(&hash), rest))
}

fn times_base(factor: &Scalar) -> Outcome<[Fr; 2]> {
    coordinates(&times(&base()?, &factor.into_bigint().to_bytes_be())?)
}

fn key_of(s: &Scalar) -> Outcome<[Fr; 2]> {
    // the pruned s is a multiple of 8 as an integer; modulo the odd order, dividing says the same
    let eighth = Scalar::from(8u64)
        .inverse()
        .ok_or_else(|| Fault::input("EdDSA: 8 has no inverse"))?;
    times_base(&(eighth * s))
}

fn challenge(nonce: &[Fr; 2], key: &[Fr; 2], message: &Fr) -> Outcome<Fr> {
    let ([rx, ry], [ax, ay]) = (nonce, key);
    poseidon::hash(&[*rx, *ry, *ax, *ay, *message])
}

fn reduced(element: &Fr) -> Scalar {
    Scalar::from_le_bytes_mod_order(&element.into_bigint().to_bytes_le())
}

/// The public key of 32 secret bytes.
pub fn public_key(secret: &[u8]) -> Outcome<[Fr; 2]> {
    key_of(&expanded(secret)?.0)
}

/// Signs one element. The nonce comes from the key and the message: the same bytes each time.
pub fn sign(secret: &[u8], message: &Fr) -> Outcome<Signature> {
    let (s, mut text) = expanded(secret)?;
    field::write_le(message, &mut text);
    let r = Scalar::from_le_bytes_mod_order(&Blake512::digest(&text));
    let nonce = times_base(&r)?;
    let h = challenge(&nonce, &key_of(&s)?, message)?;
    Ok(Signature {
        nonce,
        s: r + reduced(&h) * s,
    })
}

/// S from 32 big-endian bytes; one that is not below the order would be a second signature.
fn below_order(raw: &[u8]) -> Option<Scalar> {
    let s = Scalar::from_be_bytes_mod_order(raw);
    (s.into_bigint().to_bytes_be() == raw).then_some(s)
}

/// Checks a signature; S is 32 big-endian bytes.
pub fn verify(key: &[Fr; 2], message: &Fr, nonce: &[Fr; 2], s: &[u8]) -> Outcome<()> {
    let refused = |why: &str| Fault::Proof(format!("EdDSA signature: {why}"));
    let on_curve = |at: &[Fr; 2]| -> Outcome<EdwardsAffine> {
        let [x, y] = at;
        point(x, y).map_err(Fault::of_proof)
    };
    let (a, r) = (on_curve(key)?, on_curve(nonce)?);
    let eight_a = a.mul_by_cofactor();
    if eight_a.is_zero() {
        return Err(refused("the key is of small order, so it binds nothing"));
    }
    let s = below_order(s).ok_or_else(|| refused("S is not below the order"))?;
    let h = challenge(nonce, key, message)?;
    let left = times(&base()?, &s.into_bigint().to_bytes_be())?;
    let right = times(&eight_a, &h.into_bigint().to_bytes_be())? + r;
    if left != right {
        return Err(refused("it does not verify for this key and message"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_message_alone() {
        for secret in [[1u8; 32], [255; 32]] {
            let key = public_key(&secret).unwrap();
            let message = Fr::from(7u64);
            let signed = sign(&secret, &message).unwrap();
            let s = signed.s.into_bigint().to_bytes_be();
            assert_eq!(verify(&key, &message, &signed.nonce, &s), Ok(()));
            assert!(verify(&key, &Fr::from(8u64), &signed.nonce, &s).is_err());
            assert!(verify(&public_key(&[2; 32]).unwrap(), &message, &signed.nonce, &s).is_err());
            let other = (signed.s + Scalar::from(1u64)).into_bigint().to_bytes_be();
            assert!(verify(&key, &message, &signed.nonce, &other).is_err());
            let [x, y] = signed.nonce;
            assert!(verify(&key, &message, &[y, x], &s).is_err());
            assert!(verify(&key, &message, &[-x, y], &s).is_err());
        }
    }

    #[test]
    fn keys_of_small_order_and_unreduced_numbers_are_refused() {
        let secret = [1u8; 32];
        let message = Fr::from(7u64);
        let identity = [Fr::from(0u64), Fr::from(1u64)];
        let minus = [Fr::from(0u64), -Fr::from(1u64)];
        let zero = [0u8; 32];
        for key in [identity, minus] {
            assert!(verify(&key, &message, &identity, &zero).is_err());
        }
        let key = public_key(&secret).unwrap();
        let signed = sign(&secret, &message).unwrap();
        let mut more = signed.s.into_bigint();
        assert!(!more.add_with_carry(&Scalar::MODULUS));
        assert!(verify(&key, &message, &signed.nonce, &more.to_bytes_be()).is_err());
        assert!(sign(&secret[1..], &message).is_err());
    }
}
