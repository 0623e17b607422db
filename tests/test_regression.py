"""The shipped circuits are the frozen ones: counts, digests, keys (threat Z20).

A vk names a contract for ever, so a circuit never changes by accident. After a change that is meant,
`python tests/test_regression.py write` makes the file anew, and the commit says why.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# When run as a script: the packages first, or `tests/grail` would stand for `grail`.
TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS.parent / "sdk"), str(TESTS)]

from circuits import SHIPPED, compiled

from grail.apps.compiler import compile_app
from grail.apps.token import Token
from grail.apps.zkapp import trace

FROZEN = TESTS / "vectors" / "circuits.json"


def digests() -> dict[str, dict[str, str]]:
    """The hash of each action's constraints and witness program, traced anew."""
    found: dict[str, dict[str, str]] = {}
    for app in SHIPPED:
        found[app.__name__] = {}
        for spec in app.actions():
            circuit = trace(app, spec).circuit
            both = hashlib.sha256(circuit.r1cs().serialize()).digest()
            both += hashlib.sha256(circuit.program()).digest()
            found[app.__name__][spec.name] = hashlib.sha256(both).hexdigest()
    return found


def figures() -> dict[str, Any]:
    """What the file holds."""
    traced = digests()
    return {
        app.__name__: {
            "vk": compiled(app).vk.hex(),
            "actions": {
                name: {
                    "constraints": circuit.constraints,
                    "wires": circuit.wires,
                    "facts": len(circuit.facts),
                    "circuit": traced[app.__name__][name],
                    "key": hashlib.sha256(circuit.vk).hexdigest(),
                }
                for name, circuit in compiled(app).circuits.items()
            },
        }
        for app in SHIPPED
    }


@pytest.fixture(scope="module")
def frozen() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FROZEN.read_text())
    return found


def test_Z20_circuits_keys_and_bundles_are_the_frozen_ones(frozen: dict[str, Any]) -> None:
    assert figures() == frozen


@pytest.mark.parametrize("seed", range(5))
def test_Z20_the_hash_seed_of_python_changes_nothing(frozen: dict[str, Any], seed: int) -> None:
    """Each seed in a process of its own, every second one without assert statements."""
    options = ["-O"] if seed % 2 else []
    run = subprocess.run(
        [sys.executable, *options, __file__, "digests"],
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = {
        app: {name: circuit["circuit"] for name, circuit in entry["actions"].items()}
        for app, entry in frozen.items()
    }
    assert json.loads(run.stdout) == expected


def test_Z20_the_setup_gives_the_same_key_each_time(frozen: dict[str, Any], tmp_path: Path) -> None:
    again = compile_app(Token, cache=tmp_path)
    assert again.vk.hex() == frozen["Token"]["vk"]


def main(argument: str) -> None:
    if argument == "write":
        FROZEN.write_text(json.dumps(figures(), indent=1) + "\n")
    else:
        print(json.dumps(digests()))


if __name__ == "__main__":
    main(sys.argv[1])
