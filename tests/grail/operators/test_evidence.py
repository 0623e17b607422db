"""What a request carries: its bytes, and what a client still has to fetch for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_chain import MadeChain

from grail import codec
from grail.bitcoin.addresses import Roster, quorum_leaf
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.script import op_return
from grail.bitcoin.tx import Tx, TxIn
from grail.crypto.schnorr import KeyPair
from grail.errors import DecodeError, InvalidInput, TooLarge
from grail.operators.evidence import (
    DeployRecord,
    Known,
    SigningRequest,
    TxEvidence,
    assemble,
    has_spell,
    is_anchor,
    missing,
)
from grail.types import OutPoint, Txid, TxOut

KEYS = [KeyPair(bytes([n]) * 32).public for n in range(1, 5)]
ROSTER = Roster.of(0, KEYS, 3)
COIN = b"\x00\x14" + bytes(20)
SPELL = op_return(b"spell", b"payload")


def spend(*parents: Tx | int, spell: bool = False, quorum: bool = False) -> Tx:
    """A transaction that spends output 0 of its parents (a number stands for one that is absent)."""
    outpoints = [
        OutPoint(p.txid, 0) if isinstance(p, Tx) else OutPoint(Txid(p.to_bytes(32, "big")), 0)
        for p in parents
    ]
    witness = (*[bytes(64)] * 4, quorum_leaf(ROSTER), bytes(65)) if quorum else ()
    inputs = tuple(TxIn(outpoint, witness=witness) for outpoint in outpoints)
    outputs = (TxOut(1_000, COIN), *((TxOut(0, SPELL),) if spell else ()))
    return Tx(2, inputs, outputs, 0)


def known(*txs: Tx, confirmed: tuple[Tx, ...] = ()) -> Known:
    chain = MadeChain()
    block = chain.mine(*confirmed)
    inclusions = {tx.txid: block.prove(tx.txid) for tx in confirmed}
    return Known({tx.txid: tx.serialize() for tx in (*txs, *confirmed)}, inclusions, [ROSTER])


def test_request_is_read_back() -> None:
    coin = spend(1)
    chain = MadeChain()
    block = chain.mine(coin)
    item = TxEvidence(coin.serialize(), block.prove(coin.txid), (TxOut(5, COIN),))
    request = SigningRequest(b"psbt", (b"a", b"b"), (item, TxEvidence(b"raw")))
    again = SigningRequest.parse(request.serialize())
    assert again == request
    assert again.digest == request.digest
    record = DeployRecord(b"raw", block.prove(coin.txid), (b"bundle",), (item,))
    assert DeployRecord.from_value(codec.decode(codec.encode(record.to_value()))) == record


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"psbt": b"", "bundles": []},
        {"psbt": b"", "bundles": [], "evidence": [], "verified": True},
        {"psbt": "", "bundles": [], "evidence": []},
        {"psbt": b"", "bundles": [1], "evidence": []},
        {"psbt": b"", "bundles": [], "evidence": {}},
        {"psbt": b"", "bundles": [], "evidence": [[]]},
        {"psbt": b"", "bundles": [], "evidence": [[b"", None]]},
        {"psbt": b"", "bundles": [], "evidence": [["", None, None]]},
        {"psbt": b"", "bundles": [], "evidence": [[b"", 1, None]]},
        {"psbt": b"", "bundles": [], "evidence": [[b"", None, 1]]},
        {"psbt": b"", "bundles": [], "evidence": [[b"", None, [[1]]]]},
        {"psbt": b"", "bundles": [], "evidence": [[b"", None, [[-1, b""]]]]},
        {"psbt": b"", "bundles": [], "evidence": [[b"", None, [[True, b""]]]]},
        {"psbt": b"", "bundles": [], "evidence": [[b"", None, [[1 << 60, b""]]]]},
    ],
)
def test_S4_requests_of_other_shapes(value: object) -> None:
    """A field that is not known (such as a yardstick of the requester's) is refused."""
    with pytest.raises(DecodeError):
        SigningRequest.from_value(value)


def test_S33_counts_are_capped() -> None:
    for bundles, evidence in ((17, 0), (0, 257)):
        with pytest.raises(TooLarge):
            SigningRequest.from_value(
                {
                    "psbt": b"",
                    "bundles": [b""] * bundles,
                    "evidence": [[b"", None, None]] * evidence,
                }
            )


@given(st.binary(max_size=200))
def test_A14_any_bytes_as_a_request(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        SigningRequest.parse(raw)


def test_plain_parent_needs_itself_only() -> None:
    coin = spend(1)
    psbt = Psbt.of(spend(coin))
    assert missing(psbt, known()) == {coin.txid}
    ready = known(confirmed=(coin,))
    assert missing(psbt, ready) == frozenset()
    request = assemble(psbt, [b"bundle"], ready)
    assert [item.tx.txid for item in request.evidence] == [coin.txid]
    assert request.evidence[0].prevouts is None
    assert request.evidence[0].inclusion == ready.inclusions[coin.txid]


def test_parent_with_a_spell_needs_its_own_parents() -> None:
    source = spend(1)
    spelled = spend(source, spell=True)
    psbt = Psbt.of(spend(spelled))
    assert missing(psbt, known(confirmed=(spelled,))) == {source.txid}
    request = assemble(psbt, [], known(confirmed=(spelled, source)))
    assert {item.tx.txid for item in request.evidence} == {spelled.txid, source.txid}


def test_anchor_ends_a_history() -> None:
    """A confirmed anchor is sent with what its inputs spent, and nothing below it."""
    source = spend(1, spell=True)
    anchor = spend(source, spell=True, quorum=True)
    psbt = Psbt.of(spend(anchor))
    assert missing(psbt, known(confirmed=(anchor,))) == {source.txid}
    request = assemble(psbt, [], known(source, confirmed=(anchor,)))
    assert [item.tx.txid for item in request.evidence] == [anchor.txid]
    assert request.evidence[0].prevouts == source.outputs[:1]


def test_unconfirmed_anchor_brings_its_parents() -> None:
    """What an unconfirmed transaction spends must be shown to be confirmed, or an anchor too."""
    source = spend(1, spell=True)
    first = spend(source, spell=True, quorum=True)
    second = spend(first, spell=True, quorum=True)
    psbt = Psbt.of(spend(second))
    assert missing(psbt, known(second)) == {first.txid}
    request = assemble(psbt, [], known(first, second, confirmed=(source,)))
    assert {item.tx.txid for item in request.evidence} == {source.txid, first.txid, second.txid}
    prevouts = {item.tx.txid: item.prevouts for item in request.evidence}
    assert prevouts[second.txid] == first.outputs[:1]
    assert prevouts[source.txid] is None


def test_assemble_names_what_is_missing() -> None:
    coin = spend(1)
    with pytest.raises(InvalidInput, match=str(coin.txid)):
        assemble(Psbt.of(spend(coin)), [], known())


def test_anchors_and_spells_are_told_apart() -> None:
    assert is_anchor(spend(1, quorum=True), [ROSTER])
    assert not is_anchor(spend(1, quorum=True), [Roster.of(0, KEYS, 4)])
    assert not is_anchor(spend(1), [ROSTER])
    assert has_spell(spend(1, spell=True))
    assert not has_spell(spend(1))
    longest = b"\x6a\x4e\x05\x00\x00\x00spell"
    assert has_spell(Tx(2, spend(1).inputs, (TxOut(0, longest),), 0))
