"""Enclaves in a process whose wall clock is set back and on: what they say of documents then.

Run with a C library whose clock is a preloaded one (test_dates.py has it). Prints JSON.
"""

from __future__ import annotations

import ctypes
import json
import time
from datetime import datetime
from typing import Any

from forged_documents import PCRS
from society_world import Towns, module
from watch_world import DAYS, Watch, with_a_watch

from grail.attestation.clock import MODULE_SECONDS
from grail.attestation.verifier import NONCE_SECONDS
from grail.errors import Refused
from grail.links.link import LINK_SECONDS
from grail.operators import frames
from grail.operators.frames import Frame
from grail_devnet.nsm.module import now

DAY = 86_400


def said(call: Any, *args: Any) -> str:
    """The rule of the refusal; empty for none."""
    try:
        call(*args)
    except Refused as exc:
        return exc.rule
    return ""


def dial(towns: Towns, watch: Watch, off: float) -> str:
    watch.set(off)
    rule = said(towns.dial, 3, 0)
    watch.set(0)
    return rule


def late(towns: Towns) -> str:
    here, there = towns.stations[:2]
    number, (first,) = here.ask(Frame(frames.LINK_DIAL))
    other, (second,) = there.ask(Frame(frames.LINK_ANSWER, first))
    third, name = here.ask(Frame(frames.LINK_CARRY, [number, second]))
    there.ask(Frame(frames.LINK_CARRY, [other, third]))
    towns.now += NONCE_SECONDS + 1
    return said(there.ask, Frame(frames.LINK_CARRY, [other, name]))


def stranger(towns: Towns, watch: Watch) -> str:
    own = module(towns.configuration, {**PCRS, 2: bytes([5]) * 48}, watch.authority, towns.date)
    towns.add(own=own)
    rule = said(towns.dial, 4, 0)
    towns.stations.pop()
    return rule


def header(watch: Watch, ahead: int) -> str:
    towns, world = watch.towns, watch.world
    world.feed(towns.stations[0].enclave)
    raw = world.chain.mine(time=int(towns.date().timestamp()) + ahead).header.serialize()
    return said(towns.stations[0].ask, Frame(frames.HEADERS, [raw]))


def run(date: datetime, days: int) -> dict[str, Any]:
    """All verdicts; the wall clock is set after the roster has begun."""
    set_host_clock(0)
    towns, watch = with_a_watch(begun=date)
    set_host_clock(days * DAY)
    off = round((time.time() - date.timestamp()) / DAY)
    verdicts = {
        "an honest document": dial(towns, watch, 0),
        "a day old": dial(towns, watch, -DAY),
        "a day ahead": dial(towns, watch, DAY),
        "within the bound": dial(towns, watch, -2 * MODULE_SECONDS + 0.1),
        "older than the certificates": dial(towns, watch, -(DAYS + 1) * DAY),
        "held back for too long": late(towns),
        "another image": stranger(towns, watch),
        "a header of today": header(watch, 0),
        "a header of tomorrow": header(watch, DAY),
    }
    fresh, other = with_a_watch(begins=False, begun=date)  # started by the clock as it is now
    verdicts["before a roster"] = said(fresh.dial, 1, 0)
    verdicts["a day old, before a roster"] = dial(fresh, other, -DAY)
    towns.now += LINK_SECONDS + 1
    towns.link_all()
    towns.ticks(4)
    shown = [towns.shown(at) for at in range(4)]
    return {
        "off": off,
        "verdicts": verdicts,
        "alive": min(towns.tick(at).alive for at in range(4)),
        "views": len({each.view for each in shown}),
        "seats": min(len(each.sights) for each in shown),
    }


set_host_clock = ctypes.CDLL(None).set_host_clock

if __name__ == "__main__":
    set_host_clock.argtypes = [ctypes.c_long]
    set_host_clock.restype = None
    today = now()
    print(json.dumps([run(today, days) for days in (0, -DAYS, DAYS)]))
