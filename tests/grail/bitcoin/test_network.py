"""grail.bitcoin.network against the protocol's vectors and what everybody knows of the chains."""

from __future__ import annotations

import json

import pytest

from grail.bitcoin.network import MAINNET, REGTEST, Network
from grail.crypto.schnorr import tagged_hash
from grail.types import OutPoint, Txid


@pytest.fixture(scope="module")
def published(vectors):
    return json.loads((vectors / "protocol" / "addresses.json").read_text())["network"]


def test_network_id(published):
    outpoint = OutPoint.from_text(published["grail_outpoint"])
    assert outpoint.serialize().hex() == published["grail_outpoint_bytes"]
    assert bytes(REGTEST.genesis_hash).hex() == published["genesis_block_hash_internal"]
    assert str(REGTEST.genesis_hash) == published["genesis_block_hash_display"]
    network = Network(REGTEST, outpoint)
    assert network.id.hex() == published["NET"]
    assert network.k == published["k"]
    assert tagged_hash("grail/net", bytes.fromhex(published["NET_preimage"])) == network.id


def test_every_parameter_of_the_id_counts():
    one = Network(REGTEST, OutPoint(Txid(bytes(32)), 0))
    others = [
        Network(MAINNET, one.grail_outpoint),
        Network(REGTEST, OutPoint(Txid(bytes(32)), 1)),
        Network(REGTEST, OutPoint(Txid(b"\x01" * 32), 0)),
    ]
    assert len({network.id for network in (one, *others)}) == 4
    assert Network(REGTEST, one.grail_outpoint, k=100, staleness=1).id == one.id


def test_a_tagged_hash_means_nothing_on_another_network():
    one = Network(REGTEST, OutPoint(Txid(bytes(32)), 0))
    other = Network(MAINNET, one.grail_outpoint)
    assert one.tagged("a", b"m") == tagged_hash("a", one.id + b"m")
    assert one.tagged("a", b"m") != other.tagged("a", b"m")
    assert one.tagged("a", b"m") != one.tagged("b", b"m")


def test_networks_are_values():
    outpoint = OutPoint(Txid(bytes(32)), 0)
    assert Network(REGTEST, outpoint) == Network(REGTEST, outpoint)
    assert hash(Network(REGTEST, outpoint)) == hash(Network(REGTEST, outpoint))


@pytest.mark.parametrize(
    ("chain", "hrp", "bits", "no_retarget"),
    [(MAINNET, "bc", 0x1D00FFFF, False), (REGTEST, "bcrt", 0x207FFFFF, True)],
)
def test_chains(chain, hrp, bits, no_retarget):
    assert (chain.hrp, chain.pow_limit_bits, chain.no_retarget) == (hrp, bits, no_retarget)
    assert chain.retarget_interval * chain.target_spacing == 14 * 24 * 3600
