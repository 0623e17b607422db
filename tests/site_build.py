"""Builds the site from the pages, warnings as errors, and looks whether all its links lead somewhere.

python tests/site_build.py    into build/site; notebooks are run where their outputs are old
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import notebook_run

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "build" / "site"
SECONDS = 600


class BuildFailed(Exception):
    """Sphinx warned or stopped; the text is what it said."""


def build() -> None:
    """Run Sphinx on all pages anew, warnings as errors; first the notebooks whose outputs are old.

    Raises: BuildFailed.
    """
    notebook_run.refresh()
    options = ["-E", "-W", "--keep-going", "-q", "-j", "2", "-b", "html", "-c", "docs"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ".", str(SITE)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise BuildFailed(done.stderr[-4_000:])


class _Page(HTMLParser):
    """A page's places, links, and what it has the reader's browser fetch."""

    FETCHED = ("script", "link", "img", "source", "iframe")

    def __init__(self) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.places.update(known[name] for name in ("id", "name") if name in known)
        for name in ("href", "src"):
            if name in known:
                (self.fetched if tag in self.FETCHED else self.links).append(known[name])


@dataclass(frozen=True)
class Checked:
    """What a look at all pages found."""

    pages: int
    links: int
    external: frozenset[str]
    broken: tuple[str, ...]
    remote: tuple[str, ...]
    """What a page would have a browser fetch from elsewhere."""

    def __str__(self) -> str:
        return (
            f"pages {self.pages}, links {self.links:,}, broken {len(self.broken)}, "
            f"external {len(self.external)}, fetched from elsewhere {len(self.remote)}"
        )


def parsed(path: Path) -> _Page:
    """A page."""
    page = _Page()
    page.feed(path.read_text())
    return page


def check(site: Path) -> Checked:
    """Follow every link of every page, to its place in the page. No network is asked."""
    pages = {path.resolve(): parsed(path) for path in sorted(site.rglob("*.html"))}
    broken, remote, external, count = [], [], set(), 0
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        remote += [f"{name}: {link}" for link in page.fetched if urlsplit(link).netloc]
        for link in [*page.links, *page.fetched]:
            parts = urlsplit(link)
            count += 1
            if parts.scheme in {"http", "https", "mailto"} or parts.netloc:
                external.add(link)
                continue
            if parts.scheme == "data":
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            place = unquote(parts.fragment)
            there = target in pages if target.suffix == ".html" else target.exists()
            if not there or (place and target in pages and place not in pages[target].places):
                broken.append(f"{name}: {link}")
    return Checked(len(pages), count, frozenset(external), tuple(broken), tuple(remote))


def styles_from_elsewhere(site: Path) -> list[str]:
    """Style sheets that name a file of another host."""
    form = re.compile(r"url\(['\"]?(https?:[^)'\"]+)")
    sheets = sorted(site.rglob("*.css"))
    return [f"{path.name}: {url}" for path in sheets for url in form.findall(path.read_text())]


if __name__ == "__main__":
    build()
    found = check(SITE)
    print(*found.broken, found, SITE / "index.html", sep="\n")
