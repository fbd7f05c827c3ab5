"""`--trace`: opens the files and connects a tracer to a machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from armvcpu.debug.trace import Tracer, parse_kinds
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from armvcpu.machine.machine import Machine


@dataclass
class Traces:
    """Where each kind of event goes."""

    sinks: list[tuple[frozenset[str], Callable[[str], object]]] = field(default_factory=list)

    @property
    def kinds(self) -> frozenset[str]:
        """Every kind that somebody wants."""
        return frozenset().union(*(kinds for kinds, _ in self.sinks))

    def attach(self, machine: Machine) -> None:
        """Have the machine tell what happens."""
        for kinds, output in self.sinks:
            tracer = Tracer(kinds, output, machine.symbols, machine.engine.fetch_word, machine.name_of)
            machine.observe(tracer)
            if "insn" in kinds:
                machine.trace_instructions(partial(tracer.insn, 0))
            if "mem" in kinds:
                machine.trace_memory(partial(tracer.mem, 0))


def open_traces(stack: ExitStack, texts: tuple[str, ...]) -> Traces:
    """Parse the options and open their files; UsageError for a kind that is none or a file that can't be written."""
    traces = Traces()
    for text in texts:
        kinds, path = parse_kinds(text)
        if path is None:
            traces.sinks.append((kinds, sys.stderr.write))
            continue
        try:
            file = stack.enter_context(open(path, "w", encoding="utf-8"))  # noqa: SIM115  the stack closes it
        except OSError as error:
            raise UsageError(f"--trace file {path}: {error.strerror}") from error
        traces.sinks.append((kinds, file.write))
    return traces
