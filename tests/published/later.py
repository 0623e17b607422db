"""Vectors of what is not built yet: each case is listed with what it waits for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from published.ledger import Case

HPKE = "HPKE: nothing is sealed to an enclave yet; used, by pyhpke, from the issue that does it on"
PASSKEYS = "passkeys: used from the issue that checks WebAuthn assertions on"
FROST = "threshold signatures: used from the issue that brings FROST on; keys are NUMS until then"


def hpke(folder: Path) -> Iterator[Case]:
    """Encryptions and exports of RFC 9180."""
    (file,) = (folder / "hpke").glob("*.json")
    for number, suite in enumerate(json.loads(file.read_text())):
        for kind in ("encryptions", "exports"):
            for place in range(len(suite[kind])):
                yield Case(f"suite {number} {kind} {place}", None, HPKE)


def webauthn(folder: Path) -> Iterator[Case]:
    """Assertions of browsers and of the specification."""
    w3c = json.loads((folder / "webauthn" / "w3c_level3_vectors.json").read_text())["cases"]
    browsers = json.loads((folder / "webauthn" / "py_webauthn_assertions.json").read_text())
    for number in range(len(w3c) + len(browsers)):
        yield Case(f"assertion {number}", None, PASSKEYS)


def frost(folder: Path) -> Iterator[Case]:
    """RFC 9591's worked examples, one a file, and BIP 445's cases."""
    for file in sorted((folder / "frost").glob("*/*.json")):
        yield Case(f"{file.parent.name} {file.stem}", None, FROST)
    for file in sorted((folder / "bip445").glob("*.json")):
        whole = json.loads(file.read_text())
        for group in whole.get("test_groups", [whole]):
            for kind in sorted(group):
                if kind.endswith("_tests"):
                    for place in range(len(group[kind])):
                        yield Case(f"{file.stem} {kind} {place}", None, FROST)
