//! Addresses: bech32 and bech32m for witness programs (BIP 173, BIP 350), base58 for the old forms.

use std::str::FromStr;

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Network, Script};

use crate::edge::{Fault, Outcome};

/// The chain whose addresses begin with this prefix; the test chains share one.
fn network(hrp: &str) -> Outcome<Network> {
    match hrp {
        "bc" => Ok(Network::Bitcoin),
        "tb" => Ok(Network::Testnet),
        "bcrt" => Ok(Network::Regtest),
        other => Err(Fault::input(format!(
            "address prefix: got {other:?}, expected bc, tb or bcrt"
        ))),
    }
}

/// The address of a scriptPubKey.
pub fn encode(script: &[u8], hrp: &str) -> Outcome<String> {
    Address::from_script(Script::from_bytes(script), network(hrp)?)
        .map(|address| address.to_string())
        .map_err(|error| Fault::input(format!("address: {error}")))
}

/// The scriptPubKey of an address.
pub fn decode(text: &str, hrp: &str) -> Outcome<Vec<u8>> {
    let network = network(hrp)?;
    Address::<NetworkUnchecked>::from_str(text)
        .and_then(|address| address.require_network(network))
        .map(|address| address.script_pubkey().into_bytes())
        .map_err(|error| Fault::input(format!("address: {error}, expected one of {hrp}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_on_the_right_chain_only() {
        let script = [&[0x00, 0x14][..], &[7; 20]].concat();
        let Ok(text) = encode(&script, "bcrt") else {
            unreachable!("P2WPKH has an address")
        };
        assert_eq!(decode(&text, "bcrt"), Ok(script));
        assert!(decode(&text, "bc").is_err());
        assert!(decode(&text, "xx").is_err());
        assert!(encode(&[0x6a], "bcrt").is_err());
    }
}
