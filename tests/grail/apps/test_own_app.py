"""The example of an own app runs, and its refusals are the ones it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "own_app.py"


def test_the_example_of_an_own_app() -> None:
    run = subprocess.run(
        [sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    lines = EXAMPLE.read_text().splitlines()
    greedy = 1 + next(i for i, line in enumerate(lines) if "more than one step may take" in line)
    assert "fill: proven in 128 bytes, verified" in run.stdout
    assert "take: proven in 128 bytes, verified" in run.stdout
    assert f"own_app.py:{greedy}: more than one step may take (" in run.stdout
    assert "= 6, state(in,0,0,each) = 5)" in run.stdout
    assert "action take states nothing about" in run.stdout
    assert "state(out,0,0,each)" in run.stdout
