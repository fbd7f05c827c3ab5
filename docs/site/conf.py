"""Sphinx's configuration. `make docs` builds the site, with every warning an error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import armvcpu
from armvcpu.arch.rows import RowType

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "armvcpu"
release = armvcpu.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "armvcpu"
html_copy_source = False
pygments_style = "friendly"
myst_heading_anchors = 4  # by the names that a forge gives them
suppress_warnings = ["toc.not_included"]  # pages of source files are found by the links to them

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "undoc-members": True}


def as_restructured_text(_app: Sphinx, what: str, _name: str, _of: object, _options: object, lines: list[str]) -> None:
    """Docstrings are written as the pages are: `code` in single backticks, code blocks by their indentation alone."""
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``\\ ", "\n".join(lines))  # an escaped blank: `Register`s
    text = re.sub(r"(?m)^(\S.*)\n\n(?= {4,}\S)", r"\1\n\n::\n\n", text)
    # For napoleon an attribute's line up to a colon is its type; an empty comment before it has none.
    lines[:] = [*([".."] if what in ("attribute", "property", "data") else []), "", *text.splitlines()]


def fields_of_row(
    _app: Sphinx, _what: str, _name: str, of: object, _options: object, _signature: str, _returns: str
) -> tuple[str, None] | None:
    """A row is made of its fields; its constructor, which serves all classes, does not say so."""
    if not isinstance(of, RowType):
        return None
    kinds = {name: kind for base in reversed(of.__mro__) for name, kind in getattr(base, "__annotations__", {}).items()}
    parts = [
        f"{name}: {kinds[name]}" + (f" = {of._defaults[name]!r}" if name in of._defaults else "")
        for name in of.__match_args__
    ]
    return f"({', '.join(parts)})", None


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""
    app.connect("autodoc-process-docstring", as_restructured_text, priority=400)  # before napoleon, which writes roles
    app.connect("autodoc-process-signature", fields_of_row)
