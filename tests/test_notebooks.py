"""Notebooks run from top to bottom, show what they promise, and give no secret away."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from notebook_run import FOLDER, executed

from grail_devnet.roster_change import PAYER

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


def shown(book: nbformat.NotebookNode) -> dict[str, str]:
    """All that the cells showed, by type."""
    found: dict[str, str] = {}
    for cell in book.cells:
        for output in cell.get("outputs", []):
            pieces = output.get("data", {"text/plain": output.get("text", "")})
            for kind, text in pieces.items():
                found[kind] = found.get(kind, "") + str(text)
    return found


def secrets_in(folder: Path) -> list[str]:
    """Every key and token of the network."""
    keys = [json.loads(p.read_text())["secret"] for p in folder.rglob("wallets/*.json")]
    payers = [folder / name for name in ("faucet.json", PAYER)]
    keys += [json.loads(path.read_text())["secret"] for path in payers if path.exists()]
    return [*keys, json.loads((folder / "network.json").read_text())["token"]]


def told(name: str, folder: Path, secrets: int) -> dict[str, str]:
    """What a notebook shows in a run: no secret of so many, and nothing beside its outputs."""
    kept = folder / "kept"
    book = executed(FOLDER / name, folder, kept)
    streams = [
        o.text for c in book.cells for o in c.get("outputs", []) if o.get("name") == "stderr"
    ]
    assert not streams, "progress and warnings stay in the page that somebody reads"
    text = nbformat.writes(book)
    found = secrets_in(kept)
    assert len(found) == secrets
    assert not [secret for secret in found if secret in text], "a secret is in an output (D6)"
    shutil.rmtree(kept)
    return shown(book)


@pytest.mark.docs
def test_first_swap(tmp_path_factory: pytest.TempPathFactory) -> None:
    outputs = told("01_first_swap.ipynb", tmp_path_factory.mktemp("n"), secrets=4)
    assert "refused by 16 of 16" in outputs["text/plain"]
    assert "rule:     ProofInvalid" in outputs["text/plain"]
    assert "StaleTip" in outputs["text/plain"]
    assert "image/png" in outputs
    assert "<table" in outputs["text/html"]
    assert "dataframe" in outputs["text/html"]
    assert "zkBTC" in outputs["text/html"]


@pytest.mark.docs
def test_operators(tmp_path_factory: pytest.TempPathFactory) -> None:
    outputs = told("02_operators.ipynb", tmp_path_factory.mktemp("n"), secrets=4)
    text = outputs["text/plain"]
    assert "operator-06 runs a build with a fault" in text
    assert "emulated, no isolation" in text
    assert "turned away by operator-01: PcrUnaccepted" in text
    assert "ViewStale" in text
    assert "operator-06 signed two states of number 0" in text
    assert "operator-06 (zone-b): expelled: two words for one number" in text
    assert "operator-08 joined, operator-06 left, 1 move" in text
    assert len(re.findall(r"^operator-0[1-57-8] .*in step$", text, re.MULTILINE)) >= 7
    assert outputs["text/html"].count("in step") >= 14
    assert "image/png" in outputs
    assert outputs["image/svg+xml"].count("<svg") == 2
