"""Reads the published protocol vectors into the types that the code under test takes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from grail.bitcoin.addresses import Roster
from grail.bitcoin.network import REGTEST, Network
from grail.bitcoin.tx import Tx
from grail.charms.app import App, Contract
from grail.charms.descriptor import Bundle
from grail.charms.record import Record, Reign
from grail.charms.rules import Prevout
from grail.codec import decode
from grail.types import OutPoint, TxOut

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "protocol"
"""Where the fixture `vectors` looks too; needed when tests are collected, to make one of each case."""


@cache
def load(name: str) -> Any:
    """One file of the vectors; empty when the vectors are not there (the fixture then skips)."""
    path = FOLDER / name
    return json.loads(path.read_text()) if path.is_file() else {}


def cases(name: str, key: str) -> list[dict[str, Any]]:
    """The entries of one list, for parametrising."""
    found: list[dict[str, Any]] = load(name).get(key, [])
    return found


def network() -> Network:
    """The vectors' network."""
    return Network(REGTEST, OutPoint.from_text(load("addresses.json")["network"]["grail_outpoint"]))


def contract(name: str) -> Contract:
    """A contract by its name in the vectors."""
    return Contract.parse(bytes.fromhex(load("spells.json")["contracts"][name]))


@cache
def bundles() -> dict[bytes, Bundle]:
    """The four bundles by vk."""
    found = [Bundle.parse(bytes.fromhex(entry["cbor"])) for entry in cases("facts.json", "bundles")]
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


def prevouts(entries: list[dict[str, Any]]) -> tuple[Prevout, ...]:
    """The prevouts of a case with their charms."""
    return tuple(
        Prevout(
            int(entry["sats"]),
            bytes.fromhex(entry["script"]),
            {
                App.from_text(charm["app"]): decode(bytes.fromhex(charm["cbor"]))
                for charm in entry["charms"]
            },
        )
        for entry in entries
    )


def transaction(entry: dict[str, Any]) -> Tx:
    """The unsigned transaction of a case."""
    return Tx.parse(bytes.fromhex(entry["unsigned_tx"]))


def txout(prevout: Prevout) -> TxOut:
    """The prevout as Bitcoin knows it."""
    return TxOut(prevout.sats, prevout.script)
