"""Queueing for a turn: the same host first, the next where it is down, and never in the way."""

from __future__ import annotations

import json

import anyio
import httpx
import pytest

from grail.errors import Refused
from grail.operators import turns
from grail.operators.transport import Host, HttpTransport
from grail.operators.turns import Turns

POOL = bytes([0, 0, 0, 0, 0, 0, 0, 1]) + bytes(24)
LAST = "ab" * 32


class Hosts:
    """Three hosts; each answers as its list says, then that the turn has come."""

    def __init__(self, *down: int) -> None:
        self.down = down
        self.ahead: list[int] = []
        self.calls: list[tuple[int, str, dict[str, str]]] = []
        transport = httpx.MockTransport(self.answer)
        hosts = [Host(f"http://h{i}", "token") for i in range(3)]
        self.turns = Turns(HttpTransport(hosts, transport=transport))

    def answer(self, request: httpx.Request) -> httpx.Response:
        number = int(request.url.host[1:])
        self.calls.append((number, request.url.path, json.loads(request.content)))
        if number in self.down:
            raise httpx.ConnectError("connection refused")
        ahead = self.ahead.pop(0) if self.ahead else 0
        return httpx.Response(200, json={"ticket": "t", "ahead": ahead, "last": LAST})


def test_the_turn_is_waited_for_and_ended_with_what_came_of_it() -> None:
    hosts = Hosts()
    hosts.ahead = [2, 1, 0]

    async def main() -> None:
        async with hosts.turns.turn(POOL) as turn:
            assert turn.last == LAST
            turn.txid = "cd" * 32

    anyio.run(main)
    assert [(number, path) for number, path, _ in hosts.calls] == [
        *[(1, "/v1/turn")] * 3,
        (1, "/v1/turn/done"),
    ]
    assert [body["ticket"] for _, path, body in hosts.calls if path == "/v1/turn"] == ["", "t", "t"]
    assert hosts.calls[-1][2] == {"what": POOL.hex(), "ticket": "t", "txid": "cd" * 32}


def test_the_next_host_keeps_the_queue_where_one_is_down() -> None:
    hosts = Hosts(1)

    async def main() -> None:
        async with hosts.turns.turn(POOL):
            pass

    anyio.run(main)
    assert [number for number, _, _ in hosts.calls] == [1, 2, 2]


def test_without_any_host_one_goes_at_once() -> None:
    hosts = Hosts(0, 1, 2)
    ran = []

    async def main() -> None:
        async with hosts.turns.turn(POOL) as turn:
            ran.append(turn.last)

    anyio.run(main)
    assert ran == [""]
    assert [number for number, _, _ in hosts.calls] == [1, 2, 0]


def test_an_error_ends_the_turn_and_comes_out_as_it_is() -> None:
    hosts = Hosts()

    async def main() -> None:
        with pytest.raises(Refused, match="StaleTip"):
            async with hosts.turns.turn(POOL):
                raise Refused("StaleTip", "too little")

    anyio.run(main)
    assert hosts.calls[-1][1] == "/v1/turn/done"
    assert hosts.calls[-1][2]["txid"] == ""


def test_a_queue_that_does_not_move_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "STUCK_SECONDS", 0.05)
    hosts = Hosts()
    hosts.ahead = [1] * 1_000_000

    async def main() -> None:
        with anyio.fail_after(5):
            async with hosts.turns.turn(POOL):
                pass

    anyio.run(main)


def test_a_host_that_counts_down_for_ever_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "QUEUE_SECONDS", 0.05)
    monkeypatch.setattr(turns, "PAUSE", 0.02)
    hosts = Hosts()
    hosts.ahead = list(range(1_000_000, 0, -1))

    async def main() -> None:
        with anyio.fail_after(5):
            async with hosts.turns.turn(POOL):
                pass

    anyio.run(main)
    assert len(hosts.calls) < 10  # and not as fast as it answers


@pytest.mark.parametrize("said", ['{"ticket": "t", "ahead": 1e999, "last": ""}', "[]", "7", "{"])
def test_answers_that_cannot_be_read_are_no_turn(said: str) -> None:
    hosts = Hosts()
    mock = httpx.MockTransport(lambda _: httpx.Response(200, content=said))
    hosts.turns.transport._http = httpx.AsyncClient(transport=mock)

    async def main() -> None:
        async with hosts.turns.turn(POOL) as turn:
            assert turn.last == ""

    anyio.run(main)


@pytest.mark.parametrize("last", ["zz", "ab", 7, None, "AB" * 32, "ab " * 32])
def test_a_host_that_lies_about_the_last_one_is_not_believed(last: object) -> None:
    hosts = Hosts()

    def lying(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"ticket": "t", "ahead": 0, "last": last})

    hosts.turns.transport._http = httpx.AsyncClient(transport=httpx.MockTransport(lying))

    async def main() -> None:
        async with hosts.turns.turn(POOL) as turn:
            assert turn.last == ""

    anyio.run(main)


def test_while_the_turn_is_in_use_its_host_hears_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "STAY_SECONDS", 0.01)
    hosts = Hosts()

    async def main() -> None:
        async with hosts.turns.turn(POOL):
            await anyio.sleep(0.1)

    anyio.run(main)
    assert len(hosts.calls) >= 4
    assert all(body["stays"] for _, path, body in hosts.calls[1:-1] if path == "/v1/turn")


def test_a_turn_that_is_over_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "STAY_SECONDS", 0.01)
    hosts = Hosts()

    def over(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        hosts.calls.append((1, request.url.path, body))
        ticket = "" if body.get("stays") else "t"
        return httpx.Response(200, json={"ticket": ticket, "ahead": 0, "last": ""})

    hosts.turns.transport._http = httpx.AsyncClient(transport=httpx.MockTransport(over))

    async def main() -> None:
        async with hosts.turns.turn(POOL):
            await anyio.sleep(0.2)

    anyio.run(main)
    assert [path for _, path, _ in hosts.calls] == ["/v1/turn"] * 2 + ["/v1/turn/done"]
