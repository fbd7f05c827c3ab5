"""`--trace`: opens the files and connects a tracer to a machine."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from armvcpu.debug.trace import Tracer, parse_kinds
from armvcpu.errors import UsageError
from armvcpu.machine.console.host_writer import open_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack

    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.machine import Machine


@dataclass
class Traces:
    """Where each kind of event goes."""

    sinks: list[tuple[frozenset[str], Callable[[str], object]]] = field(default_factory=list)

    @property
    def kinds(self) -> frozenset[str]:
        """Every kind that somebody wants."""
        return frozenset().union(*(kinds for kinds, _ in self.sinks))

    def needs_exact_mmio(self, gic: int) -> bool:
        """Is a device's access to come out with its exact place? A GICv2's are how a guest deals with interrupts."""
        return "mmio" in self.kinds or ("irq" in self.kinds and gic == 2)

    def attach(self, machine: Machine) -> None:
        """Have the machine tell what happens."""
        for kinds, output in self.sinks:
            tracer = Tracer(kinds, output, machine.symbols, machine.engine.memory.fetch_word, machine.name_of)
            machine.observe(tracer)
            if "insn" in kinds:
                machine.trace_instructions(partial(_on_current_cpu, machine, tracer.insn))
            if "mem" in kinds:
                machine.trace_memory(partial(_on_current_cpu, machine, tracer.mem))


def _on_current_cpu(machine: Machine, event: Callable[..., None], *what: Any) -> None:
    event(machine.current_cpu.index, *what)


class _TraceFile:
    """A file for traces. That it can't be opened is a UsageError at once; that it can't be written, at the end.

    How the guest ends is of use without the rest of its trace.
    """

    def __init__(self, path: str, patience: Patience) -> None:
        self._path = path
        self._failure: UsageError | None = None
        with self._explained():
            self._file = open_text(path, patience)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
            said = error.strerror if isinstance(error, OSError) else str(error)
            raise UsageError(f"--trace file {self._path}: {said}; name another") from error

    def write(self, line: str) -> None:
        """Write a line with its newline."""
        if self._failure is None:
            try:
                with self._explained():
                    self._file.write(line)
            except UsageError as failure:
                self._failure = failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            with self._explained():
                self._file.close()
        except UsageError as failure:
            self._failure = self._failure or failure
        if self._failure is not None:
            raise self._failure


def _to_stderr(line: str) -> None:
    sys.stderr.write(line)  # which is no error where nobody reads


def open_traces(stack: ExitStack, texts: tuple[str, ...], patience: Patience) -> Traces:
    """Parse the options and open their files; UsageError for a kind that is none or a file that can't be written."""
    traces = Traces()
    for text in texts:
        kinds, path = parse_kinds(text)
        if path is None:
            traces.sinks.append((kinds, _to_stderr))
            continue
        traces.sinks.append((kinds, stack.enter_context(_TraceFile(path, patience)).write))
    return traces
