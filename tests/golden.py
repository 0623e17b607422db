"""Reads the published protocol vectors into the types that the code under test takes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from grail.bitcoin.addresses import Roster
from grail.bitcoin.network import REGTEST, Network
from grail.bitcoin.tx import Tx
from grail.charms.app import App, Contract
from grail.charms.descriptor import Bundle
from grail.charms.record import Record, Reign
from grail.charms.rules import Prevout
from grail.codec import decode
from grail.types import OutPoint

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "vectors" / "protocol"
"""Where the fixture `vectors` looks too; needed when tests are collected, to make one of each case."""


@cache
def load(name: str) -> Any:
    """One file of the vectors; empty when they are not there (fixture `vectors` then skips)."""
    path = FOLDER / name
    return json.loads(path.read_text()) if path.is_file() else {}


def entries(name: str, key: str) -> list[dict[str, Any]]:
    """The entries of one list."""
    found: list[dict[str, Any]] = load(name).get(key, [])
    return found


def cases(name: str, key: str, label: str, kind: str | None = None) -> list[ParameterSet]:
    """The entries of one list as parameters; one empty entry where the vectors are not there.

    A test that takes them takes `vectors` too, which decides what their absence means.
    """
    found = [entry for entry in entries(name, key) if kind is None or entry["kind"] == kind]
    return [pytest.param(entry, id=str(entry[label]).replace(" ", "_")) for entry in found] or [
        pytest.param({}, id="no_vectors")
    ]


def network() -> Network:
    """The vectors' network."""
    return Network(REGTEST, OutPoint.from_text(load("addresses.json")["network"]["grail_outpoint"]))


def contract(name: str) -> Contract:
    """A contract by its name in the vectors."""
    return Contract.parse(bytes.fromhex(load("spells.json")["contracts"][name]))


@cache
def bundles() -> dict[bytes, Bundle]:
    """The four bundles by vk."""
    found = [
        Bundle.parse(bytes.fromhex(entry["cbor"])) for entry in entries("facts.json", "bundles")
    ]
    return {bundle.vk: bundle for bundle in found}


def roster(entry: dict[str, Any], epoch: int) -> Roster:
    """A roster of the vectors."""
    keys = entry.get("keys_sorted") or entry["keys_given"]
    return Roster.of(
        epoch,
        map(bytes.fromhex, keys),
        entry["quorum"],
        bytes.fromhex(entry["internal_key"]),
    )


def record(reigns: list[dict[str, Any]]) -> Record:
    """The record that a case gives."""
    known = {entry["epoch"]: entry for entry in load("spells.json")["network"]["record"]}
    return Record(
        contract("zkBTC"),
        tuple(
            Reign(roster(known[entry["epoch"]], entry["epoch"]), entry["from"], entry["to"])
            for entry in reigns
        ),
    )


def prevouts(given: list[dict[str, Any]]) -> tuple[Prevout, ...]:
    """The prevouts of a case with their charms."""
    return tuple(
        Prevout(
            int(entry["sats"]),
            bytes.fromhex(entry["script"]),
            {
                App.from_text(charm["app"]): decode(bytes.fromhex(charm["cbor"]), free_keys=True)
                for charm in entry["charms"]
            },
        )
        for entry in given
    )


def transaction(entry: dict[str, Any]) -> Tx:
    """The unsigned transaction of a case."""
    return Tx.parse(bytes.fromhex(entry["unsigned_tx"]))
