"""The refusals of steps 6 to 12 by the slow model: one question after the other, in order."""

from __future__ import annotations

from typing import Any

import cbor2
from model_sample import Sample, proof_of
from slow_reading import No, few
from slow_spells import Slow, guard

Facts = dict[bytes, tuple[tuple[int, ...], bytes]]
"""Facts and digest of each acting contract."""


def verdict(sample: Sample) -> str | Facts:
    """The first refusal's name; or, of a correct spell, facts and digest of each acting contract."""
    try:
        slow = Slow(sample)
        for step in STEPS:
            step(slow)
    except No as no:
        return str(no)
    return {K: (tuple(slow.facts(K)), slow.digest(K)) for K in slow.Ks if K in slow.acts}


def statements(sample: Sample) -> list[tuple[bytes, tuple[int, int, int]]]:
    """What the proofs of a sample must show, in order; nothing when it fails before step 12."""
    try:
        slow = Slow(sample)
        for step in STEPS[:-1]:
            step(slow)
    except No:
        return []
    return [(slow.action(K).vk, slow.publics(K)) for K, _, _ in slow.spell.proofs]


def _six(s: Slow) -> None:
    if not few({a for _, _, c in s.ins for a in c}):
        raise No("SpellInvalid")


def _states(s: Slow, K: bytes) -> list[Any]:
    nft = s._nft(K)
    return [c[nft] for _, _, c in s.outs if nft in c]


def _eight(s: Slow) -> None:
    needed = [K for K in s.Ks if s.present(K)]
    for K in needed:
        bundle = s.bundle(K)
        if bundle is None or bundle.vk != K[32:]:
            raise No("BundleMismatch")
    if any(s.bundle(K).unsafe for K in needed):
        raise No("KeyUnsafe")
    if s.sample.network.chain.name != "regtest" and any(s.bundle(K).single_party for K in needed):
        raise No("SingleParty")


def _nine(s: Slow) -> None:
    spent = {a for _, _, c in s.ins for a in c}
    held = spent | {a for _, _, c in s.outs for a in c}
    for a in s.spell.apps:
        alone = all(b.contract != a.contract for b in held)
        if a not in held and not (alone and a.tag == "t" and bytes(a.contract) in s.acts):
            raise No("AppExtra")
    for K in s.Ks:
        for side in (0, 1):
            if any(role == "bad" for _, role, _, _ in s.guarded(K, side)):
                raise No("GuardUndeclaredCharm")
    for K in s.Ks:
        if any(s.row_epoch(K, row) is None for row in s.x(K).rows):
            raise No("RowUnknown")
    claims = [o for K in s.Ks for o in [*(r.output for r in s.x(K).rows), *s.x(K).pays]]
    if len(claims) != len(set(claims)):
        raise No("OutputClaimedTwice")
    if any(s.standing(K) == "unproven" for K in s.Ks):
        raise No("ProofMissing")
    if any(K in s.acts and not s.needs(K) for K in s.Ks):
        raise No("ProofExtra")
    if any(K in s.acts and s.action(K) is None for K in s.Ks):
        raise No("ActionUnknown")
    if not spent <= set(s.spell.apps):
        raise No("AppMissing")
    for K in s.Ks:
        nft = s._nft(K)
        taken = [s.ins[i][2][nft] for i, role, _, _ in s.guarded(K, 0) if role == "port"]
        if s.present(K) and not all(_well_formed(s, K, v) for v in [*taken, *_states(s, K)]):
            raise No("StateInvalid")
    for _, script, c in s.outs:
        state = c.get(s._nft(s.zk))
        if state is None:
            continue
        roster = s._roster(state)
        if roster is None or not s.extends(state) or roster.epoch >= len(s.rosters):
            raise No("RosterInvalid")
        if s.rosters[roster.epoch][0] != roster or s.heirs[roster.epoch] != state[5]:
            raise No("RosterInvalid")
        if script != guard(s.net, s.zk, roster):
            raise No("RosterInvalid")


def _well_formed(s: Slow, K: bytes, state: Any) -> bool:
    if not isinstance(state, list) or not state or type(state[0]) is not int:
        return False
    kind = s.bundle(K).kinds.get(state[0])
    if kind is None or len(state) != 1 + len(kind.fields):
        return False
    for (_, type_), value in zip(kind.fields, state[1:], strict=True):
        fits = {
            "bool": type(value) is bool,
            "u64": type(value) is int and value in range(2**64),
            "u128": type(value) is int and value in range(2**128),
            "blob": isinstance(value, bytes),
            "id": isinstance(value, bytes)
            and len(value) == 32
            and int.from_bytes(value, "big") < 2**253,
        }
        if not fits[type_]:
            return False
    return True


def _e1(s: Slow) -> None:
    for K in s.acts:
        if s.changed(K) - set(s.action(K).changes):
            raise No("NotKept")


def _e2(s: Slow) -> None:
    for K in s.Ks:
        _port_count(s, K)
    for K in s.Ks:
        nft = s._nft(K)
        at_ports = {i for i, role, _, _ in s.guarded(K, 1) if role == "port"}
        for i, (_, _, c) in enumerate(s.outs):
            if nft not in c or i in at_ports or s.standing(K) == "move":
                continue
            kind = s.bundle(K).kinds.get(c[nft][0])
            if kind is None or not kind.free:
                raise No("NftOutside")
    for K in sorted(s.acts):
        if s.action(K).ports_in or s.fresh(K):
            continue
        gives = any(role == "port" for _, role, _, _ in s.guarded(K, 1))
        mints = s.supply(K, 0) != s.supply(K, 1) and not s.bundle(K).backed
        if gives or mints:
            raise No("NotFresh")
    for K in sorted(s.acts):
        allowed = [s.named(ref, K) for ref in s.action(K).named] + [s._nft(K)]
        for i, role, _, _ in s.guarded(K, 1):
            if role == "port" and any(a not in allowed for a in s.outs[i][2]):
                raise No("GuardUndeclaredCharm")


def _port_count(s: Slow, K: bytes) -> None:
    x, act = s.x(K), s.action(K)
    lists = [x.args, x.pays, x.signers, x.rows]
    if act is None:
        if any(lists) or (s.standing(K) == "kept" and s.plain(K, 1)):
            raise No("PortCount")
        return
    for side, declared in ((0, act.ports_in), (1, act.ports_out)):
        kinds = [k for _, role, _, k in s.guarded(K, side) if role == "port"]
        if {k: kinds.count(k) for k in kinds} != dict(declared):
            raise No("PortCount")
    if [len(x.args), len(x.pays), len(x.signers)] != [act.args, act.pays, act.signers]:
        raise No("PortCount")
    if len(x.rows) > act.rows or any(len(r.terms) != act.terms for r in x.rows):
        raise No("PortCount")
    if not act.plain and (s.plain(K, 0) or s.plain(K, 1)):
        raise No("PortCount")


def _at_guard(s: Slow, index: int) -> bool:
    return any(s.role(K, s.outs[index])[0] != "ordinary" for K in s.Ks)


def _e3(s: Slow) -> None:
    for K in s.Ks:
        for row in s.x(K).rows:
            if row.output >= len(s.outs) or s.outs[row.output][1] != row.owner_script:
                raise No("RowPayee")
            if _at_guard(s, row.output):
                raise No("RowPayee")
    for K in sorted(s.acts):
        allowed = [s.named(ref, K) for ref in s.action(K).named]
        for row in s.x(K).rows:
            if any(a not in allowed for a in s.ins[row.input][2]):
                raise No("RowCharm")
    for K in s.Ks:
        if any(i >= len(s.outs) or _at_guard(s, i) for i in s.x(K).pays):
            raise No("PayInvalid")
    ours = {i for K in s.Ks for i, _, _, _ in s.guarded(K, 0)}
    ours |= {row.input for K in s.Ks for row in s.x(K).rows}
    for K in s.Ks:
        if any(i >= len(s.ins) or i in ours for i in s.x(K).signers):
            raise No("SignerInvalid")
    seen = any(s.counts(e, True) for K in s.Ks for _, _, e, _ in s.guarded(K, 0))
    if any(s.x(K).signers for K in s.Ks) and not seen:
        raise No("SignerInvalid")
    for K in s.Ks:
        for i in s.x(K).signers:
            script = s.ins[i][1]
            if not (script[:2] in (b"\x51\x20", b"\x00\x14") and len(script) in (34, 22)):
                raise No("SignerSighash")


def _e4(s: Slow) -> None:
    backed = [K for K in s.Ks if s.bundle(K) is not None and s.bundle(K).backed]
    for K in backed:
        minted = s.supply(K, 1) - s.supply(K, 0)
        if s.standing(K) != "move" and minted != sum(s.plain(K, 1)) - sum(s.plain(K, 0)):
            raise No("TurnstileBroken")
    for K in backed:
        if s.supply(K, 1) != s.supply(K, 0) and not (s.guarded(K, 0) or s.x(K).rows):
            raise No("MintUnseen")
    for K in backed:
        for row in s.x(K).rows:
            one, two = s.ins[row.input], s.outs[row.output]
            u_in, u_paid = (s.units(e, s._t(K)) for e in (one, two))
            short = two[0] + u_paid < one[0] + u_in - row.terms[0]
            if short or (u_in == 0 and two[0] > 1_000) or (u_in > 0 and u_paid > 0):
                raise No("RowShort")
    for K in backed:
        outs, ins = s.plain(K, 1), s.plain(K, 0)
        bad = len(outs) > 2 or len(ins) > 20 or any(o < min(100_000, sum(outs)) for o in outs)
        if bad and s.standing(K) != "move":
            raise No("VaultShape")
        sats = [sum(e[0] for e in s.ports(K, side, 0)) for side in (0, 1)]
        if s.zk == K and sats[1] < sats[0]:
            raise No("VaultShape")


def _e5(s: Slow) -> None:
    for K in s.Ks:
        if s.standing(K) == "move":
            continue
        for _, _, epoch, kind in s.guarded(K, 1):
            if not (s.zk == K and kind == 0) and not s.counts(epoch, s.sample.confirmed):
                raise No("RetiredRoster")
        epochs = [e for _, _, e, _ in s.guarded(K, 0)]
        epochs += [e for row in s.x(K).rows if (e := s.row_epoch(K, row)) is not None]
        if s.supply(K, 0) != s.supply(K, 1) and not all(s.counts(e, True) for e in epochs):
            raise No("RetiredRoster")


def _e6(s: Slow) -> None:
    for K in s.Ks:
        if s.standing(K) != "move":
            continue
        ins, outs = s.guarded(K, 0), s.guarded(K, 1)
        if s.changed(K) or len(ins) != len(outs):
            raise No("MoveNotEqual")
        for (i, _, old, _), (o, _, new, _) in zip(ins, outs, strict=True):
            before, after = s.ins[i], s.outs[o]
            same = {a: cbor2.dumps(v) for a, v in before[2].items()} == {
                a: cbor2.dumps(v) for a, v in after[2].items()
            }
            if before[0] != after[0] or not same or new <= old:
                raise No("MoveNotEqual")
            if not s.counts(new, s.sample.confirmed):
                raise No("MoveNotEqual")


def _e7(s: Slow) -> None:
    K = s.zk
    if s.standing(K) != "successor":
        return
    other = s.successor(K)
    assert other is not None
    m = s.supply(K, 0) - s.supply(K, 1)
    fell = sum(s.plain(K, 0)) - sum(s.plain(K, 1))
    rose = sum(s.plain(other, 1)) - sum(s.plain(other, 0))
    if m <= 0 or fell != m or rose != m or s.changed(K) != {"t"}:
        raise No("SuccessorUnequal")


def _height(s: Slow) -> None:
    shown = any(number == 11 for K in s.acts for number, _ in s.action(K).facts)
    final = any(sequence != 0xFFFFFFFD for _, sequence in s.tx.inputs)
    if shown and (final or not 0 < s.tx.locktime < 500_000_000):
        raise No("HeightStale")


def _proofs(s: Slow) -> None:
    for K, _, proof in s.spell.proofs:
        if proof != proof_of(s.action(K).vk, s.publics(K)):
            raise No("ProofInvalid")


STEPS = (_six, _eight, _nine, _e1, _e2, _e3, _e4, _e5, _e6, _e7, _height, _proofs)
"""In the order of section 9; the spell itself is read before the first."""
