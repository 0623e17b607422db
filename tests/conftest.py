"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of published vectors, which lies beside the repository and is no part of it."""
    folder = ROOT.parent / "shared" / "vectors"
    if not folder.is_dir():
        reason = f"the published vectors are not at {folder}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
