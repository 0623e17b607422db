"""Random changes to a draft, to its bundles and to its bytes, as an attacker or a slip makes them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import spellbook as book
from model_sample import Sample, pushed, written
from spellbook import NEXT_ZKBTC, OTHER_POOL, POOL, TOKEN, ZKBTC, Draft

from grail.charms.record import roster_state
from grail.charms.spell import Inputs

CONTRACTS = (ZKBTC, POOL, OTHER_POOL, TOKEN, NEXT_ZKBTC)


class Spoiler:
    """Changes a draft at random, in ways that an attacker or a slip would."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.ways: tuple[Callable[[Draft], None], ...] = (
            self.sats,
            self.scripts,
            self.charms,
            self.states,
            self.acts,
            self.x,
            self.order,
            self.time,
            self.lists,
            self.amounts,
            self.amounts,
            self.sequence,
            self.listed,
        )

    def script(self) -> bytes:
        if self.dice.random() < 0.5:
            return book.person(self.dice.choice(["bob", "alice", "mallory"]))
        return book.guard(self.dice.choice(CONTRACTS), self.dice.randrange(3))

    def entry(self, draft: Draft) -> tuple[list[Any], int, list[Any]]:
        """A random input or output as [sats, script, charms], and where it came from."""
        if draft.outs and self.dice.random() < 0.6:
            i = self.dice.randrange(len(draft.outs))
            return draft.outs, i, list(draft.outs[i])
        i = self.dice.randrange(len(draft.inputs))
        held = draft.inputs[i][1]
        return draft.inputs, i, [held.sats, held.script, held.charms]

    def put(self, where: list[Any], i: int, entry: list[Any], draft: Draft) -> None:
        if where is draft.inputs:
            where[i] = (where[i][0], book.Prevout(*entry))
        else:
            where[i] = tuple(entry)

    def sats(self, draft: Draft) -> None:
        where, i, entry = self.entry(draft)
        entry[0] = max(0, entry[0] + self.dice.choice([-100_000, -1_000, -1, 1, 1_000, 100_000]))
        self.put(where, i, entry, draft)

    def scripts(self, draft: Draft) -> None:
        where, i, entry = self.entry(draft)
        entry[1] = self.script()
        self.put(where, i, entry, draft)

    def charms(self, draft: Draft) -> None:
        where, i, entry = self.entry(draft)
        held = dict(entry[2])
        app = self.dice.choice([*held, *(k.token for k in CONTRACTS)])
        if app.tag == "n" or self.dice.random() < 0.3:
            held.pop(app, None)
        else:
            held[app] = max(1, held.get(app, 0) + self.dice.choice([-1_000, -1, 1, 500]))
        self.put(where, i, [entry[0], entry[1], held], draft)

    def states(self, draft: Draft) -> None:
        where, i, entry = self.entry(draft)
        held = dict(entry[2])
        contract = self.dice.choice((POOL, POOL, ZKBTC))
        held[contract.nft] = self.dice.choice(
            [
                book.pool_state(self.dice.choice([-1, 0, 7, 1_000, 1_100, 2**64 - 1, 2**64])),
                [*book.pool_state(1_000)[:4], 0],
                book.pool_state(1_000, asset=book.stranger(0)),
                [1, b"note"],
                [7],
                [],
                roster_state(book.ROSTERS[self.dice.randrange(3)]),
                roster_state(book.ROSTERS[1], NEXT_ZKBTC.gid(book.NETWORK), 9),
            ]
        )
        self.put(where, i, [entry[0], entry[1], held], draft)

    def acts(self, draft: Draft) -> None:
        if draft.acts and self.dice.random() < 0.4:
            draft.acts.pop(self.dice.choice(list(draft.acts)))
        else:
            draft.acts[self.dice.choice(CONTRACTS)] = self.dice.randrange(7)

    def x(self, draft: Draft) -> None:
        if draft.x and self.dice.random() < 0.7:
            contract = self.dice.choice(list(draft.x))
            x = draft.x[contract]
            rows = tuple(
                replace(row, output=row.output + self.dice.choice([0, 0, 1])) for row in x.rows
            )
            pays = tuple(pay + self.dice.choice([0, 1]) for pay in x.pays)
            signers = tuple(max(0, s + self.dice.choice([-1, 0, 1])) for s in x.signers)
            draft.x[contract] = Inputs(x.args[self.dice.randrange(2) :], rows, pays, signers)
        else:
            draft.x[self.dice.choice(CONTRACTS)] = Inputs(pays=(self.dice.randrange(3),))

    def order(self, draft: Draft) -> None:
        where: list[Any] = draft.outs if self.dice.random() < 0.6 else draft.inputs
        if len(where) > 1 and self.dice.random() < 0.5:
            where.pop(self.dice.randrange(len(where)))
        else:
            self.dice.shuffle(where)

    def lists(self, draft: Draft) -> None:
        """Another output, or another input that holds something."""
        app = self.dice.choice(CONTRACTS).token
        held = {app: self.dice.randrange(1, 2_000)} if self.dice.random() < 0.5 else {}
        sats = self.dice.choice([1_000, 100_000])
        if self.dice.random() < 0.5:
            draft.outs.append((sats, self.script(), held))
        else:
            spent = book.outpoint(f"more {len(draft.inputs)}")
            draft.inputs.append((spent, book.coin(sats, self.script(), held)))

    def time(self, draft: Draft) -> None:
        draft.height = self.dice.choice([100, 150, 411, 412, 1_419, 1_420, 3_000])
        draft.record = self.dice.choice([draft.record, book.FIRST, book.SECOND])
        draft.confirmed = self.dice.random() < 0.5
        draft.locktime = self.dice.choice([0, 150, 500_000_000])

    def amounts(self, draft: Draft) -> None:
        """The same number of units more, on an input and on an output: often as correct as before."""
        apps = [a for _, held in draft.inputs for a in held.charms if a.tag == "t"]
        if not apps:
            return
        app, more = self.dice.choice(apps), self.dice.choice([1, 17, 1_000, 2**63])
        ins = [i for i, (_, held) in enumerate(draft.inputs) if app in held.charms]
        outs = [i for i, (_, _, held) in enumerate(draft.outs) if app in held]
        for where, found in ((draft.inputs, ins), (draft.outs, outs)):
            if found:
                i = self.dice.choice(found)
                entry: list[Any] = (
                    [where[i][1].sats, where[i][1].script, dict(where[i][1].charms)]
                    if where is draft.inputs
                    else [*where[i][:2], dict(where[i][2])]
                )
                entry[2][app] += more
                self.put(where, i, entry, draft)

    def sequence(self, draft: Draft) -> None:
        draft.sequences[self.dice.randrange(len(draft.inputs))] = self.dice.choice(
            [0xFFFFFFFF, 0xFFFFFFFE, 0]
        )

    def listed(self, draft: Draft) -> None:
        """One app more in the list, or one less, or far too many on an input."""
        spent = [app for _, held in draft.inputs for app in held.charms]
        apps = {*spent, *(app for _, _, held in draft.outs for app in held)}
        if self.dice.random() < 0.15:
            i = self.dice.randrange(len(draft.inputs))
            held = draft.inputs[i][1]
            many = {book.stranger(n).token: 1 for n in range(self.dice.choice([31, 33, 65]))}
            draft.inputs[i] = (draft.inputs[i][0], replace(held, charms={**held.charms, **many}))
        elif apps and self.dice.random() < 0.5:
            draft.apps = tuple(sorted(apps - {self.dice.choice(sorted(apps))}))
        else:
            draft.apps = tuple(sorted(apps | {self.dice.choice(CONTRACTS).token}))

    def bundle(self, raw: bytes) -> bytes:
        """A bundle with one thing changed: a byte, or a value somewhere in its tree."""
        from slow_bundles import encoded
        from slow_reading import cbor

        if self.dice.random() < 0.3:
            spoiled = bytearray(raw)
            spoiled[self.dice.randrange(len(raw))] ^= 1 << self.dice.randrange(8)
            return bytes(spoiled)
        value = cbor(raw)
        self._prune(value)
        return encoded(value)

    def _prune(self, value: Any) -> None:
        """Walk down to some value, and change, drop or double it."""
        while True:
            keys = list(value) if isinstance(value, dict) else list(range(len(value)))
            if not keys:
                return
            key = self.dice.choice(keys)
            below = value[key]
            if isinstance(below, (dict, list)) and below and self.dice.random() < 0.85:
                value = below
                continue
            way = self.dice.randrange(5)
            if way == 0:
                del value[key]
            elif way == 1 and isinstance(value, list):
                value.append(below)
            elif way == 2 and isinstance(value, list):
                self.dice.shuffle(value)
            elif isinstance(below, bool) or not isinstance(below, int):
                value[key] = self.dice.choice([0, 1, "t", "u64", b"", [], True, None, below])
            else:
                value[key] = max(0, below + self.dice.choice([-1, 1, 1, 7, 300, 2**64]))
            return


def bytes_spoiled(draft: Draft, proofs: dict[bytes, bytes], dice: random.Random) -> Sample:
    """The draft's transaction, its spell spoiled as values, as bytes, or in its envelope."""
    way = dice.randrange(4)
    if way == 0:
        return written(draft, proofs, change=_Changes(dice))
    if way == 1:
        return written(draft, proofs, spoil=lambda payload: _payload(payload, dice))
    if way == 2:
        return written(draft, proofs, envelope=lambda outs, payload: _envelope(outs, payload, dice))
    # Another format: what Charms' own reader would take, with a magic that is not ours.
    foreign = dice.choice([b"GRL2", b"\0\0\0\0", b"\xa5\x94\xc5\x9a", b"GR"])
    loose = dice.random() < 0.5

    def spoil(payload: bytes) -> bytes:
        at = payload.rindex(b"GRL1")
        payload = payload[:at] + foreign + payload[at + 4 :]
        return b"\x9f" + payload[1:] + b"\xff" if loose else payload

    return written(draft, proofs, spoil=spoil)


class _Changes:
    """One change to the spell's parts."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def __call__(self, spell: dict[str, Any], proofs: list[Any]) -> None:
        ways: list[Callable[[dict[str, Any], list[Any]], None]] = [
            self.names,
            self.amounts,
            self.outs,
            self.x,
            self.proofs,
            self.apps,
        ]
        self.dice.choice(ways)(spell, proofs)

    def names(self, spell: dict[str, Any], _: list[Any]) -> None:
        way = self.dice.randrange(4)
        if way == 0:
            spell["version"] = self.dice.choice([14, 16, True, 15.0, "15"])
        elif way == 1:
            spell[self.dice.choice(["mock", "refs", "beams"])] = self.dice.choice([True, [], {}])
        elif way == 2:
            spell["tx"][self.dice.choice(["coins", "ins", "beamed_outs"])] = []
        else:
            del spell[self.dice.choice(sorted(spell))]

    def amounts(self, spell: dict[str, Any], _: list[Any]) -> None:
        outs = [out for out in spell.get("tx", {}).get("outs", []) if out]
        if outs:
            out = self.dice.choice(outs)
            key = self.dice.choice(sorted(out))
            bad = [
                0,
                0,
                0,
                -1,
                2**64 - 1,
                2**64,
                1.0,
                True,
                None,
                b"",
                "1",
                [1],
                {1: 2},
                [0.5],
                {2**53: 1},
            ]
            out[key] = self.dice.choice(bad)

    def outs(self, spell: dict[str, Any], _: list[Any]) -> None:
        outs = spell["tx"]["outs"]
        way = self.dice.randrange(4)
        if way == 0:
            outs += [{}] * self.dice.choice([1, 2, 5])
        elif way == 1 and outs:
            outs.pop()
        elif way == 2 and outs:
            outs[0] = {**outs[0], len(spell["app_public_inputs"]): 1}
        elif outs:
            outs[-1] = self.dice.choice([None, [], {"a": 1}, {-1: 1}])

    def x(self, spell: dict[str, Any], _: list[Any]) -> None:
        public = spell["app_public_inputs"]
        key = self.dice.choice(sorted(public)) if public else None
        row = [0, 1, book.person("bob"), [1], 1_008, bytes(book.key("bob"))]
        bad = [
            [[], [], [], []],
            [[1], [], []],
            [[2**64], [], [], []],
            [[], [], [1, 1], []],
            [[], [], [2, 1], []],
            [[], [row, row], [], []],
            [[], [[*row[:4], 143, row[5]]], [], []],
            [[], [[*row[:3], [], 1_008, row[5]]], [], []],
            [[], [[*row[:5], b"\1" * 31]], [], []],
            [[1] * 9, [], [], []],
            [[], [], [], [0]],
            [[], [row], [], []],
            {},
        ]
        if key is not None:
            public[key] = self.dice.choice(bad)

    def proofs(self, _: dict[str, Any], proofs: list[Any]) -> None:
        way = self.dice.randrange(5)
        if way == 0:
            proofs.append([0, 1, bytes(128)])
        elif way == 1:
            proofs.append([31, 1, bytes(128)])
        elif proofs and way == 2:
            proofs.reverse()
            proofs.append(proofs[0])
        elif proofs and way == 3:
            proofs[0][2] = proofs[0][2][:-1]
        elif proofs:
            proofs[0][1] = (proofs[0][1] + 1) % 256

    def apps(self, spell: dict[str, Any], _: list[Any]) -> None:
        public = spell["app_public_inputs"]
        contract = self.dice.choice(CONTRACTS)
        bad = [
            contract.app("q").to_cbor(),
            ("tt", contract.identity, contract.vk),
            ("t", contract.identity[:31], contract.vk),
            ("t", contract.identity),
            "t",
            7,
        ]
        public[self.dice.choice(bad)] = None


def _payload(payload: bytes, dice: random.Random) -> bytes:
    way = dice.randrange(6)
    at = dice.randrange(len(payload))
    if way == 0:
        return payload[:at]
    if way == 1:
        return payload + b"\0"
    if way == 2:
        return payload.replace(b"\x67version\x0f", b"\x67version\x18\x0f")
    if way == 3:
        return payload.replace(b"\x64outs", b"\x65outs ") if dice.random() < 0.5 else b""
    spoiled = bytearray(payload)
    spoiled[at] ^= 1 << dice.randrange(8)
    return bytes(spoiled)


def _envelope(outputs: list[tuple[int, bytes]], payload: bytes, dice: random.Random) -> None:
    at = next(i for i, (_, script) in enumerate(outputs) if script[:7] == b"\x6a\x05spell")
    script = outputs[at][1]
    way = dice.randrange(9)
    if way == 0:
        outputs.append(outputs[at])
    elif way == 1:
        outputs.append((0, b"\x6a\x4c\x05spell"))
    elif way == 2:
        outputs.insert(0, outputs.pop(at))
    elif way == 3:
        outputs[at] = (1, script)
    elif way == 4:
        outputs[at] = (0, b"\x6a\x4c\x05spell" + script[7:])
    elif way == 5:
        outputs[at] = (0, b"\x6a\x05spell" + pushed(payload, 4))
    elif way == 6:
        outputs[at] = (0, script + b"\x51")
    elif way == 7:
        outputs[at] = (0, script[:-1])
    else:
        outputs.append((0, b"\x6a\x04spel"))
