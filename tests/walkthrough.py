"""Pages that can be walked through: their files are written and their commands executed, in order, as a reader would.

A fenced block with `title="NAME"` is a file. A `console` block has commands behind `$ ` (and `> ` where one goes on)
and what each prints, stdout and stderr together, in which `...` stands for anything. `sh` blocks are what a reader does
once, to set up; they are executed only where the test says so. A whole page is one shell: what it sets stays set.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
END = "\0"
"""Printed behind each step: no command of a page prints it."""


class Step(NamedTuple):
    """What is done, and what it has to print; None for what is not looked at."""

    command: str
    expected: str | None
    is_file: bool = False


def pieces(text: str) -> list[Step]:
    """The steps of one console block."""
    steps = []
    for piece in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = piece.partition("\n")
        while expected.startswith("> ") and command.endswith("\\"):
            more, _, expected = expected[2:].partition("\n")
            command += "\n" + more
        steps.append(Step(command, expected))
    return steps


def written(name: str, text: str) -> Step:
    """A file as a step."""
    directory = shlex.quote(str(Path(name).parent))
    return Step(f"mkdir -p {directory}\ncat >{shlex.quote(name)} <<'END_OF_FILE'\n{text}END_OF_FILE", "", is_file=True)


def steps(page: str, set_up: bool = False) -> list[Step]:
    """All that a page has a reader do, from its text; `set_up`: its `sh` blocks too."""
    found: list[Step] = []
    for language, name, text in FENCE.findall(page):
        if name:
            found.append(written(name, text))
        elif language == "console":
            found += pieces(text)
        elif language == "sh" and set_up:
            found.append(Step(text, None))
    return found


def environment(home: Path) -> dict[str, str]:
    """This process's, with this Python's commands before all others, and caches in `home`."""
    others = (
        "PYTEST_",
        "GIT_",
        "COV_",
        "XDG_",
        "MAKE",
        "MFLAGS",
    )  # a make that runs the tests changes what make prints
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ARMVCPU": str(ROOT),
        "HOME": str(home),
        "ZIG_GLOBAL_CACHE_DIR": str(home / "zig"),
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
        **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "A reader"),
        **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "reader@example.com"),
    }


def walk(todo: list[Step], where: Path, env: dict[str, str], timeout: float = 120) -> None:
    """Do all steps in the directory `where`; AssertionError names the first that prints something else."""
    ends = "\n__status=$?; printf '\\0'; (exit $__status)\n"
    script = "".join(step.command + ends for step in todo)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=where,
        env=env,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    checker, printed = doctest.OutputChecker(), done.stdout.split(END)
    for step, got in zip(todo, printed, strict=False):
        if step.expected is not None:
            right = checker.check_output(step.expected.rstrip("\n"), got.rstrip("\n"), doctest.ELLIPSIS)
            assert right, f"$ {step.command}\nprints\n{got}\nand not\n{step.expected}"
    assert len(printed) == len(todo) + 1, f"the shell ended early, at: {todo[len(printed) - 1].command}\n{printed[-1]}"
