"""The command line. Each command's module is imported when the command is used, so that `run` starts fast.

What the user did wrong is one line on stderr and status 2; docs/command-line.md has the statuses. Click knows the
commands (`group.py`), but a `run` that is written plainly begins without it.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from contextlib import suppress

from armvcpu.arch.static import TYPE_CHECKING, Any, NoReturn
from armvcpu.errors import ArmvcpuError, InternalError

if TYPE_CHECKING:
    from armvcpu.cli.group import LazyGroup as LazyGroup
    from armvcpu.cli.group import cli as cli

COMMANDS = {
    "run": "Boot IMAGE, or firmware, and connect its console.",
    "test": "Run suites of firmware tests.",
    "probe": "Show what the CPU models support, and test the engine.",
    "machine": "Show the memory map and the interrupts.",
    "inspect": "Show what the image F is and how it would be loaded.",
    "firmware": "List, fetch and find real firmware by name.",
}
USAGE_STATUS = 2
INTERRUPTED_STATUS = 130
"""128 + SIGINT."""
GARBAGE_THRESHOLD = 50_000
"""Python's own 700 has it look for garbage dozens of times while modules are loaded, and find none."""
INTERNAL_STATUS = 70
"""sysexits.h EX_SOFTWARE: a bug of armvcpu, which no guest and no user caused."""
_COMPLETION = "_ARMVCPU_COMPLETE"


def __getattr__(name: str) -> Any:
    if name not in {"cli", "LazyGroup"}:
        raise AttributeError(f"module 'armvcpu.cli' has no attribute {name!r}")
    from armvcpu.cli import group

    return getattr(group, name)


def main(arguments: list[str] | None = None) -> NoReturn:
    """The entry point: runs a command and turns errors into one line and a status."""
    _open_standard_descriptors()
    gc.set_threshold(GARBAGE_THRESHOLD)
    words = sys.argv[1:] if arguments is None else arguments
    try:
        status = _run_plainly(words[1:]) if words[:1] == ["run"] and _COMPLETION not in os.environ else None
        if status is None:
            from armvcpu.cli.group import run_command

            status = run_command(arguments)
    except InternalError as error:
        import logging

        logging.getLogger("armvcpu").debug("internal error", exc_info=True)
        fail(f"internal error, please report it: {error}", INTERNAL_STATUS)
    except ArmvcpuError as error:
        from armvcpu.cli.run_options import spelled

        fail(error.said(spelled), USAGE_STATUS)
    gc.freeze()  # the process ends: looking through all there is for garbage would take a fifth of a small guest's run
    sys.exit(status)


def _run_plainly(words: list[str]) -> int | None:
    """The status of a `run` whose words need nothing of click; None where they do. Errors are met as click does."""
    from armvcpu.cli.boot import boot
    from armvcpu.cli.run_options import read_plainly

    options = read_plainly(words)
    if options is None:
        return None
    try:
        return boot(options)
    except (EOFError, KeyboardInterrupt):
        with suppress(OSError):
            print(file=sys.stderr)
        sys.exit(INTERRUPTED_STATUS)
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        for descriptor in (1, 2):  # so that Python's own flush at the end succeeds
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        sys.exit(1)


def fail(message: str, status: int) -> NoReturn:
    """End with one line on stderr."""
    import click

    with suppress(OSError):
        click.echo("armvcpu: " + message.replace("\n", " "), err=True)
    sys.exit(status)


def _open_standard_descriptors() -> None:
    """Have 0, 1 and 2 lead nowhere where they are closed, so that no other file gets their numbers."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
