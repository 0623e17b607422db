"""Enclaves and the date: modules that are off, hosts that delay, chains from the future."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from enclave_world import World
from forged_documents import PCRS
from society_world import Station, Towns, attesting, module
from watch_world import DAYS, with_a_watch

from grail.attestation.clock import CHAIN_AHEAD, DRIFT, MODULE_SECONDS, Span
from grail.attestation.verifier import NONCE_SECONDS
from grail.errors import Refused, Unavailable
from grail.links.link import LINK_SECONDS
from grail.operators import frames
from grail.operators.frames import Frame
from grail_enclave.dates import OWN_SECONDS, seconds

E = MODULE_SECONDS


def refused(rule: str, call, *args) -> Refused:
    with pytest.raises(Refused) as caught:
        call(*args)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


def span(station: Station) -> Span:
    assert station.enclave._society is not None
    return station.enclave._society.dates.span


def test_A11_modules_tell_the_date_and_their_quorum_is_believed() -> None:
    towns, _ = with_a_watch()
    for station in towns.stations:
        known, date = span(station), towns.date().timestamp()
        assert known.low - 0.01 <= date <= known.high + 0.01
        assert known.high - known.low <= 2 * E + 0.01
    towns.now += 3_000
    known, date = span(towns.stations[0]), towns.date().timestamp()
    assert known.low <= date <= known.high
    assert known.high - known.low == pytest.approx(2 * E + 2 * DRIFT * 3_000, abs=0.01)


@pytest.mark.parametrize(("sign", "rule"), [(-1, "TimeBehind"), (1, "TimeAhead")])
def test_A11_a_module_is_off_to_the_bound_and_one_second_past_it(sign: int, rule: str) -> None:
    """Others' readings are fresh, so a document may be off by two modules' errors."""
    towns, watch = with_a_watch()
    watch.set(sign * (2 * E - 0.01))  # documents have milliseconds
    towns.dial(3, 0)
    watch.set(sign * (2 * E + 1))
    told = datetime.fromisoformat(refused(rule, towns.dial, 3, 0).got + "+00:00")
    assert abs((told - watch()).total_seconds()) <= 1
    watch.set(0)
    towns.dial(3, 0)


def test_A11_an_old_key_that_forges_an_expired_certificates_time() -> None:
    """A chain holds at its document's time; that this is now, the others' modules say."""
    towns, watch = with_a_watch()
    for days in (1, 7, DAYS):  # its leaf was good for three hours
        watch.set(-days * 86_400.0)
        refused("TimeBehind", towns.dial, 3, 0)
        watch.set(days * 86_400.0)
        refused("TimeAhead", towns.dial, 3, 0)
    watch.set(-(DAYS + 1) * 86_400.0)
    refused("CertificateTime", towns.dial, 3, 0)


def test_A11_what_a_host_delays_makes_no_honest_document_false() -> None:
    """A minute for each answer: links come up, and one second more is refused by its age."""
    for delay, rule in ((NONCE_SECONDS, ""), (NONCE_SECONDS + 1, "NonceStale")):
        towns, _ = with_a_watch()
        here, there = towns.stations[0], towns.stations[1]
        begun = here.ask(Frame(frames.LINK_DIAL))
        number, (first,) = begun
        other, (second,) = there.ask(Frame(frames.LINK_ANSWER, first))
        third, name = here.ask(Frame(frames.LINK_CARRY, [number, second]))
        there.ask(Frame(frames.LINK_CARRY, [other, third]))
        towns.now += delay
        last = Frame(frames.LINK_CARRY, [other, name])
        if rule:
            refused(rule, there.ask, last)
            continue
        (back,) = there.ask(last)
        known, date = span(there), towns.date().timestamp()
        assert known.low - 0.01 <= date <= known.high + 0.01
        assert back


def test_R16_a_module_that_is_days_off_loses_its_links_and_no_seat() -> None:
    """The others' roster is what it was, and theirs alone counts; then it is one of them again."""
    towns, watch = with_a_watch()
    before = {towns.shown(at).view for at in range(4)}
    watch.set(-3 * 86_400.0)
    towns.now += LINK_SECONDS + 1
    for one, two in ((1, 0), (2, 0), (2, 1)):
        towns.dial(one, two)
    refused("TimeBehind", towns.dial, 3, 0)
    towns.ticks(4)
    assert [towns.tick(at).alive for at in range(3)] == [3, 3, 3]
    assert {towns.shown(at).view for at in range(4)} == before
    assert all(len(towns.shown(at).sights) == 4 for at in range(4))
    watch.set(0)
    towns.now += NONCE_SECONDS  # its own enclave asks it again
    for peer in range(3):
        towns.dial(3, peer)
    towns.ticks(4)
    assert [towns.tick(at).alive for at in range(4)] == [4, 4, 4, 4]


def test_R16_a_quorum_corrects_an_own_clock_that_is_off() -> None:
    """An enclave whose clock stood still for a day, as a machine's does that slept."""
    towns, watch = with_a_watch()
    watch.set(-600)  # its own module lags too: the others are a quorum without it
    station = towns.stations[3]
    station.enclave._society.dates._clock._readings.clear()
    station.enclave._society.dates._next = 0
    assert span(station).high < towns.date().timestamp() - 500
    dates = station.enclave._society.dates
    watch.set(0)
    refused("TimeAhead", towns.dial, 0, 3)  # by the own module alone
    for peer in (1, 0, 2):  # with the next one there are three, one of which may lie
        towns.dial(peer, 3)
    assert abs(dates.span.low - towns.date().timestamp()) < E + 0.1


def test_R16_a_machine_that_slept_is_right_again_at_once() -> None:
    """All modules are a day ahead of the own clocks, which stood still: nobody waits for a quorum."""
    towns, _ = with_a_watch()
    towns.now += NONCE_SECONDS
    towns.begun += timedelta(days=1)
    for one in range(4):
        for two in range(one):
            towns.dial(one, two)
    towns.ticks(4)
    assert [towns.tick(at).alive for at in range(4)] == [4, 4, 4, 4]
    assert abs(span(towns.stations[0]).low - towns.date().timestamp()) < E + 0.1


def test_A18_peers_that_are_refused_make_the_own_module_no_work() -> None:
    towns, watch = with_a_watch()
    dates, asked = towns.stations[0].enclave._society.dates, []
    real = dates._own.module

    class Counted:
        def document(self, *fields: bytes | None) -> bytes:
            asked.append(fields)
            return real.document(*fields)

    dates._own = replace(dates._own, module=Counted())
    towns.now += NONCE_SECONDS
    watch.set(-600)
    for _ in range(5):
        refused("TimeBehind", towns.dial, 3, 0)
    assert len(asked) == 1


def test_A11_before_a_roster_the_own_module_is_asked() -> None:
    """Strangers' documents count for nothing, even when they came first."""
    towns, watch = with_a_watch(begins=False)
    watch.set(-600)
    for peer in range(3):
        refused("TimeBehind", towns.dial, 3, peer)
    refused("TimeAhead", towns.dial, 0, 3)
    towns.dial(1, 0)


def test_A11_an_enclave_whose_module_says_nothing_has_no_date_and_starts() -> None:
    """Nonces alone count then, as they always do; the chain still says how late it is at least."""
    towns = Towns.of(operators=2, quorum=2)
    dates = towns.stations[0].enclave._society.dates
    asked = []

    class Silent:
        def document(self, *fields: object) -> bytes:
            asked.append(fields)
            raise Unavailable("security module: InternalError")

    silent = replace(dates._own, module=Silent())
    dates._own = silent
    assert dates.span == Span()
    assert dates.latest == float("inf")
    assert len(asked) == 1  # not again at once
    towns.now += NONCE_SECONDS
    assert dates.span == Span()
    assert len(asked) == 2


def test_A11_the_own_module_is_asked_once_an_hour() -> None:
    towns = Towns.of(operators=2, quorum=2)
    dates = towns.stations[0].enclave._society.dates
    asked, real = [], dates._own.module

    class Counted:
        def document(self, *fields: bytes | None) -> bytes:
            asked.append(fields)
            return real.document(*fields)

    dates._own = replace(dates._own, module=Counted())
    for _ in range(3):
        _ = dates.span
    assert len(asked) == 1
    towns.now += OWN_SECONDS
    assert dates.span.high - towns.date().timestamp() < E + 0.1
    assert len(asked) == 2


def test_A11_an_own_document_of_another_image_is_no_date() -> None:
    towns = Towns.of(operators=2, quorum=2)
    towns.add(own=module(towns.configuration, {**PCRS, 2: bytes([5]) * 48}))
    assert span(towns.stations[2]) == Span()


def test_S10_A11_headers_from_more_than_two_hours_ahead() -> None:
    """What a node would not take yet is not taken here either, and later it is."""
    world = World.begun()
    world.configuration = replace(world.configuration, attesting=attesting())
    towns = Towns(world.configuration, [])
    station = towns.add()
    world.feed(station.enclave)
    latest = int(span(station).high + CHAIN_AHEAD)
    before = station.enclave._headers.tip

    def bring(time: int) -> None:
        block = world.chain.mine(time=time)
        raw = [block.header.serialize()]
        if time > latest:
            refused("HeadersInvalid", station.ask, Frame(frames.HEADERS, raw))
            assert station.enclave._headers.tip == before
            towns.now += time - latest
        station.ask(Frame(frames.HEADERS, raw))
        assert station.enclave._headers.tip.hash == block.header.hash

    bring(latest)
    before = station.enclave._headers.tip
    bring(latest + 1)


def test_A11_the_chains_median_raises_the_clock() -> None:
    """A module under the own enclave that is far behind is not believed against the chain."""
    world = World.begun()
    world.configuration = replace(world.configuration, attesting=attesting())
    towns = Towns(world.configuration, [])
    station = towns.add()
    dates = station.enclave._society.dates
    date = int(towns.date().timestamp())
    world.chain.mine(time=date)
    for ahead in range(1, 12):
        world.chain.mine(time=date + int(CHAIN_AHEAD) - 60 + ahead)
    world.feed(station.enclave)
    assert station.enclave._headers.median_time == date + int(CHAIN_AHEAD) - 60 + 6
    assert dates.span.low >= date - E - 1
    dates._clock._readings.clear()
    dates._next = float("inf")
    assert dates.span == Span(date - 60 + 6)


def test_R16_seconds_never_fall_and_count_sleep() -> None:
    seen = [seconds() for _ in range(100)]
    assert seen == sorted(seen)


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

static long shift;
void set_host_clock(long seconds) { shift = seconds; }

int clock_gettime(clockid_t which, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(which, at);
    if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE) at->tv_sec += shift;
    return done;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="the C library's clock is replaced by preloading"
)
def test_A11_R16_a_host_clock_off_by_thirty_days_changes_no_verdict(tmp_path: Path) -> None:
    """A process whose wall clock is set back and on while it runs: the same verdicts and roster."""
    source, shim = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    said = subprocess.run(
        [sys.executable, Path(__file__).parents[1] / "host_clock.py"],
        env={**os.environ, "LD_PRELOAD": str(shim), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
        timeout=600,
    )
    runs = json.loads(said.stdout)
    assert [run["off"] for run in runs] == [
        0,
        -30,
        30,
    ]  # days that its wall clock was seen to be off
    assert runs[0]["verdicts"] == {
        "an honest document": "",
        "a day old": "TimeBehind",
        "a day ahead": "TimeAhead",
        "within the bound": "",
        "older than the certificates": "CertificateTime",
        "held back for too long": "NonceStale",
        "another image": "PcrUnaccepted",
        "a header of today": "",
        "a header of tomorrow": "HeadersInvalid",
        "before a roster": "",
        "a day old, before a roster": "TimeBehind",
    }
    for run in runs[1:]:
        assert run["verdicts"] == runs[0]["verdicts"]
    assert {(run["alive"], run["views"], run["seats"]) for run in runs} == {(4, 1, 4)}
