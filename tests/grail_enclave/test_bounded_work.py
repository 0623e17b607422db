"""What a request may cost, counted in hashes and signature checks, not in seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType

import pytest
from enclave_world import QUORUM, ROSTER, N, World, rule, vote

from grail.bitcoin import spv
from grail.bitcoin.addresses import quorum_leaf
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import Tx, TxIn
from grail.charms import anchor
from grail.crypto import schnorr
from grail.operators.evidence import TxEvidence
from grail.types import OutPoint, Txid, TxOut
from grail.zk import groth16

WIDE = 190
"""Transactions of evidence that lead nowhere."""


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the costly steps, wherever they are called from."""
    counted: Counter[str] = Counter()

    def counting(module: ModuleType, name: str) -> None:
        real = getattr(module, name)

        def counted_call(*given: object, **more: object) -> object:
            counted[f"{module.__name__}.{name}"] += 1
            return real(*given, **more)

        monkeypatch.setattr(module, name, counted_call)

    for module, name in ((spv, "hash256"), (schnorr, "verify"), (groth16, "verify")):
        counting(module, name)
    return counted


def test_S33_evidence_that_nothing_needs_costs_no_hash(shared: World, work: Counter[str]) -> None:
    """Deep branches, signatures and spells beside an honest request are never looked at."""
    built = shared.peg_in(*shared.paid())
    request = shared.request(built)
    enclave = shared.enclave()
    work.clear()
    assert vote(enclave, request).refusal is None
    honest = Counter(work)
    assert honest
    deploy = shared.deploy_record()
    deep = replace(deploy.inclusion, branch=(bytes(32),) * 32, coinbase_branch=(bytes(32),) * 32)
    filler = tuple(
        TxEvidence(replace(shared.deploy, locktime=n).serialize(), deep, built.spent_outputs[:1])
        for n in range(1, WIDE)
    )
    enclave = shared.enclave()
    work.clear()
    vote(enclave, replace(request, evidence=(*request.evidence, *filler)))
    assert work == honest


def test_S33_a_refused_request_costs_no_more_than_an_honest_one(
    shared: World, work: Counter[str]
) -> None:
    """Cheap checks come first: a wrong form is refused before any hash or signature check."""
    built = shared.peg_in(*shared.paid())
    request = shared.request(built)
    psbt = shared.psbt(built)
    enclave = shared.enclave()
    work.clear()
    bad = replace(request, psbt=replace(psbt, tx=replace(psbt.tx, version=1)).serialize())
    assert rule(vote(enclave, bad)) == "TxShape"
    # The one signature is that of the refusal, which this test looks at.
    assert work == {"grail.crypto.schnorr.verify": 1}


def test_S33_a_wide_parent_costs_no_hash_for_each_input(
    shared: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parent of thousands of inputs, each with the quorum's leaf and signatures of nothing.

    A hash over all inputs for each of them took seconds for one request of free bytes.
    """
    built = shared.peg_in(*shared.paid())
    psbt, request = shared.psbt(built), shared.request(built)
    leaf = quorum_leaf(ROSTER)
    stack = (b"",) * (N - QUORUM) + (bytes(64),) * QUORUM
    look_alike = TxIn(OutPoint(Txid(bytes(32)), 0), witness=(*stack, leaf, b""))
    inputs = tuple(replace(look_alike, outpoint=OutPoint(Txid(bytes(32)), n)) for n in range(129))
    wide = Tx(2, inputs, built.spent_outputs, 0)
    spends = tuple(
        replace(txin, outpoint=wide.outpoint(n)) for n, txin in enumerate(psbt.tx.inputs)
    )
    asked = Psbt.of(replace(psbt.tx, inputs=spends)).serialize()
    item = TxEvidence(wide.serialize(), None, (TxOut(0, b""),) * len(inputs))
    hashed: list[int] = []
    real = anchor.sighash

    def counted(tx: Tx, prevouts: Sequence[TxOut], index: int, **more: bytes) -> bytes:
        hashed.append(index)
        return real(tx, prevouts, index, **more)

    monkeypatch.setattr(anchor, "sighash", counted)
    reply = vote(shared.enclave(), replace(request, psbt=asked, evidence=(item,)))
    assert rule(reply) == "ParentUnsafe"
    assert not hashed
