"""The tree of contents and the reference, added to plain pages while they are read.

An item of a list in `docs/reference` that is a module's name with a link to its file becomes the
module's own section there, made from its docstrings.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from sphinx.application import Sphinx

TREES = {
    "docs/index": {
        "Start": [
            *("../README", "quickstart", "../notebooks/01_first_swap", "../notebooks/02_operators"),
            *("cli", "errors"),
        ],
        "Look up": [
            "reference/README",
            "glossary",
            "zk",
            "../examples/multiplier/README",
            "charms",
        ],
        "How it works": [
            *("protocol", "security", "attestation", "time", "links", "roster"),
            *("refusals", "threats"),
        ],
        "The project": ["decisions/README", "../CHANGELOG", "../CONTRIBUTING"],
    },
    "docs/decisions/README": {"": ["[0-9]*"]},
    "docs/reference/README": {
        "": [
            "connection",
            "apps",
            "zk",
            "charms",
            "wallet",
            "exchange",
            "operators",
            "attestation",
            "links",
            "roster",
            "bitcoin",
            "ground",
            "devnet",
        ]
    },
}
"""For each page that has others below it: their names from there, by the caption of their group."""

MODULE = re.compile(r"^- \[`(grail[\w.]*)`\]\((\S+)\)$", re.MULTILINE)


def tree(caption: str, pages: list[str]) -> str:
    """One group of the contents, seen at the side only."""
    head = [f":caption: {caption}"] if caption else []
    lines = ["```{toctree}", ":hidden:", ":glob:", ":maxdepth: 1", *head, "", *pages, "```"]
    return "\n" + "\n".join(lines) + "\n"


def reference(module: re.Match[str]) -> str:
    """A module's section."""
    name = module[1]
    return (
        f"\n## `{name}`\n\n[Source]({module[2]})\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n"
    )


def add(_app: Sphinx, page: str, source: list[str]) -> None:
    """Add to a page what only the site shows."""
    if PurePosixPath(page).parent.name == "reference":
        source[0] = MODULE.sub(reference, source[0])
    for caption, pages in TREES.get(page, {}).items():
        source[0] += tree(caption, pages)


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("source-read", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
