"""Commands that begin and end traces (docs/command-line.md, "Trace lines") of a guest that runs already."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.debug.tracing.compressed import compression
from armvcpu.debug.tracing.formats import is_of_blocks, writer_for
from armvcpu.debug.tracing.kinds import KINDS, parse_kinds
from armvcpu.errors import UsageError, named
from armvcpu.machine.console.output_file import OutputFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from armvcpu.debug.monitor.view import View
    from armvcpu.debug.tracing.trace import Trace


class RunningTrace(NamedTuple):
    """One that `trace on` has begun."""

    kinds: str
    path: str | None
    trace: Trace
    file: OutputFile | None

    def close(self) -> None:
        """End it; UsageError where the file could not be written."""
        self.trace.close()
        if self.file is not None:
            self.file.close()


def trace_on(view: View, kinds: str, path: str | None) -> str:
    """Begin one, to a file or to stderr."""
    if ":" in kinds:
        raise UsageError("give the file behind a space: trace on exits,irq FILE")
    wanted, _ = parse_kinds(kinds)
    if "mmio" in wanted and not view.machine.config.exact_mmio:
        raise UsageError(f"accesses of devices are told of by a run that begins with {named('trace')} mmio alone")
    file = None
    if path is not None:
        if is_of_blocks(path):
            raise UsageError(f"a file of blocks is for a run that begins with {named('trace')} insn:{path} alone")
        if any(each.path == path for each in view.traces):
            raise UsageError(f"{path} is written by a trace already: `trace off` ends it")
        file = OutputFile(path, view.machine.parts.end.patience, _unwritable, through=compression(path))
    writer = writer_for(path, sys.stderr.write if file is None else file.write)
    view.traces.append(RunningTrace(kinds, path, view.machine.trace(wanted, writer), file))
    return ""


def _unwritable(said: str) -> UsageError:
    return UsageError(f"the trace's file: {said}; name another")


def trace_off(view: View) -> str:
    """End those that have been begun here; UsageError where the file of one could not be written."""
    was_none = not view.traces
    with ExitStack() as ending:  # all of them, whatever becomes of one
        while view.traces:
            ending.callback(view.traces.pop().close)
    return "there was none" if was_none else ""


def info_traces(view: View) -> str:
    """A line for each."""
    return "\n".join(f"{each.kinds} to {each.path or 'stderr'}" for each in view.traces) or "none"


def kinds_begun(_view: View, word: str) -> Iterable[str]:
    """What may stand behind the last comma."""
    before = word[: word.rfind(",") + 1]
    return (before + kind for kind in KINDS)
