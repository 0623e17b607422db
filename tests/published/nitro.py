"""Real documents of AWS's module, each at its own time; the bad one is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from grail.attestation.attested import Attested, attested
from grail.attestation.chain import AWS, Root
from grail.errors import AttestationInvalid
from published.ledger import Case

GOOD = (
    "prod_indefinite_2026_base.cbor",
    "debug_definite_2023_evervault.cbor",
    "prod_definite_2025_nautilus_weather.cbor",
)
"""Those that hold at their own times."""


def root(folder: Path) -> Root:
    """AWS's root, which the file and the published fingerprint agree on."""
    found = Root.from_pem((folder / "nitro" / "aws_nitro_root_g1.pem").read_bytes())
    assert found == AWS
    return found


def documents(folder: Path) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """The documents by name, each with what a second reader found in it."""
    listed = json.loads((folder / "nitro" / "expected.json").read_text())
    return {name: ((folder / "nitro" / name).read_bytes(), says) for name, says in listed.items()}


def cases(folder: Path) -> Iterator[Case]:
    """All documents of the folder."""
    trusted = root(folder)
    for name, (raw, says) in documents(folder).items():
        yield Case(name, partial(_agrees, raw, trusted, says))


def _agrees(raw: bytes, trusted: Root, says: dict[str, Any]) -> None:
    if not says["all_ok"]:
        with pytest.raises(AttestationInvalid) as caught:
            attested(raw, trusted, allow_debug=True)
        assert caught.value.rule == "SignatureWrong"
        return
    debug = says["debug_mode_all_zero_pcr0_2"]
    if debug:
        with pytest.raises(AttestationInvalid) as caught:
            attested(raw, trusted)
        assert caught.value.rule == "DebugMode"
    assert_says(attested(raw, trusted, allow_debug=debug), says)


def assert_says(found: Attested, says: dict[str, Any]) -> None:
    """What we read is what the second reader read."""
    assert found.module_id == says["module_id"]
    assert found.timestamp == says["timestamp_ms"]
    assert found.time.isoformat() == says["time"]
    assert [found.pcrs[index].hex() for index in range(3)] == [says[f"pcr{i}"] for i in range(3)]
    assert (len(found.pcrs), len(found.chain)) == (says["pcr_count"], says["chain_len"])
    assert found.debug == says["debug_mode_all_zero_pcr0_2"]
    for name in ("user_data", "public_key", "nonce"):
        value = getattr(found, name)
        assert (None if value is None else len(value)) == says[f"{name}_len"]
