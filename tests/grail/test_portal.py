"""Plain calls into an event loop: errors come out, closing is final, also inside a running loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import anyio
import anyio.lowlevel
import pytest

from grail.errors import InvalidInput, Unavailable
from grail.portal import Face, Portal, blocking


class Counter:
    def __init__(self) -> None:
        self.value = 0

    async def add(self, amount: int, *, twice: bool = False) -> int:
        """Add."""
        await anyio.lowlevel.checkpoint()
        self.value += amount * (2 if twice else 1)
        return self.value

    async def fail(self) -> None:
        raise InvalidInput("no")


class CounterSync(Face[Counter]):
    add = blocking(Counter.add)
    fail = blocking(Counter.fail)


def test_calls_run_in_one_other_thread() -> None:
    async def where() -> int:
        return threading.get_ident()

    with Portal() as portal:
        first, second = portal.call(where), portal.call(where)
    assert first == second != threading.get_ident()


def test_a_face_passes_arguments_results_and_errors() -> None:
    with Portal() as portal:
        counter = CounterSync(Counter(), portal)
        assert counter.add(2) == 2
        assert counter.add(1, twice=True) == 4
        assert CounterSync.add.__doc__ == "Add."
        with pytest.raises(InvalidInput, match="no"):
            counter.fail()


def test_a_closed_portal_says_so() -> None:
    portal = Portal()
    portal.close()
    portal.close()
    with pytest.raises(Unavailable, match="closed"):
        CounterSync(Counter(), portal).add(1)


def test_it_works_inside_a_running_loop() -> None:
    async def cell() -> int:
        with Portal() as portal:
            return CounterSync(Counter(), portal).add(5)

    assert asyncio.run(cell()) == 5


def test_values_of_an_async_iterator() -> None:
    async def values():
        for value in (1, 2, 3):
            await anyio.lowlevel.checkpoint()
            yield value

    with Portal() as portal:
        assert list(portal.iterate(values())) == [1, 2, 3]


def test_closing_while_a_call_waits_ends_the_call() -> None:
    caught = []

    def wait(portal: Portal) -> None:
        try:
            portal.call(anyio.sleep, 60)
        except Unavailable as exc:
            caught.append(exc)

    portal = Portal()
    waiting = threading.Thread(target=wait, args=(portal,))
    waiting.start()
    portal.call(anyio.sleep, 0.05)
    closing = threading.Thread(target=portal.close)
    closing.start()
    closing.join(5)
    waiting.join(5)
    assert not waiting.is_alive()
    assert "under way" in str(caught[0])


def test_a_forgotten_portal_does_not_hold_the_interpreter() -> None:
    code = "import anyio; from grail.portal import Portal; p = Portal(); p.call(anyio.sleep, 0)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
