"""Schedules of rivals, faults and forks over real enclaves (tests/simulation says how).

A failing seed is named, its schedule shrunk and saved: `simulation.replay` plays it again.
"""

from __future__ import annotations

import os

import pytest
from simulation import (
    SAVED,
    Ask,
    Event,
    Schedule,
    Unsafe,
    campaign,
    drawn,
    judged,
    play,
    replay,
)
from simulation.campaigns import why
from simulation.station import Instance, Station

from grail.operators.memory import Memory, Place

BEGIN = int(os.environ.get("SEED", "1"))
SCHEDULES, PLAIN = 2_000, 600
"""With a living roster, and of rounds alone among sixteen. From `BEGIN` on. `make nightly` and `make accept` play more, from seeds that nobody chose."""
PART = 40


@pytest.mark.parametrize("part", range(0, SCHEDULES, PART))
def test_S16_S17_K1_P1_schedules_hold_every_invariant(part):
    """I1 to I7, I11 and I12; the same seeds each time, unless `SEED` says where to begin."""
    campaign(BEGIN + part, PART)


@pytest.mark.parametrize("part", range(0, PLAIN, PART))
def test_S16_S17_K1_P1_schedules_of_rounds_alone_hold_every_invariant(part):
    """The same with sixteen operators who have no roster to keep."""
    campaign(BEGIN + part, PART, draw=drawn)


def test_S16_K1_the_schedules_reach_every_kind_of_fault():
    """Seeds that are always the same: each thing that can happen does, many times."""
    found = campaign(1, 40, draw=drawn).merged(campaign(1, 40))
    assert found.schedules == 80
    assert min(found.events.values()) >= 5, found.events
    assert found.recoveries >= 20
    assert found.dead_spends >= 5
    assert found.signed >= 60
    assert found.rosters == 40
    assert min(found.befell.values()) >= 3, found.befell
    wanted = {"refused ProofInvalid", "refused TurnstileBroken", "refused InputSpent", "ballot"}
    wanted |= {"refused NotRecovered", "signed after a dead one", "restore"}
    wanted |= {
        "refused ViewStale",
        "votes with a fresh view",
        "kept back",
        "link refused NotMember",
    }
    assert wanted <= {name for name, count in found.counts.items() if count}
    assert {"signed", "taken", "dead", "vanished", "refused"} <= found.outcomes.keys()
    assert str(found).startswith("80 schedules from seed 1: ")


@pytest.mark.parametrize("name", sorted(path.name for path in SAVED.glob("*.json")) or [None])
def test_S16_what_failed_once_holds_now(name):
    """Every saved schedule; with none there, that one can be saved and read again."""
    if name is None:
        schedule = drawn(7)
        assert Schedule.from_json(schedule.to_json()) == schedule
    else:
        replay(name)


def test_a_seed_plays_the_same_twice():
    one, two = play(drawn(7)), play(drawn(7))
    assert one.seconds == two.seconds
    assert [c.outcome for c in one.clients] == [c.outcome for c in two.clients]
    assert one.counts == two.counts


# Take a defence out, and the schedules show it.


def test_S16_without_one_vote_per_outpoint_a_schedule_fails_and_is_made_small(
    monkeypatch, tmp_path
):
    """Found by seed, shrunk to two rivals and nothing else, saved, and played again: red."""
    blank = lambda _, proposal: [Place() for _ in proposal.outpoints]  # noqa: E731
    monkeypatch.setattr(Memory, "places", blank)
    seed = next(seed for seed in range(1, 30) if why(drawn(seed)) == "I3")
    with pytest.raises(AssertionError, match=f"seed {seed}: I3: ") as caught:
        judged(drawn(seed), tmp_path)
    (path,) = tmp_path.iterdir()
    assert str(path) in str(caught.value)
    small = Schedule.from_json(path.read_text())
    assert len(small.asks) <= 2, small.to_json()
    assert len(small.events) <= 2, small.to_json()
    with pytest.raises(Unsafe, match="I3: "):
        replay(path.name, tmp_path)
    monkeypatch.undo()
    replay(path.name, tmp_path)


def test_K1_without_recovery_restarted_operators_sign_twice(monkeypatch):
    """All twelve that are up forget what they signed: without rule 6 they serve the rival too."""
    events = tuple(Event(5, "restart", operator) for operator in range(4, 16))
    sick = dict.fromkeys(range(4), "dead")
    schedule = Schedule(1, (Ask("A1"), Ask("A2", start=6)), events, sick)

    def start(station: Station) -> Instance:
        station.instances.append(Instance(station.operator, len(station.instances)))
        return station.instances[-1]

    monkeypatch.setattr("simulation.stage.LIMIT", 100.0)
    monkeypatch.setattr(Station, "start", start)
    assert why(schedule) == "I3"
