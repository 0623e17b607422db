"""AWS's own documents: accepted at their own times, and no other value at any byte is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from changed_bytes import one_bit, refused_at
from published import nitro
from published.nitro import GOOD

from grail.attestation.attested import attested
from grail.attestation.chain import Root
from grail.errors import AttestationInvalid


def test_A10_definite_and_indefinite_maps_both_pass(vectors: Path) -> None:
    """Both shapes are among the good ones, and the ledger holds each to what was found in it."""
    firsts = {name: says["payload_first_byte"] for name, (_, says) in documents(vectors)}
    assert {firsts[name] for name in GOOD} == {"a9", "bf"}
    for case in nitro.cases(vectors):
        assert case.check is not None
        case.check()


def test_A3_the_real_document_of_debug_mode_is_refused(vectors: Path) -> None:
    raw = nitro.documents(vectors)["debug_definite_2023_evervault.cbor"][0]
    with pytest.raises(AttestationInvalid) as caught:
        attested(raw, nitro.root(vectors))
    assert caught.value.rule == "DebugMode"
    assert attested(raw, nitro.root(vectors), allow_debug=True).debug


@pytest.mark.parametrize("name", GOOD)
def test_A8_A10_one_other_value_at_every_byte_is_refused(vectors: Path, name: str) -> None:
    """A bit of each byte, another bit from one byte to the next."""
    raw = nitro.documents(vectors)[name][0]
    rules = refused_at(raw, nitro.root(vectors), one_bit(raw))
    assert rules.total() == len(raw)
    assert rules["SignatureWrong"] > 3_000
    assert rules["RootUnknown"] == 533  # the root's own bytes


def test_A1_a_real_document_under_another_root(vectors: Path) -> None:
    for _, (raw, _says) in documents(vectors):
        with pytest.raises(AttestationInvalid) as caught:
            attested(raw, Root(bytes(32)), allow_debug=True)
        assert caught.value.rule == "RootUnknown"


def documents(vectors: Path) -> Iterator[tuple[str, tuple[bytes, dict[str, object]]]]:
    yield from nitro.documents(vectors).items()
