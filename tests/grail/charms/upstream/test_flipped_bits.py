"""One bit flipped at a time in real transactions: refused or unchanged, as the table of parts says."""

from __future__ import annotations

from pathlib import Path

import pytest
import upstream_real as real

from grail.charms.upstream.parts import Part


@pytest.mark.parametrize("name", ["v12_op_return_283559062cb6", "v2_witness_55777ba206bf"])
def test_C6_one_bit_of_every_byte(vectors: Path, name: str) -> None:
    raw = real.raw(vectors, f"tx/{name}.hex")
    seen = real.flips(raw, real.known(vectors), lambda at: [at * 5 % 8])
    assert sum(seen.values()) == len(raw)
    met = {part for part, _ in seen}
    old = {Part.FUNDING} if "v2" in name else {Part.COIN}
    assert met >= {Part.SPELL, Part.PROOF, Part.INPUT, Part.ENVELOPE, Part.FRAME} | old
    assert {said for part, said in seen if part is Part.INPUT} == {"ProofInvalid"}


def test_parts_of_all_add_up_to_the_whole(vectors: Path) -> None:
    for name in real.names(vectors):
        raw = real.raw(vectors, name)
        found = real.enchanted(raw)
        where = real.parts(found)
        assert len(where) == len(raw)
        held = bytes(byte for byte, part in zip(raw, where, strict=True) if part is Part.PROOF)
        spell = bytes(byte for byte, part in zip(raw, where, strict=True) if part is Part.SPELL)
        assert spell + held == found.envelope.payload
        inputs = sum(part in {Part.INPUT, Part.FUNDING} for part in where)
        assert inputs == 36 * len(found.tx.inputs)


@pytest.mark.nightly
def test_C6_every_bit_of_every_byte(vectors: Path) -> None:
    for name in real.names(vectors):
        raw = real.raw(vectors, name)
        seen = real.flips(raw, real.known(vectors), lambda _: range(8))
        assert sum(seen.values()) == 8 * len(raw)
