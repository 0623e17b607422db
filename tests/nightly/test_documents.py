"""Every other value at every byte of the real documents: some 3.4 million, each refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from changed_bytes import refused_at
from published import nitro

pytestmark = pytest.mark.nightly

PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", nitro.GOOD)
def test_A8_A10_every_other_value_at_every_byte_is_refused(
    vectors: Path, name: str, part: int
) -> None:
    raw = nitro.documents(vectors)[name][0]
    places = range(part, len(raw), PARTS)
    rules = refused_at(
        raw, nitro.root(vectors), lambda place: set(range(256)) - {raw[place]}, places
    )
    assert rules.total() == 255 * len(places)
