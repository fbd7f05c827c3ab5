"""Facts to a page: one file of HTML with its style, its script and plotly's JavaScript inside, which loads nothing.

Whatever comes from a guest or from a test is text and stays text: Jinja2 escapes it, figures are JSON in a script
element that runs nothing, and the page's own Content-Security-Policy forbids it every request. plotly's JavaScript is
there once, packed, and is unpacked by the browser when the first figure comes into view.
"""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypedDict

from armvcpu.debug.page import charts
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.debug.page.covered import CoverageFacts
    from armvcpu.debug.page.facts import MachineFacts

VERDICTS = {
    "failed": "failed", "crashed": "crashed", "ended": "ended from outside", "flaky": "flaky", "passed": "passed",
    "skipped": "skipped",
}  # fmt: skip
"""What an entry may have come to, the worst first, and in words."""
_NEEDS = ("jinja2", "plotly")


class Entry(TypedDict):
    """One run or test."""

    name: str
    verdict: str
    """One of VERDICTS."""
    words: str
    """What it came to, in a line."""
    seconds: float
    text: str
    """What else there is to tell of a failure, as its author formatted it; may be empty."""
    machines: list[MachineFacts]


def check_needs(option: str) -> None:
    """UsageError, before anything runs, where what makes pages is not installed."""
    missing = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"{option} needs {' and '.join(missing)}: pip install 'armvcpu[report]'")


def render(title: str, entries: Sequence[Entry], coverage: CoverageFacts | None = None) -> str:
    """The page; of several entries those that failed come first. `coverage` is that of all entries together."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("armvcpu.debug.page", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(ns=_seconds, size=_size, hex=_hex, many=_many, shown=charts.shown_time)
    order = list(VERDICTS)
    ordered = sorted(entries, key=lambda entry: order.index(entry["verdict"]))
    return environment.get_template("page.html.j2").render(
        title=title, entries=ordered, coverage=coverage, verdicts=VERDICTS, style=_file("page.css"),
        script=_file("page.js"),
        counts={each: sum(entry["verdict"] == each for entry in entries) for each in VERDICTS},
        charts=charts, in_script=_in_script, plotly=_plotly(), from_version=_version(),
    )  # fmt: skip


def _file(name: str) -> str:
    return (files("armvcpu.debug.page") / "templates" / name).read_text("utf-8")


@cache
def _plotly() -> str:
    """Its JavaScript, by gzip and base64."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 6, mtime=0)).decode()


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("armvcpu")
    except PackageNotFoundError:  # a checkout that nobody has installed
        return ""


def _in_script(text: str) -> Any:
    """JSON for a script element that is data: nothing in it ends the element, or begins a comment of HTML's."""
    from markupsafe import Markup

    json.loads(text)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def _seconds(ns: int) -> str:
    """Guest time as a clock has it."""
    return f"{ns / 1e9:.6f}"


def _size(size: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} bytes"


def _hex(number: int) -> str:
    return f"{number:#x}"


def _many(number: int) -> str:
    return f"{number:,}"
