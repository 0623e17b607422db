"""The site builds without a warning, and everything in it leads somewhere on its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import site_build

pytestmark = pytest.mark.docs


@pytest.fixture(scope="module")
def site() -> Path:
    site_build.build()
    return site_build.SITE


def test_every_link_leads_somewhere_and_nothing_comes_from_elsewhere(site: Path) -> None:
    found = site_build.check(site)
    assert found.broken == ()
    assert found.remote == ()
    assert site_build.styles_from_elsewhere(site) == []
    assert found.pages > 60


def test_pages_of_the_repository_are_there(site: Path) -> None:
    for page in ("README", "docs/quickstart", "docs/protocol", "docs/decisions/README"):
        assert (site / f"{page}.html").is_file(), page
    reference = (site / "docs" / "reference" / "connection.html").read_text()
    assert "grail.connection.connection.Wallet.peg_in" in reference


def test_the_notebook_is_shown_with_what_it_gave(site: Path) -> None:
    page = (site / "notebooks" / "01_first_swap.html").read_text()
    assert "ProofInvalid" in page
    assert "<svg" in page or "image/png" in page or "_images/" in page


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<p id="x"><a href="#x">x</a><a href="#y">y</a><a href="b.html">b</a>'
        '<a href="https://example.org">e</a><script src="https://example.org/s.js"></script>'
    )
    found = site_build.check(tmp_path)
    assert found.broken == ("a.html: #y", "a.html: b.html")
    assert found.remote == ("a.html: https://example.org/s.js",)
    assert len(found.external) == 2
