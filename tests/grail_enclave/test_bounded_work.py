"""What a request may cost, counted in hashes and signature checks, not in seconds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import ModuleType

import pytest
from enclave_world import World, rule, vote

from grail.bitcoin import spv
from grail.crypto import schnorr
from grail.operators.evidence import TxEvidence
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
