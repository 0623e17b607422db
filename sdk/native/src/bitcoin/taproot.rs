//! Taproot outputs: tree, tweak, control blocks (BIP 341).

use std::sync::OnceLock;

use bitcoin::hashes::Hash;
use bitcoin::key::{TapTweak, UntweakedPublicKey};
use bitcoin::secp256k1::{Secp256k1, VerifyOnly};
use bitcoin::taproot::{ControlBlock, LeafNode, LeafVersion, TapNodeHash, TaprootBuilder};
use bitcoin::{Script, ScriptBuf, TapLeafHash};
use pyo3::pybacked::PyBackedBytes;

use crate::edge::{Fault, Outcome};

/// Output key, parity, Merkle root or nothing, and per leaf its hash and control block.
pub type Output = (Vec<u8>, u8, Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

/// Tables for verification, made once.
fn secp() -> &'static Secp256k1<VerifyOnly> {
    static CONTEXT: OnceLock<Secp256k1<VerifyOnly>> = OnceLock::new();
    CONTEXT.get_or_init(Secp256k1::verification_only)
}

/// The x-only key, which must lie on the curve.
pub fn xonly(key: &[u8]) -> Outcome<UntweakedPublicKey> {
    UntweakedPublicKey::from_slice(key).map_err(|_| {
        let text = "x-only key: not 32 bytes of a point on the curve";
        Fault::input(text)
    })
}

/// The output of an internal key and the leaves (depth, version, script), left to right.
pub fn output(internal_key: &[u8], leaves: &[(u8, u8, PyBackedBytes)]) -> Outcome<Output> {
    let internal_key = xonly(internal_key)?;
    if leaves.is_empty() {
        let (key, parity) = internal_key.tap_tweak(secp(), None);
        return Ok((key.serialize().to_vec(), parity.to_u8(), vec![], vec![]));
    }
    let mut builder = TaprootBuilder::with_capacity(leaves.len());
    for (depth, version, script) in leaves {
        let version = LeafVersion::from_consensus(*version)
            .map_err(|error| Fault::input(format!("leaf version: {error}")))?;
        builder = builder
            .add_leaf_with_ver(*depth, ScriptBuf::from_bytes(script.to_vec()), version)
            .map_err(|error| Fault::input(format!("tree: {error}")))?;
    }
    let tree = builder
        .try_into_node_info()
        .map_err(|error| Fault::input(format!("tree: {error}")))?;
    let root: TapNodeHash = tree.node_hash();
    let (key, parity) = internal_key.tap_tweak(secp(), Some(root));
    // The tree keeps its leaves in the order of their hashes; ours is the caller's.
    let mut nodes: Vec<&LeafNode> = tree.leaf_nodes().collect();
    let mut found = Vec::with_capacity(leaves.len());
    for (depth, version, script) in leaves {
        let place = nodes.iter().position(|node| {
            node.depth() == *depth
                && node.script().is_some_and(|s| s.as_bytes() == &script[..])
                && node.leaf_version().map(LeafVersion::to_consensus) == Some(*version)
        });
        let node = place.map(|place| nodes.swap_remove(place));
        let Some((node, leaf_version)) = node.and_then(|n| Some((n, n.leaf_version()?))) else {
            return Err(Fault::input("tree: a leaf is lost"));
        };
        let block = ControlBlock {
            leaf_version,
            output_key_parity: parity,
            internal_key,
            merkle_branch: node.merkle_branch().clone(),
        };
        let hash = TapLeafHash::from_script(Script::from_bytes(script), leaf_version);
        found.push((hash.to_byte_array().to_vec(), block.serialize()));
    }
    let root = root.to_byte_array().to_vec();
    Ok((key.serialize().to_vec(), parity.to_u8(), root, found))
}

/// Refuses a leaf whose control block does not lead to the output's key.
pub fn check_leaf(output: &[u8], script: &[u8], control_block: &[u8]) -> Outcome<()> {
    let wrong = || Fault::Script("the leaf is none of the output's".to_owned());
    let key = match output {
        [0x51, 0x20, key @ ..] => xonly(key)?,
        _ => return Err(wrong()),
    };
    let block = ControlBlock::decode(control_block)
        .map_err(|error| Fault::input(format!("control block: {error}")))?;
    if block.verify_taproot_commitment(secp(), key, Script::from_bytes(script)) {
        Ok(())
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BIP 341's H, a point whose secret nobody knows.
    const NUMS: &str = "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0";

    #[test]
    fn takes_points_only() {
        let key: Vec<u8> = bitcoin::hex::FromHex::from_hex(NUMS).unwrap_or_default();
        assert!(xonly(&key).is_ok());
        assert!(xonly(&[0; 32]).is_err());
        assert!(xonly(&[0xff; 32]).is_err());
        assert!(xonly(&[]).is_err());
        let Ok((output_key, _, root, leaves)) = output(&key, &[]) else {
            unreachable!("the key is on the curve")
        };
        assert_ne!(output_key, key);
        assert!(root.is_empty() && leaves.is_empty());
    }
}
