"""The host's package sources (sources.list(5)) for apt in a private directory: the same places and keys.

They can have source packages in place of binary ones, and be those of another suite, as "trixie": then the words of the
host's own release change, and what is not of that release, as a third party's repository, is left out.
"""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_ALIASES = ("stable", "oldstable", "oldoldstable", "testing", "unstable")
_ONE_LINE = re.compile(r"^\s*deb(?:-src)?(\s+\[[^]]*\])?(\s+\S+\s+)(\S+)(.*)$")


def write(files: Iterable[Path], into: Path, kind: str, suite: str = "") -> None:
    """Write what the host's `files` say to the directory `into`; `kind` is "deb" or "deb-src".

    With a `suite`, and else as they are.
    """
    into.mkdir(exist_ok=True)
    for old in into.iterdir():
        old.unlink()
    for file in files:
        if file.suffix not in (".sources", ".list") or not file.is_file():
            continue
        text = file.read_text()
        rewritten = _stanzas(text, kind, suite) if file.suffix == ".sources" else _lines(text, kind, suite)
        if rewritten:
            (into / file.name).write_text(rewritten)


def _lines(text: str, kind: str, suite: str) -> str:
    if not suite:
        return re.sub(r"(?m)^\s*deb(-src)?(?=[\s\[])", kind, text)
    rewritten = []
    for match in (_ONE_LINE.match(line) for line in text.splitlines()):
        if match and (suites := _of_suite([match[3]], suite)):
            options = " ".join(word for word in (match[1] or "").strip(" []").split() if not word.startswith("arch"))
            rewritten.append(f"{kind}{f' [{options}]' if options else ''}{match[2]}{suites[0]}{match[4]}\n")
    return "".join(rewritten)


def _stanzas(text: str, kind: str, suite: str) -> str:
    if not suite:
        return re.sub(r"(?im)^Types:.*$", f"Types: {kind}", text)
    rewritten = []
    for stanza in re.split(r"\n\s*\n", text):
        unfolded = re.sub(r"\n[ \t]+(?=\S)", " ", re.sub(r"(?m)^#.*\n?", "", stanza))
        lines = [line for line in unfolded.splitlines() if line.strip()]
        if any(re.match(r"(?i)Enabled:\s*no\b", line) for line in lines):
            continue
        rewritten += _stanza(lines, kind, suite)
    return "\n".join(rewritten)


def _stanza(lines: list[str], kind: str, suite: str) -> list[str]:
    """The stanza of that suite; none where it has other suites."""
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {name.lower(): name for name in fields}
    if "suites" not in named or not (suites := _of_suite(fields[named["suites"]].split(), suite)):
        return []
    fields[named["suites"]] = f" {' '.join(suites)}"
    if "types" in named:
        fields[named["types"]] = f" {kind}"
    for name in ("architectures", "architectures-add", "architectures-remove"):
        if name in named:
            del fields[named[name]]
    return ["".join(f"{name}:{value}\n" for name, value in fields.items())]


def _of_suite(words: list[str], suite: str) -> list[str]:
    """The suites of the host's own release as those of another one: "bookworm-updates" is "trixie-updates"."""
    own = (_release(), *_ALIASES)
    split = (re.fullmatch(r"([^-/]+)([-/].*)?", word) for word in words)
    return [f"{suite}{match[2] or ''}" for match in split if match and match[1] in own]


def _release() -> str:
    """The code name of the host's release (os-release(5)), empty where it has none."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""
