"""A sample of the kills that `make accept` makes all of: each victim and each operation, by seed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from kill_books import Books, Held
from kills import OPERATIONS, VICTIMS, Strike, sample, survive

from grail.charms.app import App
from grail.connection.connection import connect
from grail.errors import QuorumNotReached
from grail.operators.asking import Limits
from grail.operators.frames import VOTE, Frame, Reply
from grail.operators.transport import HttpTransport
from grail_devnet.devnet import Devnet

pytestmark = pytest.mark.devnet


def test_I11_I12_D18_kill_9_at_steps_chosen_by_a_seed() -> None:
    found = survive(lambda text: print(text, flush=True), sample)
    print(f"kills: {found.survived} of {found.kills} steps survived; {found}")
    assert found.survived == found.kills == len(VICTIMS) + 1
    assert set(found.by_victim) == set(VICTIMS)
    assert all(len(found.steps[operation]) >= 10 for operation in OPERATIONS)


def test_the_sample_has_every_victim_and_every_operation_whatever_the_seed() -> None:
    strikes = [Strike(o, f"step {n}", v) for o in OPERATIONS for n in range(12) for v in VICTIMS]
    for seed in range(200):
        chosen = sample(strikes, random.Random(seed))
        assert {strike.victim for strike in chosen} == set(VICTIMS)
        assert {strike.operation for strike in chosen} == set(OPERATIONS)
        assert chosen == sorted(chosen, key=strikes.index)


ZKBTC, TOK = (App("t", bytes([n]) * 32, bytes([n]) * 32) for n in (1, 2))


def books(*, sats: int = 1_000, vault: int = 500, zkbtc: int = 500, tok: int = 9, fees: int = 0):
    users = {"alice": Held(sats, 0, {ZKBTC: zkbtc, TOK: tok})}
    return Books(1, users, vault, 330, ZKBTC, {ZKBTC: zkbtc, TOK: tok}, fees)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (books(sats=999), "1 sats less than before, 0 of them fees"),
        (books(sats=1_001), "-1 sats less"),
        (books(fees=1), "0 sats less than before, 1 of them"),
        (books(zkbtc=499), "vault 500 sats, zkBTC 499 units"),
        (books(vault=501), "vault 501 sats"),
        (books(tok=8), "8 units, 9 before"),
        (books(tok=10), "10 units, 9 before"),
    ],
)
def test_books_that_do_not_balance_are_seen(after: Books, said: str) -> None:
    books().check_since(books())
    books(sats=990, fees=10).check_since(books())
    with pytest.raises(AssertionError, match=said):
        after.check_since(books())


class Looking(HttpTransport):
    """Notes what lies on the client's disk when an operator first hears of something."""

    folder: Path
    found: set[int]

    async def ask(self, operator: int, frame: Frame) -> Reply:
        if frame.kind == VOTE:
            self.found.add(len(list(self.folder.iterdir())))
        return await super().ask(operator, frame)


def test_S18_a_request_is_on_disk_before_an_operator_hears_of_it(devnet: Devnet) -> None:
    with connect(devnet.file, progress=False) as net:
        frank = net.wallet("frank")
        net.faucet(frank, 1_000_000)
        deposit = frank.deposit(300_000)
        net.mine(6)
        before = len(list(net.session.unfinished))
        looking = Looking(net.session.transport.hosts)
        looking.folder, looking.found = devnet.file.folder / "unfinished", set()
        net.session.transport = looking
        frank.peg_in(deposit)
        assert looking.found == {before + 1}
        assert len(list(net.session.unfinished)) == before
        net.mine()


def test_S18_a_wish_cut_short_is_finished_and_not_done_twice(fresh_devnet) -> None:
    """What was asked of too few is on disk: asked again by another program, it is the same."""
    devnet: Devnet = fresh_devnet(operators=4, quorum=3)
    with connect(devnet.file, progress=False) as net:
        alice = net.wallet("alice")
        net.faucet(alice, 1_000_000)
        deposit = alice.deposit(300_000)
        net.mine(6)
        net.session.limits = Limits(answer=2)
        devnet.pause("operator-01")
        devnet.pause("operator-02")

        def cut_short(wish) -> str:
            with pytest.raises(QuorumNotReached):
                wish()
            (txid,) = net.session.unfinished
            with pytest.raises(QuorumNotReached):
                wish()
            assert list(net.session.unfinished) == [txid]
            return txid

        def finished(wish, txid: str) -> None:
            devnet.resume("operator-01")
            with connect(devnet.file, progress=False) as other:
                assert getattr(other.wallet("alice"), wish[0])(*wish[1:]).txid == txid
                other.mine()
                assert not list(other.session.unfinished)
            devnet.pause("operator-01")

        finished(("peg_in", deposit), cut_short(lambda: alice.peg_in(deposit)))
        units = alice.balance().units(net.zkbtc)
        finished(("peg_out", 50_000), cut_short(lambda: alice.peg_out(50_000)))
        assert alice.balance().units(net.zkbtc) == units - 50_000
        devnet.resume("operator-01")
        devnet.resume("operator-02")
        alice.peg_out(50_000)  # another wish, though the same words: the first one was granted
        net.mine()
        assert alice.balance().units(net.zkbtc) == units - 100_000
