"""A second, slow model of sections 3, 4, 6 and 7 of the protocol: plain loops over plain values.

It shares no code with `grail.charms` but the names of things: addresses, field elements, digests
and Poseidon are computed here, each time anew, from the text of docs/protocol.md. Tests compare the
two on random transactions (threat G5): a fault that both share would have to be made twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cbor2
import coincurve
import slow_bundles
from model_sample import Sample
from slow_reading import SlowX, read_spell, read_tx

from grail.charms.app import App
from grail.crypto.poseidon import constants

R = 21888242871839275222246405745257275088548364400416034343698204186575808495617
GRACE = 1_008


def H(tag: str, message: bytes) -> bytes:
    t = hashlib.sha256(tag.encode()).digest()
    return hashlib.sha256(t + t + message).digest()


def fe(message: bytes) -> int:
    return int.from_bytes(H("grail/fe", message), "big") % 2**253


def cs(data: bytes) -> bytes:
    n = len(data)
    if n < 253:
        return bytes([n]) + data
    if n < 65_536:
        return b"\xfd" + n.to_bytes(2, "little") + data
    return b"\xfe" + n.to_bytes(4, "little") + data


@lru_cache(maxsize=4096)
def poseidon(inputs: tuple[int, ...]) -> int:
    """circomlib's permutation, written out."""
    t = len(inputs) + 1
    full, partial, rc, mds = constants(t)
    state = [0, *inputs]
    for r in range(full + partial):
        state = [(s + rc[r * t + i]) % R for i, s in enumerate(state)]
        every = r < full // 2 or r >= full // 2 + partial
        state = [pow(s, 5, R) if every or i == 0 else s for i, s in enumerate(state)]
        state = [sum(mds[i][j] * state[j] for j in range(t)) % R for i in range(t)]
    return state[0]


def chain(facts: Sequence[int]) -> int:
    h = fe(b"grail/facts/1" + len(facts).to_bytes(4, "little"))
    rest = list(facts)
    while rest:
        group, rest = rest[:15], rest[15:]
        h = poseidon((h, *(group + [0] * 15)[:15]))
    return h


# ---- addresses (section 1)


def number(n: int) -> bytes:
    if n <= 16:
        return bytes([0x50 + n])
    raw = n.to_bytes(4, "little").rstrip(b"\0")
    if raw[-1] & 0x80:
        raw += b"\0"
    return bytes([len(raw)]) + raw


def leaf(script: bytes) -> bytes:
    return H("TapLeaf", b"\xc0" + cs(script))


def branch(a: bytes, b: bytes) -> bytes:
    return H("TapBranch", min(a, b) + max(a, b))


def taproot(internal: bytes, root: bytes) -> bytes:
    key = coincurve.PublicKeyXOnly(internal)
    key.tweak_add(H("TapTweak", internal + root))
    return b"\x51\x20" + key.format()


def quorum_leaf(roster: Any) -> bytes:
    script = b""
    for i, key in enumerate(sorted(roster.keys)):
        script += b"\x20" + bytes(key) + (b"\xac" if i == 0 else b"\xba")
    return leaf(script + number(roster.quorum) + b"\x9c")


@lru_cache(maxsize=4096)
def guard(net: bytes, K: bytes, roster: Any) -> bytes:
    gid = H("grail/guard", net + K)
    return taproot(bytes(roster.internal_key), branch(quorum_leaf(roster), leaf(b"\x6a\x20" + gid)))


def escrow(net: bytes, K: bytes, roster: Any, row: Any) -> bytes:
    terms = cbor2.dumps(list(row.terms))
    eid = H("grail/escrow", net + K + cs(row.owner_script) + cs(terms))
    recovery = number(row.n) + b"\xb2\x75\x20" + bytes(row.user_key) + b"\xac"
    below = branch(leaf(recovery), leaf(b"\x6a\x20" + eid))
    return taproot(bytes(roster.internal_key), branch(quorum_leaf(roster), below))


# ---- one transaction


@dataclass
class Slow:
    """The bytes of a sample, looked at from scratch for every question."""

    sample: Sample

    def __post_init__(self) -> None:
        d = self.sample
        self.tx = read_tx(d.raw)
        self.spell = read_spell(self.tx)
        # NET = H("grail/net", genesis block hash || grail outpoint)
        pinned = bytes(d.network.chain.genesis_hash) + d.network.grail_outpoint.serialize()
        self.net = H("grail/net", pinned)
        self.ins = [(p.sats, p.script, dict(p.charms)) for p in d.prevouts]
        pairs = zip(self.tx.outputs, self.spell.outs, strict=False)
        self.outs = [(sats, script, dict(charms)) for (sats, script), charms in pairs]
        self.zk = bytes(d.record.zkbtc)
        listed = {bytes(a.contract) for a in self.spell.apps}
        spent = {bytes(a.contract) for _, _, c in self.ins for a in c}
        self.Ks = sorted(listed | spent | {self.zk})
        self.acts = {K: action for K, action, _ in self.spell.proofs}
        self.rosters = [(r.roster, r.start, r.end) for r in d.record.reigns]
        self.heirs = [r.successor for r in d.record.reigns]
        state = next(
            (c[self._nft(self.zk)] for _, _, c in self.outs if self._nft(self.zk) in c), None
        )
        if self.zk in self.acts and self.extends(state):
            made, heir = self._roster(state), state[5]
            if made.epoch < len(self.rosters):
                self.heirs[made.epoch] = heir
                return
            start = d.height + d.network.k
            if self.rosters:
                self.rosters[-1] = (*self.rosters[-1][:2], start - 1)
            self.rosters.append((made, start, None))
            self.heirs.append(heir)

    def extends(self, state: Any) -> bool:
        """Whether this state names the next roster, or the record's own with no other successor."""
        reigns, made = self.sample.record.reigns, self._roster(state)
        if made is None or made.epoch > len(reigns):
            return False
        if made.epoch == len(reigns):
            fresh = all(
                (made.keys, made.quorum, made.internal_key)
                != (r.roster.keys, r.roster.quorum, r.roster.internal_key)
                for r in reigns
            )
            start = self.sample.height + self.sample.network.k
            return fresh and not (reigns and start < reigns[-1].start)
        known = reigns[made.epoch]
        if known.roster != made:
            return False
        # A successor is named once, by the roster that the record ends with, and never changed.
        return known.successor == state[5] or (known.successor == bytes(32) and known is reigns[-1])

    @staticmethod
    def _nft(K: bytes) -> App:
        return App("n", K[:32], K[32:])

    @staticmethod
    def _t(K: bytes) -> App:
        return App("t", K[:32], K[32:])

    @staticmethod
    def _roster(state: Any) -> Any:
        from grail.bitcoin.addresses import Roster

        try:
            kind, epoch, keys, quorum, internal, successor, height = state
            if [type(v) for v in state] != [int, int, bytes, int, bytes, bytes, int] or kind != 0:
                return None
            if len(keys) % 32 or len(successor) != 32 or not 0 <= height < 2**64:
                return None
            if height and successor == bytes(32):
                return None
            members = [keys[i : i + 32] for i in range(0, len(keys), 32)]
            if members != sorted(set(members)):
                return None
            return Roster.of(epoch, members, quorum, internal)
        except (TypeError, ValueError):
            return None

    def present(self, K: bytes) -> bool:
        """Whether the contract has a proof, a guarded address or a state here."""
        nft = self._nft(K)
        scripts = {guard(self.net, K, r) for r, _, _ in self.rosters}
        everywhere = [*self.ins, *self.outs]
        return K in self.acts or any(nft in c or script in scripts for _, script, c in everywhere)

    def bundle(self, K: bytes) -> Any:
        """The contract's bundle, read where it is needed; without a need nobody looks at it."""
        raw = self.sample.bundles.get(K[32:])
        return None if raw is None or not self.present(K) else slow_bundles.read(raw)

    def x(self, K: bytes) -> SlowX:
        return self.spell.x.get(K, SlowX())

    def action(self, K: bytes) -> Any:
        if K not in self.acts or self.bundle(K) is None:
            return None
        return self.bundle(K).actions.get(self.acts[K])

    # -- section 4

    def role(self, K: bytes, entry: tuple[int, bytes, dict[App, Any]]) -> tuple[str, int, Any]:
        """(role, epoch, kind) of a prevout or output for a contract."""
        for roster, _, _ in reversed(self.rosters):
            if entry[1] == guard(self.net, K, roster):
                state = entry[2].get(self._nft(K))
                kind = (
                    state[0]
                    if isinstance(state, list) and state and type(state[0]) is int
                    else None
                )
                declared = self.bundle(K) and self.bundle(K).kinds.get(kind)
                if kind is not None and declared and not declared.free:
                    return "port", roster.epoch, kind
                return ("bad" if entry[2] else "plain"), roster.epoch, None
        return "ordinary", -1, None

    def row_epoch(self, K: bytes, row: Any) -> int | None:
        if row.input >= len(self.ins):
            return None
        for roster, _, _ in reversed(self.rosters):
            try:
                if escrow(self.net, K, roster, row) == self.ins[row.input][1]:
                    coincurve.PublicKeyXOnly(bytes(row.user_key))
                    return int(roster.epoch)
            except ValueError:
                return None
        return None

    def kept(self, app: App) -> bool:
        before = [c[app] for _, _, c in self.ins if app in c]
        after = [c[app] for _, _, c in self.outs if app in c]
        if app.tag == "t":
            return sum(before) == sum(after)
        return sorted(map(cbor2.dumps, before)) == sorted(map(cbor2.dumps, after))

    def changed(self, K: bytes) -> set[str]:
        apps = {a for _, _, c in [*self.ins, *self.outs] for a in c}
        return {a.tag for a in apps if bytes(a.contract) == K and not self.kept(a)}

    def guarded(self, K: bytes, side: int) -> list[tuple[int, str, int, Any]]:
        entries = self.ins if side == 0 else self.outs
        found = [(i, *self.role(K, e)) for i, e in enumerate(entries)]
        return [f for f in found if f[1] != "ordinary"]

    def ports(self, K: bytes, side: int, kind: int) -> list[Any]:
        entries = self.ins if side == 0 else self.outs
        return [
            entries[i] for i, role, _, k in self.guarded(K, side) if role == "port" and k == kind
        ]

    def plain(self, K: bytes, side: int) -> list[int]:
        entries = self.ins if side == 0 else self.outs
        return [entries[i][0] for i, role, _, _ in self.guarded(K, side) if role == "plain"]

    def needs(self, K: bytes) -> bool:
        gives = any(role == "port" for _, role, _, _ in self.guarded(K, 1))
        return bool(self.guarded(K, 0) or self.x(K).rows or gives or self.changed(K))

    def ruling(self) -> Any:
        h = self.sample.height
        for roster, start, end in reversed(self.rosters):
            if start <= h and (end is None or h <= end):
                return roster
        return None

    def successor(self, K: bytes) -> bytes | None:
        ruling = self.ruling()
        if self.zk != K or ruling is None or ruling.epoch >= len(self.sample.record.reigns):
            return None
        reign = self.sample.record.reigns[ruling.epoch]
        if reign.successor == bytes(32) or self.sample.height < reign.successor_from:
            return None
        if any(role == "port" for _, role, _, _ in self.guarded(K, 0)):
            return None
        for other in sorted({bytes(a.contract) for a in self.spell.apps}):
            if H("grail/guard", self.net + other) == reign.successor:
                return other
        return None

    def standing(self, K: bytes) -> str:
        if K in self.acts:
            return "action"
        if not self.needs(K):
            return "kept"
        ins = self.guarded(K, 0)
        if ins and not self.x(K).rows:
            if "t" in self.changed(K) and self.successor(K):
                return "successor"
            ruling = self.ruling()
            if ruling is not None and all(e < ruling.epoch for _, _, e, _ in ins):
                return "move"
        return "unproven"

    def counts(self, epoch: int, grace: bool) -> bool:
        if not 0 <= epoch < len(self.rosters):
            return False
        _, start, end = self.rosters[epoch]
        h = self.sample.height
        return start <= h and (end is None or h <= end + (GRACE if grace else 0))

    # -- apprefs and facts (sections 5 and 6)

    def named(self, ref: Any, K: bytes) -> App | None:
        if ref == "t":
            return self._t(K)
        if ref == "zkbtc":
            return self._t(self.zk)
        if isinstance(ref, App):
            return ref
        side = 0 if ref.j < dict(self.action(K).ports_in).get(ref.kind, 0) else 1
        state = self.ports(K, side, ref.kind)[ref.j][2][self._nft(K)]
        wanted = int.from_bytes(state[1 + ref.field], "big")
        apps = {a for _, _, c in self.ins for a in c} | set(self.spell.apps)
        for a in apps:
            name = b"app" + cs(a.tag.encode()) + a.identity + a.vk
            if a.tag == "t" and fe(name) == wanted:
                return a
        return None

    def units(self, entry: tuple[int, bytes, dict[App, Any]], app: App | None) -> int:
        return 0 if app is None else int(entry[2].get(app, 0))

    def supply(self, K: bytes, side: int) -> int:
        return sum(self.units(e, self._t(K)) for e in (self.ins if side == 0 else self.outs))

    def fresh(self, K: bytes) -> bool:
        spent = self.tx.inputs[0][0]
        text = f"{spent[31::-1].hex()}:{int.from_bytes(spent[32:], 'little')}"
        return K[:32] == hashlib.sha256(text.encode()).digest()

    def script_fe(self, script: bytes) -> int:
        return fe(b"spk" + cs(script))

    def facts(self, K: bytes) -> list[int]:
        found: list[int] = []
        for number, arguments in self.action(K).facts:
            found += self.fact(K, number, list(arguments))
        return found

    def fact(self, K: bytes, n: int, a: list[Any]) -> list[int]:
        x, bundle = self.x(K), self.bundle(K)
        if n == 1:
            value = self.ports(K, a[0], a[1])[a[2]][2][self._nft(K)][1 + a[3]]
            kind = bundle.kinds[a[1]].fields[a[3]][1]
            if kind == "blob":
                return [fe(b"blob" + value)]
            return [int.from_bytes(value, "big") if kind == "id" else int(value)]
        if n == 2:
            return [self.ports(K, a[0], a[1])[a[2]][0]]
        if n == 3:
            return [self.units(self.ports(K, a[0], a[1])[a[2]], self.named(a[3], K))]
        if n == 4:
            return [sum(self.plain(K, a[0]))]
        if n == 5:
            return [self.supply(K, a[0])]
        if n == 6:
            return [1 if self.fresh(K) else 0]
        if n == 7:
            act, out = self.action(K), [len(x.rows)]
            for i in range(act.rows):
                if i >= len(x.rows):
                    out += [0] * (3 + 2 * len(a) + act.terms)
                    continue
                row = x.rows[i]
                one, two = self.ins[row.input], self.outs[row.output]
                out += [1, one[0], two[0]]
                for ref in a:
                    out += [
                        self.units(one, self.named(ref, K)),
                        self.units(two, self.named(ref, K)),
                    ]
                out += list(row.terms)
            return out
        if n == 8:
            o = self.outs[x.pays[a[0]]]
            return [self.script_fe(o[1]), o[0], *(self.units(o, self.named(r, K)) for r in a[1:])]
        if n == 9:
            return [self.script_fe(self.ins[x.signers[a[0]]][1])]
        if n == 10:
            return [x.args[a[0]]]
        if n == 11:
            return [self.tx.locktime]
        return [fe(b"contract" + K)] if n == 12 else [fe(self.net)]

    # -- section 3

    def digest(self, K: bytes) -> bytes:
        m = self.net + len(self.tx.inputs).to_bytes(4, "little")
        m += b"".join(spent for spent, _ in self.tx.inputs)
        m += len(self.outs).to_bytes(4, "little")
        for sats, script, _ in self.outs:
            m += sats.to_bytes(8, "little") + cs(script)
        m += self.tx.locktime.to_bytes(4, "little") + cs(self.spell.raw)
        return H("grail/proof/1", H("grail/spell/1", m) + K + bytes([self.acts[K]]))

    def publics(self, K: bytes) -> tuple[int, int, int]:
        """The public inputs of the contract's proof."""
        d = self.digest(K)
        return int.from_bytes(d[:16], "big"), int.from_bytes(d[16:], "big"), chain(self.facts(K))
