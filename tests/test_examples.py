"""The examples run as a reader would run them, and the refusals in them are refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from grail_devnet.devnet import Devnet

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

pytestmark = pytest.mark.docs


def run(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=600,
    )


def test_peg(devnet: Devnet, tmp_path: Path) -> None:
    done = run("peg.py", tmp_path, devnet.name)
    assert done.returncode == 0, done.stderr
    assert "refused: the address shown is not yours" in done.stdout
    assert "too early: the deposit has 0 confirmations, expected 6" in done.stdout
    assert "peg-out" in done.stdout
    assert "recovery" in done.stdout


def test_swap(devnet: Devnet, tmp_path: Path) -> None:
    done = run("swap.py", tmp_path, devnet.name)
    assert done.returncode == 0, done.stderr
    assert "refused: StaleTip" in done.stdout
    assert re.search(r"Alice got \d+ and Bob \d+", done.stdout)


def test_demo_holds_in_all_its_parts(tmp_path: Path) -> None:
    done = run("demo.py", tmp_path)
    assert "difference 0 sat" in done.stdout
    assert "refused as they must be: 7 of 7" in done.stdout
    assert "operator-17 joined, operator-02 left, 1 move" in done.stdout
    assert re.search(r"operator-15 and operator-16 were last seen \d+ s ago", done.stdout)
    assert "FAULT" not in re.sub(r"FAULT the demo took.*", "", done.stdout)


def test_example_without_a_network_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    done = run("swap.py", tmp_path)
    assert done.returncode == 4
    assert done.stderr == "grail: no devnet is running\n  hint: start one: grail devnet up\n"
