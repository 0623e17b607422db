"""The judge of the schedules itself: planted evidence makes each of its checks fail."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from enclave_world import KEYS
from simulation import Ask, Schedule, Unsafe, second_opinion, supply
from simulation.book import book
from simulation.campaigns import why
from simulation.ground import Ground
from simulation.market import market, signed
from simulation.monitor import ALL_CHECKS, Monitor
from simulation.station import job_of

from grail.bitcoin.tx import Tx, TxIn
from grail.operators import frames
from grail.operators.certificates import Decision
from grail.operators.frames import Frame, Reply
from grail.operators.messages import Refusal
from grail.types import TxOut


@pytest.fixture
def monitor() -> Monitor:
    return Monitor(Ground())


def finished(name: str) -> Tx:
    entry = book()[name]
    return signed(market().world, entry.built, *entry.signers)


def checked(monitor: Monitor, name: str) -> None:
    """Every operator's log says that it checked this entry."""
    txid = book()[name].tx.txid
    monitor.passed[txid] = {rank: set(ALL_CHECKS) for rank in range(len(KEYS))}


def test_I1_twelve_members_and_their_checks(monitor):
    tx = finished("A1")
    with pytest.raises(Unsafe, match="I1: A1: operator 0 never checked"):
        monitor.spend(tx)
    checked(monitor, "A1")
    monitor.spend(tx)
    monitor.passed[tx.txid][3].discard("SpellIncorrect")
    with pytest.raises(Unsafe, match=r"operator 3 never checked \['SpellIncorrect'\]"):
        monitor.spend(tx)
    *stack, leaf, control = tx.inputs[0].witness
    eleven = [b"" if item == stack[-1] else item for item in stack]
    with pytest.raises(Unsafe, match="I1: A1: input 0"):
        monitor.spend(tx.with_witness(0, (*eleven, leaf, control)))


def test_I1_a_stranger_spends_the_vault(monitor):
    spends = TxIn(market().coins["a"].outpoint, witness=(bytes(64),))
    monitor.ground.mine(Tx(2, (spends,), (TxOut(1_000, b"\x51"),), 0))
    with pytest.raises(Unsafe, match=r"I1: .* is no entry"):
        monitor.block()


def test_I2_a_unit_too_much_and_a_burn(monitor, monkeypatch):
    monitor.block()
    monitor.ground.mine(book()["A1"].conflict(0))
    monitor.block()
    assert len(monitor.burned) == 1
    rich = supply.base().copy()
    outpoint = next(iter(rich.units))
    rich.units[outpoint] += 1
    monkeypatch.setattr(supply, "base", lambda: rich)
    with pytest.raises(Unsafe, match="I2: supply"):
        monitor.block()


def test_I2_an_entry_that_the_slow_model_takes_for_a_burn(monitor, monkeypatch):
    checked(monitor, "A1")
    monitor.ground.mine(finished("A1"))
    monitor.block()
    monkeypatch.setattr(second_opinion, "slow_verdict", lambda _: "NotKept")
    with pytest.raises(Unsafe, match="I2: "):
        monitor.block()


def test_I3_two_families_of_one_operator(monitor):
    one, two = (job_of(book()[name].request).proposal for name in ("A1", "AB"))
    monitor.signature(4, one, set())
    monitor.signature(5, two, set())
    monitor.signature(4, job_of(book()["A1+"].request).proposal, set())
    with pytest.raises(Unsafe, match=r"I3: .*AB beside A1"):
        monitor.signature(4, two, set())
    block = monitor.ground.mine(book()["A1"].conflict(1))
    monitor.signature(4, two, {block.header.hash})


def test_I3_two_decisions(monitor):
    one, two = (job_of(book()[name].request).proposal for name in ("S1", "S2"))
    monitor.decision(Decision(one.family, one.outpoints, 0, ()), one)
    with pytest.raises(Unsafe, match="I3: two decisions"):
        monitor.decision(Decision(two.family, two.outpoints, 0, ()), two)
    monitor.ground.mine(book()["S1"].conflict(0))
    monitor.decision(Decision(two.family, two.outpoints, 0, ()), two)


def test_I4_one_nonce_for_two_messages(monitor):
    signature = KEYS[0].sign(bytes(32))
    monitor.nonce(0, signature, b"one")
    monitor.nonce(0, signature, b"one")
    monitor.nonce(1, signature, b"two")
    with pytest.raises(Unsafe, match="I4: operator 0"):
        monitor.nonce(0, signature, b"two")


def test_I5_the_models_differ(monkeypatch):
    entry = book()["D1"]
    second_opinion.check_models_agree(entry)
    monkeypatch.setattr(second_opinion, "slow_verdict", lambda _: "TurnstileBroken")
    with pytest.raises(Unsafe, match="I5: D1: TurnstileBroken"):
        second_opinion.check_models_agree(entry)
    monkeypatch.setattr(second_opinion, "slow_verdict", lambda _: {})
    with pytest.raises(Unsafe, match="I5: D1: other facts"):
        second_opinion.check_models_agree(entry)


@pytest.mark.parametrize("name", ["inflated mint", "robbed vault"])
def test_I5_the_slow_model_refuses_the_attacks_by_itself(name):
    assert second_opinion.slow_verdict(name) == book()[name].refusal


def test_I5_a_hostile_request_is_answered(monitor):
    frame = Frame(frames.VOTE, book()["inflated mint"].request)
    with pytest.raises(Unsafe, match=r"I5: .*answered vote for inflated mint"):
        said(monitor, frame, Reply(b"a vote"))


def test_I6_a_proof_that_fits_elsewhere(monkeypatch):
    second_opinion.check_bound.__wrapped__("E1")
    monkeypatch.setattr("grail.native.groth16_verify", lambda *_: None)
    with pytest.raises(Unsafe, match="I6: the proof of E1 is accepted in"):
        second_opinion.check_bound.__wrapped__("E1")


def test_I11_nobody_is_served_when_five_are_dead(monkeypatch):
    monkeypatch.setattr("simulation.stage.LIMIT", 120.0)
    dead = dict.fromkeys(range(5), "dead")
    assert why(Schedule(1, (Ask("D1"),), (), dead)) == "I11"
    assert why(Schedule(1, (Ask("D1"),), (), dict.fromkeys(range(4), "dead"))) == ""


def said(monitor: Monitor, frame: Frame, reply: Reply | bytes, *, unchanged: bool = True) -> None:
    """A made-up instance answers."""
    raw = reply if isinstance(reply, bytes) else reply.serialize()
    instance = SimpleNamespace(name="operator 0", passed={}, tip=None)
    station = SimpleNamespace(operator=0, tips=set())
    monitor.replied(station, instance, frame, raw, unchanged=unchanged)  # type: ignore[arg-type]


def test_I12_replies_that_should_not_be(monitor):
    frame = Frame(frames.VOTE, book()["A1"].request)
    plain = Refusal(bytes(32), bytes(32), KEYS[0].public, bytes(32), "RivalVoted", "no")
    refused = Reply(None, plain.signed(KEYS[0]))
    said(monitor, frame, refused)
    with pytest.raises(Unsafe, match=r"I12: .*refused vote by RivalVoted, and changed"):
        said(monitor, frame, refused, unchanged=False)
    fault = Reply(None, replace(plain, rule="InternalError").signed(KEYS[0]))
    with pytest.raises(Unsafe, match=r"I12: .*a fault in vote"):
        said(monitor, frame, fault)
    with pytest.raises(Unsafe, match=r"I12: .*cannot be read"):
        said(monitor, frame, b"\x00")
