"""What was published is kept, sent again when it vanishes, and named when another took its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from grail.bitcoin.tx import Tx, TxIn
from grail.connection.fate import CONFIRMED, DROPPED, LOST, OVERTAKEN, REPLACED, WAITING
from grail.connection.outbox import GIVEN_UP, Outbox, Sent
from grail.errors import InvalidInput, NodeError, Superseded
from grail.types import OutPoint, Txid, TxOut

COIN = OutPoint(Txid(b"\x01" * 32), 0)
K = 6


def spending(outpoint: OutPoint, sats: int = 1_000) -> Tx:
    return Tx(2, (TxIn(outpoint),), (TxOut(sats, b"\x51"),))


PARENT = spending(COIN)
CHILD = spending(PARENT.outpoint(0), 900)
RIVAL = Tx(2, (TxIn(COIN),), (TxOut(800, b"\x52"),))
RAISED = spending(COIN, 700)


@dataclass
class Chain:
    """A ledger and a node in one, answered from tables: txid to depth, 0 in the mempool."""

    places: dict[Txid, tuple[Tx, int]] = field(default_factory=dict)
    height: int = 100
    sent: list[Txid] = field(default_factory=list)
    refuses: str = ""

    def put(self, tx: Tx, depth: int = 0) -> None:
        self.places[tx.txid] = (tx, depth)

    def confirmations(self, txid: Txid) -> int:
        return self.places[txid][1] if txid in self.places else 0

    def seen(self, txid: Txid) -> bool:
        return txid in self.places

    def known(self, txid: Txid) -> Tx | None:
        return self.places[txid][0] if txid in self.places else None

    def spender(self, outpoint: OutPoint) -> Txid | None:
        for txid, (tx, _) in self.places.items():
            if any(txin.outpoint == outpoint for txin in tx.inputs):
                return txid
        return None

    async def sendrawtransaction(self, raw: bytes) -> Txid:
        if self.refuses:
            raise NodeError(self.refuses, code=-26)
        tx = Tx.parse(raw)
        self.sent.append(tx.txid)
        self.put(tx)
        return tx.txid


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    made = Outbox(tmp_path / "sent")
    for tx in (CHILD, PARENT):  # not in the order in which they can be sent
        made.keep(Sent("payment", tx, 100, 100, b"request"))
    return made


def tend(outbox: Outbox, chain: Chain) -> bool:
    return anyio.run(outbox.tend, chain, chain, K)  # type: ignore[arg-type]


def state(outbox: Outbox, chain: Chain, tx: Tx) -> str:
    return outbox.fate(chain, tx.txid).state  # type: ignore[arg-type]


def test_what_is_there_is_left_alone(outbox: Outbox, chain: Chain) -> None:
    chain.put(PARENT, 1)
    chain.put(CHILD)
    assert not tend(outbox, chain)
    assert chain.sent == []
    assert (state(outbox, chain, PARENT), state(outbox, chain, CHILD)) == (CONFIRMED, WAITING)


def test_G11_what_vanished_is_sent_again_parents_first(outbox: Outbox, chain: Chain) -> None:
    assert state(outbox, chain, CHILD) == DROPPED
    assert tend(outbox, chain)
    assert chain.sent == [PARENT.txid, CHILD.txid]
    assert state(outbox, chain, CHILD) == WAITING


def test_why_the_node_does_not_take_it_is_told(outbox: Outbox, chain: Chain) -> None:
    chain.refuses = "mempool full"
    assert not tend(outbox, chain)
    assert "mempool full" in outbox.fate(chain, CHILD.txid).why  # type: ignore[arg-type]


def test_S12_a_rival_in_a_block_takes_it_and_what_hangs_on_it(outbox: Outbox, chain: Chain) -> None:
    chain.put(RIVAL)
    assert (state(outbox, chain, PARENT), state(outbox, chain, CHILD)) == (OVERTAKEN, OVERTAKEN)
    chain.put(RIVAL, 1)
    for tx in (PARENT, CHILD):
        fate = outbox.fate(chain, tx.txid)  # type: ignore[arg-type]
        assert (fate.state, fate.by, fate.outpoint) == (LOST, RIVAL.txid, COIN)
        with pytest.raises(Superseded) as caught:
            fate.check()
        assert caught.value.winner == str(RIVAL.txid)
    assert not tend(outbox, chain)
    assert chain.sent == []
    # a reorganisation may still bring it back
    del chain.places[RIVAL.txid]
    assert tend(outbox, chain)
    assert chain.sent == [PARENT.txid, CHILD.txid]


def test_the_same_with_another_fee_is_no_loss(outbox: Outbox, chain: Chain) -> None:
    """Else who was killed while he raised a fee is told to ask, and so to pay, once more."""
    for depth in (0, 1, K - 1):
        chain.put(RAISED, depth)
        fate = outbox.fate(chain, PARENT.txid)  # type: ignore[arg-type]
        assert (fate.state, fate.depth, fate.by) == (REPLACED, depth, RAISED.txid)
        fate.check()
        assert not tend(outbox, chain)
        assert outbox.get(PARENT.txid) is not None
    assert state(outbox, chain, CHILD) == LOST  # it hung on the first one
    chain.put(RAISED, K)
    tend(outbox, chain)
    assert outbox.get(PARENT.txid) is None


def test_another_program_finds_what_was_kept(outbox: Outbox, chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "sent" / "notes.txt").write_text("mine")
    later = Outbox(tmp_path / "sent")
    assert {sent.tx.txid for sent in later} == {PARENT.txid, CHILD.txid}
    assert later.get(CHILD.txid) == outbox.get(CHILD.txid)
    assert tend(later, chain)
    assert (tmp_path / "sent" / str(CHILD.txid)).stat().st_mode & 0o777 == 0o600


def test_what_is_deep_or_hopeless_is_kept_no_longer(
    outbox: Outbox, chain: Chain, tmp_path: Path
) -> None:
    chain.put(PARENT, K)
    chain.refuses = "no"
    tend(outbox, chain)
    assert [sent.tx.txid for sent in outbox] == [CHILD.txid]
    chain.height += GIVEN_UP + 1
    tend(outbox, chain)
    assert list(outbox) == []
    assert [path.name for path in (tmp_path / "sent").iterdir()] == []


def test_what_nobody_knows_is_said(outbox: Outbox, chain: Chain) -> None:
    with pytest.raises(InvalidInput, match="no transaction"):
        outbox.fate(chain, Txid(bytes(32)))  # type: ignore[arg-type]
