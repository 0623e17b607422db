"""How the site is made of the pages: `make docs` builds it, the decision 0080 says why so.

The source folder is the repository itself, so that a page's relative links are the same here as
where the repository is read. What only the site needs (the tree of contents, the reference, the
outputs of notebooks) is added while a page is read; the pages stay plain Markdown.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "docs" / "extensions"))

project = "Grail Pro"
author = "the authors of Grail Pro"
copyright = "MIT or Apache-2.0, as you like"  # noqa: A001 - Sphinx names it so
version = release = version_of("grail-pro")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "contents",
    "docstrings",
    "notebook_outputs",
    "source_pages",
]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "examples/**.md", "notebooks/*.ipynb"]

# A reference to what is ours must lead somewhere. Python's own names and other packages' have no
# page here, and asking theirs would need a network.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!grail).*"),  # Python's and other packages'
    (r"py:.*", r"grail[\w.]*\.(_\w+|[AMT]|Method)"),  # private classes, type variables
]

myst_heading_anchors = 4
myst_links_external_new_tab = False
nb_execution_mode = "off"

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
default_role = "literal"

templates_path = ["templates"]
html_theme = "furo"
html_title = "Grail Pro"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_additional_pages = {"index": "start.html"}
html_copy_source = False
html_show_sourcelink = False
pygments_style = "friendly"
pygments_dark_style = "native"

linkcheck_timeout = 20
linkcheck_retries = 2
