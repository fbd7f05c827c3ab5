"""The command line. Each command's module is imported when the command is used, so that `run` starts fast.

What the user did wrong is one line on stderr and status 2; docs/command-line.md has the statuses. Click knows the
commands (`group.py`), but a `run` that is written plainly begins without it.
"""

from __future__ import annotations

import errno
import gc
import os
import sys

from armvcpu.arch.static import TYPE_CHECKING, Any, NoReturn
from armvcpu.errors import ArmvcpuError, InternalError

if TYPE_CHECKING:
    from armvcpu.cli.group import LazyGroup as LazyGroup
    from armvcpu.cli.group import cli as cli

COMMANDS = {
    "run": "Boot IMAGE, or firmware, and connect its console.",
    "test": "Run suites of firmware tests.",
    "trace": "Look at traces: print one, search in it, find where two runs part.",
    "probe": "Show what the CPU models support, and test the engine.",
    "machine": "Show the memory map and the interrupts.",
    "inspect": "Show what the image F is and how it would be loaded.",
    "firmware": "List, fetch and find real firmware by name.",
    "monitor": "Talk to the monitor of a run.",
}
USAGE_STATUS = 2
INTERRUPTED_STATUS = 130
"""128 + SIGINT."""
UNREAD_STATUS = 141
"""128 + SIGPIPE, as of every program whose reader has gone."""
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
    from armvcpu.cli.standard import drop_stdout, open_streams

    open_streams()
    words = sys.argv[1:] if arguments is None else arguments
    if arguments is None and _is_run(words) and _COMPLETION not in os.environ and os.isatty(0):
        from armvcpu.cli.keeper import keep_terminal

        keep_terminal()
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        status: Any = _status(words, arguments)
        sys.stdout.flush()
    except SystemExit as end:
        status = end.code
        try:
            sys.stdout.flush()
        except (OSError, KeyboardInterrupt):
            drop_stdout()
    except BaseException as error:
        status = _status_of(error)
        if status is None:
            raise
    gc.freeze()  # the process ends: looking through all there is for garbage would take a fifth of a small guest's run
    sys.exit(status)


def _is_run(words: list[str]) -> bool:
    """Is the command `run`? Before it there are options without values only."""
    return next((word for word in words if not word.startswith("-")), None) == "run"


def _status(words: list[str], arguments: list[str] | None) -> int:
    """Run the command. Most runs need nothing of click."""
    if words[:1] == ["run"] and _COMPLETION not in os.environ:
        from armvcpu.cli.boot import boot
        from armvcpu.cli.run_options import read_plainly

        options = read_plainly(words[1:])
        if options is not None:
            return boot(options)
    from armvcpu.cli.group import run_command

    return run_command(arguments)


def _status_of(error: BaseException) -> int | None:
    """Say in one line what ended the command: our bug, the user's mistake, the host's refusal; None for no error."""
    from armvcpu.cli.standard import drop_stdout, say

    if isinstance(error, InternalError):
        words, status = _our_bug(error, str(error)), INTERNAL_STATUS
    elif isinstance(error, ArmvcpuError):
        from armvcpu.cli.run_options import spelled

        words, status = error.said(spelled), USAGE_STATUS
    elif isinstance(error, KeyboardInterrupt | EOFError):
        words, status = "", INTERRUPTED_STATUS
    elif isinstance(error, BrokenPipeError):
        words, status = "", UNREAD_STATUS
    elif isinstance(error, OSError | MemoryError):
        words, status = _refusal(error), USAGE_STATUS
    elif isinstance(error, RuntimeError) and "new thread" in str(error):  # which has no class of its own
        words, status = f"the host has no room for another thread ({error}); raise its limits", USAGE_STATUS
    elif isinstance(error, Exception):
        words, status = _our_bug(error, f"{type(error).__name__}: {error}"), INTERNAL_STATUS
    else:
        return None
    drop_stdout()
    if words:
        say(words)
    return status


def _our_bug(error: Exception, what: str) -> str:
    """A line to report, with the place that the error is from; `-vv` shows all of it."""
    import logging

    logging.getLogger("armvcpu").debug("internal error", exc_info=error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"
    return f"internal error, please report it: {what}{place}"


def _refusal(error: OSError | MemoryError) -> str:
    """The host's words, and what they are about."""
    from armvcpu.cli.standard import StdoutError

    if isinstance(error, MemoryError):
        return "the host's memory does not suffice; use a smaller memory, or raise its limits, see `ulimit -a`"
    if isinstance(error, StdoutError):
        return str(error)
    words = error.strerror or str(error)
    if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
        words += "; raise the host's limits, see `ulimit -a`"
    elif error.filename is None and error.errno in {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO}:
        return f"a file can't be written: {words}"
    return f"{error.filename}: {words}" if error.filename else words


def fail(message: str, status: int) -> NoReturn:
    """End with one line on stderr."""
    from armvcpu.cli.standard import say

    say(message)
    sys.exit(status)
