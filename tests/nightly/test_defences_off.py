"""Each defence of the list is switched off in a copy of the tree, and its test fails there."""

from __future__ import annotations

import pytest
from defences.defence import issue_rows
from defences.run import DEFENCES, switch_off

pytestmark = pytest.mark.nightly


def test_each_defence_proves_itself() -> None:
    summary = switch_off(progress=print)
    assert summary.survivors == ()
    assert summary.red == summary.total == len(DEFENCES)
    assert summary.rows == len(issue_rows())
