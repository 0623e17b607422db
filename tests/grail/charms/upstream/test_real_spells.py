"""Transactions of Bitcoin's main chain, versions 2 to 12: read as listed, their proofs verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grail.bitcoin.tx import Tx
from grail.charms.upstream import item, keys, proof
from grail.charms.upstream.proof import Enchanted, Keys
from grail.errors import SpellIncorrect


@pytest.fixture(scope="module")
def folder(vectors: Path) -> Path:
    return vectors / "charms"


@pytest.fixture(scope="module")
def known(folder: Path) -> Keys:
    return keys.read([folder / "vk"])


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    assert {entry["version"] for entry in found.values()} == {2, 9, 10, 11, 12}
    return found


def load(folder: Path, name: str) -> Enchanted:
    found = proof.read(Tx.parse(bytes.fromhex((folder / name).read_text().strip())))
    assert found is not None
    return found


def shown(data: item.Item) -> Any:
    return item.plain(data)


def test_all_are_read_as_listed(folder: Path, expected: dict[str, Any]) -> None:
    for name, entry in expected.items():
        found = load(folder, name)
        spell = found.spell
        assert str(found.tx.txid) == entry["txid"]
        assert found.envelope.place.value == entry["spell_in"]
        assert found.envelope.index == entry.get("output_index", entry.get("input_index"))
        assert found.envelope.payload.hex() == entry["spell_cbor"]
        assert (spell.version, spell.mock) == (entry["version"], entry["mock"])
        assert [str(app) for app in spell.apps] == [app["string"] for app in entry["apps"]]
        assert [shown(x) for x in spell.public_inputs.values()] == [
            app["public_input"] for app in entry["apps"]
        ]
        outs = [{str(place): shown(x) for place, x in out.items()} for out in spell.outs]
        assert outs == entry["outs"]
        beamed = {
            to: bytes.fromhex(digest["bytes_as_int_array"])
            for to, digest in entry.get("beamed_outs", {}).items()
        }
        assert {str(to): raw for to, raw in (spell.beamed_outs or {}).items()} == beamed
        assert [str(ref) for ref in spell.refs or ()] == entry.get("refs", [])
        assert found.proof.hex() == entry["proof"]
        assert found.canonical


def test_public_values_are_rebuilt_to_the_byte(folder: Path, expected: dict[str, Any]) -> None:
    for name, entry in expected.items():
        values = proof.public_values(load(folder, name))
        assert values.hex() == entry["proof_check"]["public_values_cbor"], name
        assert proof.digest(values).hex() == entry["proof_check"]["committed_values_digest"]


def test_all_proofs_verify(folder: Path, known: Keys, expected: dict[str, Any]) -> None:
    for name, entry in expected.items():
        assert entry["proof_check"]["verifies"]
        proof.verify(load(folder, name), known)


def test_C6_changed_ones_are_refused(folder: Path, known: Keys) -> None:
    """The published negatives: version, amount, input, app, coin."""
    negatives = json.loads((folder / "negative.json").read_text())
    assert len(negatives) == 5
    for negative in negatives:
        found = proof.read(Tx.parse(bytes.fromhex(negative["raw_tx"])))
        assert found is not None
        with pytest.raises(SpellIncorrect, match="ProofInvalid"):
            proof.verify(found, known)
