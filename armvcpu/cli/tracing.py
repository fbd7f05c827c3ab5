"""`--trace`: opens the files and connects traces to a machine."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from armvcpu.cli.run_options import spelled
from armvcpu.cli.standard import say
from armvcpu.debug.tracing.compressed import compression
from armvcpu.debug.tracing.filters import Filters, ambiguous
from armvcpu.debug.tracing.formats import Writer, is_of_blocks, writer_for
from armvcpu.debug.tracing.kinds import parse_kinds
from armvcpu.errors import ArmvcpuError, UsageError, named, spell_names
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.console.output_file import OutputFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from armvcpu.cli.run_options import RunConfig
    from armvcpu.debug.tracing.blocks.writer import BlockTrace
    from armvcpu.debug.tracing.trace import Trace
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.console.stdio import StdioConsole
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome


class _Sink(NamedTuple):
    """Where events of some kinds go; without a writer it is a block trace."""

    kinds: frozenset[str]
    writer: Writer | None
    file: OutputFile | None

    def attach(self, machine: Machine, filters: tuple[str, ...]) -> Trace | BlockTrace:
        """Have the machine tell."""
        if self.writer is not None:
            return machine.trace(self.kinds, self.writer, filters)
        assert self.file is not None
        return machine.trace_blocks(self.file.write)


class Traces:
    """Those of one run."""

    def __init__(self, sinks: list[_Sink], filters: tuple[str, ...]) -> None:
        self._sinks, self._filters = sinks, filters
        self._kinds: frozenset[str] = frozenset().union(*(sink.kinds for sink in sinks))
        self._open: list[Trace | BlockTrace] = []

    def prepare(self, described: dict[str, Any]) -> None:
        """A device's access is to come out with its exact place? A GICv2's are how a guest deals with interrupts."""
        gic = MachineConfig.of(**described).gic
        described["exact_mmio"] = "mmio" in self._kinds or ("irq" in self._kinds and gic == 2)

    def attach(self, machine: Machine, console: StdioConsole) -> None:
        """Have the machine tell what happens."""
        del console
        for line in ambiguous(self._filters, machine.symbols):
            say(spell_names(line, spelled))
        for sink in self._sinks:
            self._open.append(sink.attach(machine, self._filters))

    def finish(self, machine: Machine, outcome: Outcome) -> list[ArmvcpuError]:
        """Write what is left, and close the files."""
        del machine, outcome
        for trace in self._open:
            trace.close()
        return list(self._problems())

    def _problems(self) -> Iterator[ArmvcpuError]:
        for sink in self._sinks:
            if sink.file is not None:
                try:
                    sink.file.close()
                except ArmvcpuError as error:
                    yield error


def _to_stderr(line: str) -> None:
    sys.stderr.write(line)  # which is no error where nobody reads


def _unwritable(path: str, said: str) -> UsageError:
    return UsageError(f"--trace file {path}: {said}; name another")


def open_traces(config: RunConfig, stack: ExitStack, patience: Patience) -> Traces:
    """Parse the options and open their files.

    Raises:
        UsageError: a kind or a filter is none, or a file can't be written.
    """
    if not config.trace:
        raise UsageError(f"{named('trace_filter')} filters no trace: give {named('trace')} KIND, too")
    Filters(config.trace_filter)
    parsed = [parse_kinds(text) for text in config.trace]
    if config.trace_filter and any(is_of_blocks(path) for _, path in parsed):
        raise UsageError("a file of blocks has them all: leave out --trace-filter, and look with `armvcpu trace grep`")
    return Traces([_open(stack, patience, *each) for each in parsed], config.trace_filter)


def _open(stack: ExitStack, patience: Patience, kinds: frozenset[str], path: str | None) -> _Sink:
    if path is None:
        return _Sink(kinds, writer_for(None, _to_stderr), None)
    if is_of_blocks(path) and kinds != {"insn"}:
        raise UsageError(f"--trace {','.join(sorted(kinds))}:{path}: a file of blocks has the kind insn alone")
    encoding = None if is_of_blocks(path) else "utf-8"
    file = stack.enter_context(OutputFile(path, patience, partial(_unwritable, path), encoding, compression(path)))
    return _Sink(kinds, None if is_of_blocks(path) else writer_for(path, file.write), file)
