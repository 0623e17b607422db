"""A link from a page to a file of the repository leads to a page that shows the file.

Where the link's text is the name of a function or class in it, it leads to that line. These pages
are written apart from the theme, which would take half a second for each.
"""

from __future__ import annotations

import posixpath
import re
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from jinja2 import Template
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx.addnodes import download_reference
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "templates" / "file.html"
FOLDER = "source"
KEY = "source_pages"


@cache
def lines(path: str) -> dict[str, int]:
    """Where a file defines its functions and classes: lines from 1."""
    text = (ROOT / path).read_text()
    found = re.finditer(r"^ *(?:async )?(?:def|class) (\w+)", text, re.MULTILINE)
    return {name[1]: text.count("\n", 0, name.start(1)) + 1 for name in found}


class SourceLinks(SphinxTransform):
    """Links to files become links to their pages."""

    default_priority = 500

    def apply(self, **_: Any) -> None:
        """Change the links of one page, and note the files."""
        page = self.env.docname
        files: set[str] = set()
        for link in list(self.document.findall(download_reference)):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link["reftarget"]))
            files.add(path)
            uri = posixpath.relpath(f"{FOLDER}/{path}.html", posixpath.dirname(page) or ".")
            line = lines(path).get(link.astext())
            uri += f"#line-{line}" if line else ""
            link.replace_self(nodes.reference("", "", *link.children, refuri=uri))
        self.env.metadata[page][KEY] = sorted(files)


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write a page for each file that some page links to."""
    if exception or app.builder.name != "html":
        return
    template = Template(PAGE.read_text(), keep_trailing_newline=True)
    form = HtmlFormatter(linespans="line")
    for path in sorted({file for data in app.env.metadata.values() for file in data.get(KEY, ())}):
        text = (ROOT / path).read_text()
        try:
            lexer = get_lexer_for_filename(path, stripnl=False)
        except ClassNotFound:
            lexer = TextLexer(stripnl=False)
        target = Path(app.outdir) / FOLDER / f"{path}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(
            template.render(
                path=path,
                code=highlight(text, lexer, form),
                home=app.config.root_doc,
                up="../" * (path.count("/") + 1),
            )
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_transform(SourceLinks)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
