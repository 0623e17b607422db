"""Whether Python has compiled what the operators' hosts import.

Where modules were never imported, as on a fresh checkout, 16 processes that start at once would
each compile all of them. The devnet then starts one operator first and lets it do that. Enclaves
have the bytecode of their image.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

SAMPLE = (
    "grail_host.application",
    "starlette.applications",
    "uvicorn.main",
)
"""Modules of each part whose bytecode tells whether it is all there."""


def missing() -> bool:
    """Whether a part of the bytecode is not there, or older than its source."""
    return not all(_compiled(module) for module in SAMPLE)


def _compiled(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or spec.cached is None:
        return False
    source, cached = Path(spec.origin), Path(spec.cached)
    return cached.exists() and cached.stat().st_mtime >= source.stat().st_mtime
