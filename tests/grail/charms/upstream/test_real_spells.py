"""Transactions of Bitcoin's main chain, versions 2 to 12: read as listed, their proofs verify."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import upstream_real as real

from grail.charms.upstream import proof
from grail.charms.upstream.proof import Keys
from grail.errors import SpellIncorrect


@pytest.fixture(scope="module")
def known(vectors: Path) -> Keys:
    return real.known(vectors)


@pytest.fixture(scope="module")
def expected(vectors: Path) -> dict[str, Any]:
    found = real.listed(vectors)
    assert {entry["version"] for entry in found.values()} == {2, 9, 10, 11, 12}
    return found


def test_all_are_read_as_listed_and_their_values_rebuilt(vectors: Path, expected) -> None:
    for name, entry in expected.items():
        real.assert_as_listed(real.enchanted(real.raw(vectors, name)), entry)


def test_all_proofs_verify(vectors: Path, known: Keys, expected: dict[str, Any]) -> None:
    for name, entry in expected.items():
        assert entry["proof_check"]["verifies"]
        proof.verify(real.enchanted(real.raw(vectors, name)), known)


def test_C6_changed_ones_are_refused(vectors: Path, known: Keys) -> None:
    """The published negatives: version, amount, input, app, coin."""
    negatives = real.negatives(vectors)
    assert len(negatives) == 5
    for raw in negatives:
        with pytest.raises(SpellIncorrect, match="ProofInvalid"):
            proof.verify(real.enchanted(raw), known)
