"""`--trace`: opens the files and connects a tracer to a machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from armvcpu.debug.trace import Tracer, parse_kinds
from armvcpu.errors import ArmvcpuError, UsageError
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.console.output_file import OutputFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from armvcpu.cli.run_options import RunConfig
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.console.stdio import StdioConsole
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome


@dataclass
class Traces:
    """Where each kind of event goes."""

    sinks: list[tuple[frozenset[str], Callable[[str], object]]] = field(default_factory=list)
    files: list[OutputFile] = field(default_factory=list)
    """Those of them that are files; closing one tells what could not be written."""

    @property
    def kinds(self) -> frozenset[str]:
        """Every kind that somebody wants."""
        return frozenset().union(*(kinds for kinds, _ in self.sinks))

    def prepare(self, described: dict[str, Any]) -> None:
        """A device's access is to come out with its exact place? A GICv2's are how a guest deals with interrupts."""
        gic = MachineConfig.of(**described).gic
        described["exact_mmio"] = "mmio" in self.kinds or ("irq" in self.kinds and gic == 2)

    def attach(self, machine: Machine, console: StdioConsole) -> None:
        """Have the machine tell what happens."""
        del console
        for kinds, output in self.sinks:
            tracer = Tracer(kinds, output, machine.symbols, machine.engine.memory.fetch_word, machine.name_of)
            machine.observe(tracer)
            if "insn" in kinds:
                machine.trace_instructions(partial(_on_current_cpu, machine, tracer.insn))
            if "mem" in kinds:
                machine.trace_memory(partial(_on_current_cpu, machine, tracer.mem))

    def finish(self, machine: Machine, outcome: Outcome) -> list[ArmvcpuError]:
        """Close the files."""
        del machine, outcome
        problems: list[ArmvcpuError] = []
        for file in self.files:
            try:
                file.close()
            except ArmvcpuError as error:
                problems.append(error)
        return problems


def _on_current_cpu(machine: Machine, event: Callable[..., None], *what: Any) -> None:
    event(machine.current_cpu.index, *what)


def _to_stderr(line: str) -> None:
    sys.stderr.write(line)  # which is no error where nobody reads


def _unwritable(path: str, said: str) -> UsageError:
    return UsageError(f"--trace file {path}: {said}; name another")


def open_traces(config: RunConfig, stack: ExitStack, patience: Patience) -> Traces:
    """Parse the options and open their files; UsageError for a kind that is none or a file that can't be written."""
    traces = Traces()
    for text in config.trace:
        kinds, path = parse_kinds(text)
        if path is None:
            traces.sinks.append((kinds, _to_stderr))
            continue
        file = stack.enter_context(OutputFile(path, patience, partial(_unwritable, path)))
        traces.files.append(file)
        traces.sinks.append((kinds, file.write))
    return traces
