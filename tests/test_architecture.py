"""Imports point one way (the order of the design), and no file outgrows its idea."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = [ROOT / "sdk", ROOT / "enclave", ROOT / "devnet"]

# A module may import from its own layer and from those above it. The longest prefix decides.
LAYERS = [
    ["grail", "grail.errors", "grail.types", "grail.folders"],
    ["grail.codec", "grail.tls"],
    ["grail.native"],
    ["grail.crypto"],
    ["grail.attestation"],
    ["grail.bitcoin"],
    ["grail.zk"],
    ["grail.charms"],
    ["grail.operators"],
    ["grail.links"],
    ["grail.roster"],
    ["grail_enclave"],
    ["grail.apps"],
    ["grail.portal", "grail.network_file"],
    ["grail.bitcoin.node", "grail.bitcoin.rpc"],
    [
        "grail.operators.transport",
        "grail.operators.asking",
        "grail.operators.coordinator",
        "grail.operators.client",
        "grail.operators.recovery",
        "grail.operators.turns",
    ],
    ["grail_host"],
    ["grail.wallet"],
    ["grail.draft"],
    ["grail.bridge", "grail.exchange"],
    ["grail.connection"],
    ["grail.cli", "grail.commands"],
    ["grail_devnet"],
]
RANK = {prefix: rank for rank, layer in enumerate(LAYERS) for prefix in layer}

# The enclave is what gets measured: it sees the protocol and Groth16's verifier, nothing else.
ENCLAVE_MAY_NOT = re.compile(
    r"grail\.(apps|wallet|draft|bridge|cli|connection|portal|network_file|commands)\b"
    r"|grail\.charms\.upstream|grail\.folders|grail\.bitcoin\.(node|rpc)"
    r"|grail\.operators\.(asking|client|coordinator|recovery|transport|turns)|grail_(host|devnet)"
    r"|grail\.zk\.(?!groth16)"
)

# Names under which newcomers get lost.
VAGUE = {"utils", "util", "helpers", "common", "base", "misc", "core", "manager"}


def modules() -> dict[str, Path]:
    found = {}
    for folder in FOLDERS:
        for path in folder.rglob("*.py"):
            name = ".".join(path.relative_to(folder).with_suffix("").parts)
            if name.split(".")[0].startswith("grail"):
                found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(path: Path) -> set[str]:
    """Modules of ours that a file imports; what stands under TYPE_CHECKING counts too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                found.add(whole if whole in MODULES or whole == "grail._native" else module)
    return {name for name in found if name.split(".")[0].startswith("grail")}


def rank(module: str) -> int:
    parts = module.split(".")
    for size in range(len(parts), 0, -1):
        prefix = ".".join(parts[:size])
        if prefix in RANK and (prefix != "grail" or module == "grail"):
            return RANK[prefix]
    pytest.fail(f"{module} has no layer: give it one in LAYERS")


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"grail"}))
def test_imports_point_one_way(module: str) -> None:
    wrong = [
        other
        for other in imports(MODULES[module])
        if other != "grail._native" and rank(other) > rank(module)
    ]
    assert not wrong, f"{module} imports {wrong}, which stand below it"


def test_only_the_seam_imports_the_crate() -> None:
    users = {name for name, path in MODULES.items() if "grail._native" in imports(path)}
    assert users == {"grail.native"}


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m.startswith("grail_enclave")))
def test_enclave_imports_the_protocol_only(module: str) -> None:
    assert not [name for name in imports(MODULES[module]) if ENCLAVE_MAY_NOT.match(name)]


def test_enclave_closure_holds_no_network_library() -> None:
    code = (
        "import sys, grail_enclave.__main__;"
        "print('\\n'.join(sorted(m for m in sys.modules if not m.startswith('_'))))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    ours = [name for name in loaded if ENCLAVE_MAY_NOT.match(name)]
    foreign = {name.split(".")[0] for name in loaded} & {
        "anyio",
        "httpx",
        "msgspec",
        "numpy",
        "pandas",
        "rich",
        "starlette",
        "typer",
        "uvicorn",
    }
    assert not ours
    assert not foreign


def test_layers_name_what_exists() -> None:
    missing = [prefix for prefix in RANK if prefix not in MODULES]
    assert not missing, f"LAYERS names modules that are not there: {missing}"


def test_files_stay_small_and_are_named_by_a_noun() -> None:
    long = {n: c for n, p in MODULES.items() if (c := len(p.read_text().splitlines())) > 800}
    vague = {name for name in MODULES if name.split(".")[-1] in VAGUE}
    assert not long
    assert not vague


def test_layers_are_distinct() -> None:
    names = [prefix for layer in LAYERS for prefix in layer]
    assert len(names) == len(set(names))
    assert all(left != right for left, right in pairwise(LAYERS))
