"""`grail spell` on spells of Charms itself: what it shows, and its exit codes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import upstream_real as real
from typer.testing import CliRunner, Result

from grail.bitcoin.tx import Tx
from grail.charms.upstream import item
from grail.charms.upstream.keys import VARIABLE
from grail.cli import build
from grail.commands.terminal import exit_code
from grail.connection.labels import Labels
from grail.connection.views import spell_view
from grail.errors import GrailError


def grail(*arguments: str) -> Result:
    return CliRunner().invoke(build(), list(arguments))


def code(result: Result) -> int:
    """The exit code that the command ends with."""
    error = result.exception
    return exit_code(error) if isinstance(error, GrailError) else result.exit_code


@pytest.fixture
def keys(vectors: Path) -> str:
    return str(vectors / "charms" / "vk")


@pytest.fixture
def real_ones(vectors: Path) -> list[Path]:
    return [vectors / "charms" / name for name in real.names(vectors)]


def test_proofs_of_all_verify(real_ones: list[Path], keys: str) -> None:
    assert len(real_ones) == 6
    for path in real_ones:
        done = grail("spell", "verify", str(path), "--keys", keys, "--json")
        assert code(done) == 0
        assert json.loads(done.output)["valid"]


def test_C6_changed_ones_end_with_1(vectors: Path, tmp_path: Path, keys: str) -> None:
    path = tmp_path / "changed.hex"
    for negative in json.loads((vectors / "charms" / "negative.json").read_text()):
        path.write_text(negative["raw_tx"])
        done = grail("spell", "verify", str(path), "--keys", keys)
        assert code(done) == 1
        assert "ProofInvalid" in str(done.exception)
        shown = json.loads(grail("spell", "show", str(path), "--keys", keys, "--json").output)
        assert shown["proof"] == "invalid"


def test_C5_a_retired_version_ends_with_1_above_its_height(
    real_ones: list[Path], keys: str
) -> None:
    for path in real_ones:
        line = ["spell", "verify", str(path), "--keys", keys]
        last = json.loads(grail(*line, "--json").output)["last_height"]
        assert code(grail(*line, "--height", str(last))) == 0
        refused = grail(*line, "--height", str(last + 1))
        assert code(refused) == 1
        assert "VersionRetired" in str(refused.exception)


def test_show_says_what_is_in_it(vectors: Path, keys: str) -> None:
    expected = json.loads((vectors / "charms" / "expected.json").read_text())
    for name, entry in expected.items():
        path = str(vectors / "charms" / name)
        shown = json.loads(grail("spell", "show", path, "--keys", keys, "--json").output)
        apps = [app["string"] for app in entry["apps"]]
        assert shown["version"] == entry["version"]
        assert shown["apps"] == apps
        assert shown["outs"] == [
            {apps[int(place)]: data for place, data in out.items()} for out in entry["outs"]
        ]
        assert (shown["proof"], shown["envelope"]["place"]) == ("valid", entry["spell_in"])
        text = grail("spell", "show", path, "--keys", keys).output
        assert text.startswith(f"proof valid: a spell of Charms, version {entry['version']}")
        assert apps[0] in text


def test_a_spell_without_a_proof(vectors: Path, tmp_path: Path, keys: str) -> None:
    found = real.enchanted(real.raw(vectors, "tx/v12_op_return_283559062cb6.hex"))
    payload = item.write((found.spell.committed(), ()))
    path = tmp_path / "bare.hex"
    path.write_text(real.changed(found, payload).serialize().hex())
    shown = json.loads(grail("spell", "show", str(path), "--keys", keys, "--json").output)
    assert shown["proof"] == "absent"
    assert code(grail("spell", "verify", str(path), "--keys", keys)) == 1


def test_without_the_key_nothing_is_said_of_the_proof(
    real_ones: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setenv("CARGO_HOME", str(tmp_path))
    shown = json.loads(grail("spell", "show", str(real_ones[0]), "--json").output)
    assert shown["proof"] == "unchecked"
    assert code(grail("spell", "verify", str(real_ones[0]))) == 4


def test_keys_are_found_by_the_variable_and_where_cargo_unpacks(
    real_ones: list[Path], keys: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["spell", "verify", str(real_ones[0])]
    monkeypatch.setenv("CARGO_HOME", str(tmp_path))
    monkeypatch.setenv(VARIABLE, keys)
    assert code(grail(*line)) == 0
    monkeypatch.delenv(VARIABLE)
    assert code(grail(*line)) == 4
    crate = tmp_path / "registry" / "src" / "index" / "charms-client-15.0.0" / "vk" / "v4"
    crate.mkdir(parents=True)
    (crate / "groth16_vk.bin").write_bytes((Path(keys) / "v4_groth16_vk.bin").read_bytes())
    assert code(grail(*line)) == 0


def test_ours_and_none_are_told_apart(vectors: Path, tmp_path: Path, keys: str) -> None:
    path = tmp_path / "one.hex"
    story = json.loads((vectors / "protocol" / "spells.json").read_text())["spells"]
    path.write_text(next(spell["unsigned_tx"] for spell in story if spell["name"] == "swap"))
    assert code(grail("spell", "verify", str(path), "--keys", keys)) == 2
    found = real.enchanted(real.raw(vectors, "tx/v12_op_return_283559062cb6.hex"))
    outputs = [one for one in found.tx.outputs if not one.script.startswith(b"\x6a")]
    bare = Tx(2, found.tx.inputs, tuple(outputs))
    path.write_text(bare.serialize().hex())
    refused = grail("spell", "verify", str(path), "--keys", keys)
    assert code(refused) == 1
    assert "SpellAbsent" in str(refused.exception)
    path.write_text("00")
    assert code(grail("spell", "verify", str(path), "--keys", keys)) == 2


def test_one_on_the_chain_is_shown_alike(
    real_ones: list[Path], keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, keys)
    tx = Tx.parse(bytes.fromhex(real_ones[2].read_text().strip()))

    async def nothing() -> None:
        return None

    async def transaction(_txid: Any) -> Tx:
        return tx

    session: Any = SimpleNamespace(refresh=nothing, ledger=SimpleNamespace(transaction=transaction))
    labels: Labels = SimpleNamespace()  # type: ignore[assignment]  # not asked
    view = asyncio.run(spell_view(session, labels, tx.txid))
    assert view.verdict == "proof valid"
    assert "a spell of Charms" in view._repr_html_()
