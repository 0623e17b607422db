"""The threat table: each row of the list has tests, and the page says what the tests say."""

from __future__ import annotations

import pytest
import threats
from defences.defence import issue_rows


def test_every_row_has_a_test_and_a_defence() -> None:
    rows = threats.rows()
    assert tuple(row.threat for row in rows) == issue_rows()
    assert [row.threat for row in rows if not row.tests or not row.defences] == []


def test_a_test_may_stand_for_several_threats() -> None:
    found = {threat: [name for _, name, _ in cases] for threat, cases in threats.tests().items()}
    name = "test_S13_S14_S15_proofs_of_inclusion"
    assert all(name in found[threat] for threat in ("S13", "S14", "S15"))


@pytest.mark.docs
def test_the_page_is_up_to_date() -> None:
    page = (threats.ROOT / "docs" / "threats.md").read_text()
    assert page == threats.table(), "make threats"
