"""Schedules of rivals under loss, delay, reordering, dead, slow and lying operators, by seed.

A failing seed is in the test's name: `simulator.play(seed)` plays it again, step by step the same.
"""

from __future__ import annotations

import pytest
import simulator
from simulator import Monitor, Outcome, play, proposal

from grail.operators.certificates import Decision

SEEDS = 160
AT_ONCE = 8


def judged(seed: int) -> Outcome:
    """Play a seed; the monitor has refused conflicts on the way, the rest is looked at here."""
    outcome = play(seed)
    signed = {family for family, who in outcome.monitor.signed.items() if len(who) >= 12}
    assert signed, f"seed {seed}: twelve were up, and nothing was completed"
    winners = {str(outcome.monitor.decided[family].txid) for family in signed}
    for client in outcome.clients:
        assert client.outcome in {"signed", "taken", "vanished"}, f"seed {seed}: {client.outcome}"
        if client.outcome == "signed":
            assert client.of.family in signed, f"seed {seed}"
        if client.outcome == "taken":
            assert client.winner in winners, f"seed {seed}"
    return outcome


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_S16_one_of_the_rivals_completes_and_never_two(first):
    for seed in range(first, first + AT_ONCE):
        judged(seed)


def test_a_seed_plays_the_same_twice():
    one, two = play(7), play(7)
    assert one.seconds == two.seconds
    assert [c.outcome for c in one.clients] == [c.outcome for c in two.clients]
    assert one.monitor.signed == two.monitor.signed


def test_the_monitor_sees_a_conflict():
    """The judge itself: two decisions on one outpoint are a failure."""
    monitor, one, two = Monitor(), proposal("A", "ab"), proposal("B", "bc")
    monitor.decision(Decision(one.family, one.outpoints, 0, ()), one)
    with pytest.raises(AssertionError, match="two decisions"):
        monitor.decision(Decision(two.family, two.outpoints, 0, ()), two)


def test_S16_without_the_certificates_check_the_simulator_finds_two_winners(monkeypatch):
    """Take the defence out, and some seed must fail: the schedules do reach it."""
    monkeypatch.setattr("grail.operators.coordinator.blocker", lambda *_, **__: None)
    monkeypatch.setattr("grail.operators.certificates.blocker", lambda *_, **__: None)
    monkeypatch.setattr(simulator, "LIMIT", 600.0)
    found = 0
    for seed in range(60):
        try:
            play(seed)
        except BaseException as exc:  # noqa: BLE001 -- task groups wrap what a client raised
            found += "two" in "".join(_texts(exc))
            if found:
                return
    pytest.fail("no seed of 60 noticed")


def _texts(exc: BaseException) -> list[str]:
    inner = exc.exceptions if isinstance(exc, BaseExceptionGroup) else ()
    return [str(exc), *(text for each in inner for text in _texts(each))]
