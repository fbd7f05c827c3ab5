"""Debian's Chromium without a window, driven by its own protocol (Chrome DevTools Protocol) over a pair of pipes.

    with Chromium() as browser:
        page = browser.open(Path("report.html"), width=1200, height=800)
        page.evaluate("document.title"), page.problems, page.requests
        png = page.screenshot()

Tests look at pages with it, and pictures.py makes the documentation's pictures.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Any, Self

from armvcpu.testing.firmware import programs

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60.0
"""Seconds that an answer may take."""
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--font-render-hinting=none", "--force-color-profile=srgb", "--remote-debugging-pipe",
)  # fmt: skip


class Chromium:
    """One browser process, with a profile of its own that goes with it."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="armvcpu-chromium-", ignore_cleanup_errors=True)
        theirs_in, self._write = os.pipe()
        self._read, theirs_out = os.pipe()
        command = [programs.path("chromium"), *OPTIONS, f"--user-data-dir={self._directory.name}", "about:blank"]
        # The protocol's pipes are descriptors 3 and 4, whatever they are here
        shell = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "chromium", *command]
        self._process = subprocess.Popen(
            shell, pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, process_group=0, env={**os.environ, "HOME": self._directory.name},
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._received = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []
        """What the browser has told by itself, of all pages; each has the page's `sessionId`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser."""
        os.close(self._write)
        os.close(self._read)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()
        self._directory.cleanup()

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        data = json.dumps({**message, "sessionId": session} if session else message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            data = os.read(self._read, 1 << 20)
            if not data:
                raise RuntimeError("the browser has ended")
            self._received += data
        message, self._received = self._received.split(b"\0", 1)
        told: dict[str, Any] = json.loads(message)
        return told

    def open(self, path: Path, *, width: int = 1200, height: int = 900, dark: bool = False, scale: float = 1) -> Page:
        """A page of a file, once it has loaded; `width` and `height` are CSS pixels, `scale` is of each."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.resize(width, height, scale)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.call("Page.navigate", url=path.absolute().as_uri())
        page.wait_for("document.readyState === 'complete' && location.protocol === 'file:'")
        return page


class Page:
    """One page of a browser."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol for this page."""
        return self._browser.call(method, self._session, **parameters)

    def resize(self, width: int, height: int, scale: float = 1) -> None:
        """Give it another window; one that is narrow is a telephone's."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
            mobile=width < 600,
        )  # fmt: skip

    def evaluate(self, expression: str) -> Any:
        """The value of JavaScript, of a promise what it gives."""
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(f"{expression}: {done['exceptionDetails']}")
        return done["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Until the JavaScript is true."""
        end = time.monotonic() + PATIENCE
        while not self.evaluate(condition):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.02)

    def _events(self, *methods: str) -> list[dict[str, Any]]:
        self.evaluate("0")  # what has been told before is heard by then
        return [
            event["params"]
            for event in self._browser.events
            if event.get("sessionId") == self._session and event["method"] in methods
        ]

    @property
    def problems(self) -> list[dict[str, Any]]:
        """Exceptions that nobody caught, and what is on the page's console: errors, what its policy forbade."""
        told = self._events("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [each for each in told if each.get("type") not in {"log", "info", "debug"}]

    @property
    def requests(self) -> list[str]:
        """The addresses that it has asked for, itself the first."""
        return [event["request"]["url"] for event in self._events("Network.requestWillBeSent")]

    def screenshot(self, selector: str | None = None) -> bytes:
        """The window, or an element, as a PNG."""
        if selector is None:
            return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        box = self.evaluate(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            "return {x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height}; })()"
        )
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip={**box, "scale": 1})
        return base64.b64decode(shot["data"])
