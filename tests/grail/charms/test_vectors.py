"""The protocol's published vectors, byte for byte: names, addresses, spells, facts, refusals.

They were made by a second, slow implementation that shares no code with this one (threat G5).
"""

from __future__ import annotations

from typing import Any

import golden
import pytest

from grail.bitcoin import addresses, taproot
from grail.bitcoin.taproot import TaprootOutput
from grail.charms import rules
from grail.charms import spell as spells
from grail.charms.app import App, Contract, blob_fe, identity_of, script_fe
from grail.charms.descriptor import Bundle
from grail.charms.facts import chain
from grail.codec import cs, encode
from grail.crypto.schnorr import tagged_hash
from grail.errors import SpellIncorrect
from grail.types import OutPoint, XOnlyKey
from grail.zk import groth16

pytestmark = pytest.mark.usefixtures("vectors")

ADDRESSES, SPELLS, FACTS, NEGATIVE = "addresses.json", "spells.json", "facts.json", "negative.json"


def test_network_id() -> None:
    given = golden.load(ADDRESSES)["network"]
    network = golden.network()
    assert network.id.hex() == given["NET"]
    assert network.grail_outpoint.serialize().hex() == given["grail_outpoint_bytes"]
    assert bytes(network.chain.genesis_hash).hex() == given["genesis_block_hash_internal"]
    zkbtc = golden.contract("zkBTC")
    assert zkbtc.identity == identity_of(network.grail_outpoint)
    assert bytes(zkbtc).hex() == given["zkBTC"]


@pytest.mark.parametrize("case", golden.cases(ADDRESSES, "identities", "vout"))
def test_identity(case: dict[str, Any]) -> None:
    outpoint = OutPoint.from_text(case["outpoint"])
    assert bytes(outpoint.txid).hex() == case["txid_internal"]
    assert identity_of(outpoint).hex() == case["identity"]


@pytest.mark.parametrize("case", golden.cases(ADDRESSES, "contracts", "name"))
def test_contract(case: dict[str, Any]) -> None:
    contract = Contract.parse(bytes.fromhex(case["K"]))
    assert (contract.identity.hex(), contract.vk.hex()) == (case["identity"], case["vk"])
    assert contract.gid(golden.network()).hex() == case["GID"]
    assert addresses.guard_id(golden.network(), bytes(contract)).hex() == case["GID"]
    assert contract.fe == int(case["self_fe"])
    for entry in case["apps"]:
        app = App.from_text(entry["app"])
        assert str(app) == entry["app"]
        assert app.contract == contract
        assert app.fe == int(entry["appfe"])
        assert encode(app.to_cbor()).hex() == entry["cbor"]


@pytest.mark.parametrize("case", golden.cases(ADDRESSES, "scripts", "scriptfe_hex"))
def test_script_fe(case: dict[str, Any]) -> None:
    assert script_fe(bytes.fromhex(case["script"])) == int(case["scriptfe"])
    assert case["preimage"] == (b"spk" + cs(bytes.fromhex(case["script"]))).hex()


@pytest.mark.parametrize("case", golden.cases(ADDRESSES, "blobs", "fe"))
def test_blob_fe(case: dict[str, Any]) -> None:
    assert blob_fe(bytes.fromhex(case["blob"])) == int(case["fe"])


@pytest.mark.parametrize("case", golden.cases(ADDRESSES, "csv", "n"))
def test_recovery_leaf(case: dict[str, Any]) -> None:
    script = bytes.fromhex(case["leafR"])
    assert addresses.recovery_leaf(case["n"], XOnlyKey(script[-33:-1])) == script


@pytest.mark.parametrize("case", golden.cases(ADDRESSES, "rosters", "name"))
def test_guards_and_escrows(case: dict[str, Any]) -> None:
    roster, network = golden.roster(case, 0), golden.network()
    for entry in case["guards"]:
        gid = golden.contract(entry["contract"]).gid(network)
        assert gid.hex() == entry["gid"]
        _same_output(addresses.guard(roster, gid), entry, {"quorum": "Q", "commitment": "G"})
    for entry in case["escrows"]:
        terms = [int(term) for term in entry["terms"]]
        owner = bytes.fromhex(entry["owner_script"])
        contract = bytes(golden.contract(entry["contract"]))
        eid = addresses.escrow_id(network, contract, owner, terms)
        assert eid.hex() == entry["eid"]
        output = addresses.escrow(roster, eid, entry["n"], XOnlyKey.from_hex(entry["user_key"]))
        _same_output(output, entry, {"quorum": "Q", "recovery": "R", "commitment": "E"})


def _same_output(output: TaprootOutput, entry: dict[str, Any], leaves: dict[str, str]) -> None:
    assert output.script_pubkey.hex() == entry["script_pubkey"]
    assert addresses.to_address(output.script_pubkey, "bcrt") == entry["address"]
    assert output.merkle_root.hex() == entry["merkle_root"]
    assert taproot.tweak(output.internal_key, output.merkle_root).hex() == entry["tweak"]
    assert (output.output_key.hex(), output.parity) == (
        entry["output_key"],
        entry["output_key_parity"],
    )
    for name, letter in leaves.items():
        leaf = output.leaf(name)
        assert leaf.script.hex() == entry[f"leaf{letter}"]
        assert leaf.leaf_hash.hex() == entry[f"leaf{letter}_hash"]
        assert leaf.control_block.hex() == entry[f"control_block_leaf{letter}"]


@pytest.mark.parametrize("case", golden.cases(FACTS, "bundles", "name"))
def test_bundle(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["cbor"])
    bundle = Bundle.parse(raw)
    assert bundle.serialize() == raw
    assert bundle.vk.hex() == case["sha256_is_vk"]
    for number, entry in case["actions"].items():
        action = bundle.actions[int(number)]
        assert action.name == entry["name"]
        assert action.vk.hex() == entry["vk"]
        assert [encode(fact.to_cbor()).hex() for fact in action.facts] == [
            fact["cbor"] for fact in entry["facts"]
        ]
        groth16.check_key(action.vk, 3)


def _correct(case: dict[str, Any]) -> rules.CheckedTx:
    checked = rules.correct(
        golden.transaction(case),
        golden.prevouts(case["prevouts"]),
        golden.bundles(),
        golden.record(case["record"]),
        case["height"],
        golden.network(),
    )
    rules.outputs_allowed(checked)
    return checked


@pytest.mark.parametrize("case", golden.cases(SPELLS, "spells", "name"))
def test_spell(case: dict[str, Any]) -> None:
    """Bytes of the spell both ways, digests, classes and standing; with real proofs."""
    tx, network = golden.transaction(case), golden.network()
    spell = spells.parse(tx)
    assert spell is not None
    assert str(tx.txid) == case["txid"]
    assert spell.S.hex() == case["S"]
    assert len(spell.outs) == case["n_outs"]
    assert [str(app) for app in spell.apps] == case["apps_in_order"]
    assert spell.proof_bytes().hex() == case["proof"]
    assert spell.op_return().hex() == case["op_return_script"]
    written = spells.Spell(spell.apps, spell.outs, spell.x, spell.proofs)
    assert written.S.hex() == case["S"]
    assert spells.digest0_preimage(network, tx, spell).hex() == case["D0_preimage"]
    assert spells.digest0(network, tx, spell).hex() == case["D0"]
    checked = _correct(case)
    signed = {entry.index: entry.kind for entry in checked.quorum_inputs}
    expected: dict[int, str] = {}
    for index, entry in enumerate(case["contracts"]):
        contract = Contract.parse(bytes.fromhex(entry["K"]))
        assert spell.contracts[index] == contract
        found = checked.contract(contract)
        assert found.standing == entry["standing"]
        classes = entry["classes"]
        expected |= {i: "port" for ports in classes["ports_in"].values() for i in ports}
        expected |= dict.fromkeys(classes["plain_in"], "plain")
        expected |= dict.fromkeys(classes["rows_in"], "row")
        if entry["standing"] == "action":
            assert found.action is not None
            assert (found.action.number, found.action.name) == (
                entry["action"],
                entry["action_name"],
            )
            assert found.digest.hex() == entry["D"]
            assert found.public_inputs[:2] == (
                int(entry["public_input_0"]),
                int(entry["public_input_1"]),
            )
    assert signed == expected
    assert len(checked.charms) == len(tx.outputs)


@pytest.mark.parametrize("case", golden.cases(FACTS, "expansions", "spell"))
def test_facts(case: dict[str, Any]) -> None:
    """Every fact of the twelve actions, every Poseidon group, and F."""
    story = {entry["name"]: entry for entry in golden.entries(SPELLS, "spells")}
    found = _correct(story[case["spell"]]).contract(Contract.parse(bytes.fromhex(case["K"])))
    assert list(found.facts) == [int(fact["value"]) for fact in case["facts"]]
    assert len(found.facts) == case["count"]
    assert found.public_inputs[2] == chain(found.facts) == int(case["F"])


@pytest.mark.parametrize("case", golden.cases(FACTS, "chains", "count"))
def test_fact_chain(case: dict[str, Any]) -> None:
    assert chain([int(element) for element in case["elements"]]) == int(case["F"])


@pytest.mark.parametrize("case", golden.cases(NEGATIVE, "cases", "id", "spell"))
def test_refused_spell(case: dict[str, Any]) -> None:
    """The named refusal is the first, with what was got and expected."""
    with pytest.raises(SpellIncorrect) as caught:
        _correct(case)
    assert caught.value.rule == case["refusal"], caught.value


@pytest.mark.parametrize("case", golden.cases(NEGATIVE, "cases", "id", "bundle"))
def test_refused_bundle(case: dict[str, Any]) -> None:
    with pytest.raises(SpellIncorrect) as caught:
        Bundle.parse(bytes.fromhex(case["bundle"]))
    assert caught.value.rule == case["refusal"], caught.value


def test_every_negative_is_of_a_known_kind() -> None:
    negatives = golden.entries(NEGATIVE, "cases")
    assert {entry["kind"] for entry in negatives} == {"spell", "bundle"}
    assert len(negatives) == 36


def test_digest_tags() -> None:
    """D is bound to the contract and the action, whatever else is equal (threat Z6)."""
    case = next(entry for entry in golden.entries(SPELLS, "spells") if entry["name"] == "swap")
    contract = golden.contract("POOL")
    d0 = bytes.fromhex(case["D0"])
    preimage = d0 + bytes(contract) + bytes([3])
    assert spells.digest(d0, contract, 3) == tagged_hash("grail/proof/1", preimage)
