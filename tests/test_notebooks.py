"""Notebooks run from top to bottom, show what they promise, and give no secret away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from notebook_run import FOLDER, executed

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
    keys.append(json.loads((folder / "faucet.json").read_text())["secret"])
    return [*keys, json.loads((folder / "network.json").read_text())["token"]]


@pytest.mark.docs
def test_first_swap(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("n")
    kept = folder / "kept"
    book = executed(FOLDER / "01_first_swap.ipynb", folder, kept)
    outputs = shown(book)
    assert "refused by 16 of 16" in outputs["text/plain"]
    assert "rule:     ProofInvalid" in outputs["text/plain"]
    assert "StaleTip" in outputs["text/plain"]
    assert "image/png" in outputs
    assert "<table" in outputs["text/html"]
    assert "dataframe" in outputs["text/html"]
    assert "zkBTC" in outputs["text/html"]
    streams = [
        o.text for c in book.cells for o in c.get("outputs", []) if o.get("name") == "stderr"
    ]
    assert not streams, "progress and warnings stay in the page that somebody reads"
    text = nbformat.writes(book)
    secrets = secrets_in(kept)
    assert len(secrets) == 4
    assert not [secret for secret in secrets if secret in text], "a secret is in an output (D6)"
    shutil.rmtree(kept)
