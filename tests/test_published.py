"""Everything that others published is run, or listed with its reason; and the count can fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from published import psbt
from published.ledger import Case, Source, Tally, tally, total, unclaimed
from published.sources import ELSEWHERE, SOURCES

EXPECTED = {
    # passed, and not applicable
    "BIP 340": (15, 4),
    "BIP 341": (15, 0),
    "BIP 174": (26, 19),
    "BIP 370": (48, 0),
    "BIP 371": (14, 3),
    "Wycheproof": (2949, 27),
    "HPKE": (0, 156),
    "Poseidon": (221, 0),
    "BabyJubJub, EdDSA": (60, 0),
    "circom": (57, 4),
    "Nitro": (4, 0),
    "WebAuthn": (0, 12),
    "FROST": (0, 262),
}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_every_case_passes_or_has_its_reason(vectors: Path, source: Source) -> None:
    found = tally(vectors, [source])[source.name]
    assert found.failures == []
    assert (found.passed, found.reasons.total()) == EXPECTED[source.name]


def test_no_file_is_left_out(vectors: Path) -> None:
    assert unclaimed(vectors, SOURCES, ELSEWHERE) == []
    assert unclaimed(vectors, SOURCES[1:], ELSEWHERE) == ["bip340/test-vectors.csv"]
    assert unclaimed(vectors, [*SOURCES, SOURCES[0]], ELSEWHERE) == ["bip340/test-vectors.csv"]


def fails() -> None:
    raise AssertionError("they say 1, we say 2")


def test_a_case_that_disagrees_is_counted_and_named() -> None:
    found = Tally()
    found.add("some", [Case("good", lambda: None), Case("bad", fails), Case("nothing", None)])
    assert (found.passed, found.applicable) == (1, 3)
    assert found.failures == [
        "some, bad: AssertionError: they say 1, we say 2",
        "some, nothing: ValueError: neither a check nor a reason",
    ]


def test_a_reason_does_not_hide_a_wrong_refusal() -> None:
    found = Tally()
    found.add("some", [Case("odd", fails, "odd ones"), Case("later", None, "later")])
    assert len(found.failures) == 1
    assert dict(found.reasons) == {"later": 1}


def test_a_source_without_cases_fails(tmp_path: Path) -> None:
    found = tally(tmp_path, [Source("empty", (), lambda _: iter(()))])
    assert found["empty"].failures == ["empty: no case was found"]


def test_sums_and_their_words() -> None:
    one, two = Tally(), Tally()
    one.add("a", [Case("1", lambda: None), Case("2", None, "to come")])
    two.add("b", [Case("3", lambda: None), Case("4", fails)])
    assert str(total([one, two])) == "2 of 3, not applicable 1 (1 to come)"


@pytest.mark.parametrize("name", ["BIP 340", "Poseidon", "circom", "BIP 371"])
def test_a_changed_vector_is_noticed(vectors: Path, tmp_path: Path, name: str) -> None:
    """One digit of the files: the cases that lean on it disagree."""
    changes = {
        "BIP 340": ("bip340/test-vectors.csv", "E907831F80848D10", "E907831F80848D11"),
        "Poseidon": ("poseidon/poseidon_bn254.json", '"hash": "1858', '"hash": "1859'),
        "circom": ("circom/multiplier/public.json", "33", "34"),
        "BIP 371": ("psbt/bip371_taproot.json", '"kind": "invalid"', '"kind": "valid"'),
    }
    file, old, new = changes[name]
    (source,) = [each for each in SOURCES if each.name == name]
    copy = tmp_path / file.split("/")[0]
    copy.mkdir()
    for path in (vectors / copy.name).rglob("*"):
        target = tmp_path / path.relative_to(vectors)
        target.mkdir(exist_ok=True) if path.is_dir() else target.write_bytes(path.read_bytes())
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    assert tally(tmp_path, [source])[name].failures


def test_a_psbt_that_no_table_has_is_noticed(
    monkeypatch: pytest.MonkeyPatch, vectors: Path
) -> None:
    (source,) = [each for each in SOURCES if each.name == "BIP 371"]
    monkeypatch.delitem(psbt.BIP_371, next(iter(psbt.BIP_371)))
    assert tally(vectors, [source])["BIP 371"].failures
