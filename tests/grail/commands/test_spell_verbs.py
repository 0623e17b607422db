"""`grail spell` on spells of Charms itself: what it shows, and its exit codes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import upstream_real as real
from typer.testing import CliRunner, Result

from grail.bitcoin.tx import Tx
from grail.charms.upstream import item, versions
from grail.charms.upstream.keys import VARIABLE
from grail.charms.upstream.proof import Enchanted
from grail.cli import build
from grail.commands.terminal import exit_code
from grail.connection.charms_view import CharmsView
from grail.connection.labels import Labels
from grail.connection.views import spell_view
from grail.errors import GrailError
from grail.types import Sats

V12 = "tx/v12_op_return_283559062cb6.hex"


def grail(*arguments: str) -> Result:
    return CliRunner().invoke(build(), list(arguments))


def shown_of(tx: Tx, folder: Path, keys: str) -> dict[str, Any]:
    """What `spell show` says of a transaction in a file."""
    path = folder / "one.hex"
    path.write_text(tx.serialize().hex())
    shown: dict[str, Any] = json.loads(
        grail("spell", "show", str(path), "--keys", keys, "--json").output
    )
    return shown


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


def bare(tx: Tx) -> Tx:
    """The transaction without its OP_RETURN."""
    kept = tuple(one for one in tx.outputs if not one.script.startswith(b"\x6a"))
    return replace(tx, outputs=kept)


def twice(tx: Tx) -> Tx:
    return replace(tx, outputs=tx.outputs * 2)


PAYLOADS: dict[str, tuple[Callable[[Enchanted], bytes], str]] = {
    "a third element": (
        lambda found: item.write((found.spell.committed(), tuple(found.proof), None)),
        "SpellInvalid: the payload is no pair",
    ),
    "more parts announced than there are": (
        lambda found: b"\x86" + found.envelope.payload[1:],
        "SpellInvalid: spell: ",
    ),
    "trailing bytes": (
        lambda found: found.envelope.payload + b"\x00",
        "SpellInvalid: spell: 1 bytes after the end",
    ),
    "no CBOR": (lambda _found: b"\xff", "SpellInvalid: spell: "),
}


@pytest.mark.parametrize("case", PAYLOADS)
def test_one_that_upstream_may_read_is_invalid_for_its_own_reason(
    case: str, vectors: Path, tmp_path: Path, keys: str
) -> None:
    make, why = PAYLOADS[case]
    found = real.enchanted(real.raw(vectors, V12))
    shown = shown_of(real.changed(found, make(found)), tmp_path, keys)
    assert shown["proof"] == "invalid"
    assert shown["verdict"].startswith(f"proof invalid ({why}")
    assert (shown["version"], shown["apps"], shown["outs"]) == (None, [], [])


def test_two_spells_are_invalid(vectors: Path, tmp_path: Path, keys: str) -> None:
    found = real.enchanted(real.raw(vectors, V12))
    shown = shown_of(twice(found.tx), tmp_path, keys)
    assert shown["proof"] == "invalid"
    assert shown["verdict"].startswith("proof invalid (TwoSpells")


def test_no_spell_is_a_proof_that_is_absent(vectors: Path, tmp_path: Path, keys: str) -> None:
    shown = shown_of(bare(real.enchanted(real.raw(vectors, V12)).tx), tmp_path, keys)
    assert shown.items() >= {"verdict": "no spell", "proof": "absent", "version": None}.items()
    assert (shown["apps"], shown["outs"]) == ([], [])
    text = grail("spell", "show", str(tmp_path / "one.hex"), "--keys", keys).output
    assert text.startswith("no spell, proof absent: transaction")


@pytest.mark.parametrize("number", [0, 16, 2**32 - 1])
def test_a_version_that_is_not_known_is_no_invalid_proof(
    number: int, vectors: Path, tmp_path: Path, keys: str
) -> None:
    found = real.enchanted(real.raw(vectors, V12))
    spell = replace(found.spell, version=number)
    payload = item.write((spell.committed(), tuple(found.proof)))
    shown = shown_of(real.changed(found, payload), tmp_path, keys)
    assert (shown["proof"], shown["version"]) == ("unchecked", number)
    assert "VersionUnknown: no such version of Charms is known here" in shown["verdict"]
    assert code(grail("spell", "verify", str(tmp_path / "one.hex"), "--keys", keys)) == 1


def test_one_of_ours_says_the_same_things(vectors: Path, tmp_path: Path, keys: str) -> None:
    story = json.loads((vectors / "protocol" / "spells.json").read_text())["spells"]
    swap = next(spell for spell in story if spell["name"] == "swap")
    tx = Tx.parse(bytes.fromhex(swap["unsigned_tx"]))
    shown = shown_of(tx, tmp_path, keys)
    assert (shown["version"], shown["proof"]) == (15, "unchecked")
    place = next(i for i, one in enumerate(tx.outputs) if one.script.startswith(b"\x6a"))
    paid = list(tx.outputs)
    paid[place] = replace(paid[place], sats=Sats(546))
    broken = shown_of(replace(tx, outputs=tuple(paid)), tmp_path, keys)
    assert broken["verdict"].startswith("incorrect (SpellInvalid: the spell's output has an amount")
    assert (broken["version"], broken["proof"]) == (None, "invalid")


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


def on_chain(tx: Tx, tip: int, at: int | None) -> CharmsView:
    """What is shown of a transaction in block `at`, or in none, on a chain of that height."""

    async def nothing() -> None:
        return None

    async def transaction(_txid: Any) -> Tx:
        return tx

    ledger = SimpleNamespace(transaction=transaction, confirmed_at=lambda _txid: at, height=tip)
    session: Any = SimpleNamespace(refresh=nothing, ledger=ledger)
    labels: Labels = SimpleNamespace()  # type: ignore[assignment]  # not asked
    view = asyncio.run(spell_view(session, labels, tx.txid))
    assert isinstance(view, CharmsView)
    return view


def test_one_on_the_chain_is_shown_alike(
    real_ones: list[Path], keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, keys)
    tx = Tx.parse(bytes.fromhex(real_ones[2].read_text().strip()))
    view = on_chain(tx, 200, 100)
    assert view.verdict == "proof valid"
    assert "a spell of Charms" in view._repr_html_()


def test_C5_a_retired_version_in_a_new_block_is_shown_as_refused(
    real_ones: list[Path], keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the height of its own block, however high the chain is; in no block, of the next one."""
    monkeypatch.setenv(VARIABLE, keys)
    for path in real_ones:
        tx = Tx.parse(bytes.fromhex(path.read_text().strip()))
        number = real.enchanted(tx.serialize()).spell.version
        last = versions.version(number).last_height
        assert last is not None
        for tip, at in ((last + 9, last), (last, last), (last - 1, None)):
            assert on_chain(tx, tip, at).proof == "valid"
        for tip, at in ((last + 9, last + 1), (last, None)):
            view = on_chain(tx, tip, at)
            assert view.as_dict()["proof"] == "refused"
            assert view.verdict == f"proof refused (VersionRetired: version {number} is retired)"
            assert str(view).startswith(view.verdict)
