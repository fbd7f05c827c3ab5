"""The options of `armvcpu run`: those of the machine, and its own; `read_plainly` reads most command lines.

Importing click takes a fifth of the time that a small guest needs from the shell to its end. So what is plain is read
here: whole names, each with a good value. All else, and above all every mistake, is left to click.
"""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.errors import UsageError
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.kinds import FILE, FLAG, NUMBER, SECONDS, SIZE, TEXT
from armvcpu.machine.option import Option, OptionsType, option

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def _trace_kinds() -> Sequence[str]:
    from armvcpu.debug.tracing.kinds import KINDS  # most runs trace nothing

    return tuple(KINDS)


class RunConfig(Row, metaclass=OptionsType):
    """What a run is to do beside running the machine."""

    timeout: float | None = option(None, SECONDS, "End after S seconds.", metavar="S")
    max_instructions: int | None = option(None, NUMBER, "End after exactly N instructions.", metavar="N", smallest=1)
    trace: tuple[str, ...] = option(
        (), TEXT, "Write a line for each event, to stderr or FILE.",
        metavar="KIND,...[:FILE]", is_several=True, words=_trace_kinds, joined_by=",",
        tool="armvcpu.cli.tracing:open_traces",
    )  # fmt: skip
    trace_filter: tuple[str, ...] = option(
        (), TEXT, "Of --trace, keep only events of this symbol, address, vcpu, level, device or class.",
        metavar="KEY=VALUE,...", is_several=True, tool="armvcpu.cli.tracing:open_traces",
    )  # fmt: skip
    coverage: str | None = option(
        None, FILE, "Write which lines, functions and branches were executed.", metavar="F", is_output=True,
        tool="armvcpu.cli.coverage:open_coverage",
    )  # fmt: skip
    coverage_elf: tuple[str, ...] = option(
        (), FILE, "An ELF file of which --coverage and --report are to tell, too.", metavar="F", is_several=True,
        tool="armvcpu.cli.coverage:open_coverage",
    )  # fmt: skip
    profile: str | None = option(
        None, FILE, "Write where the guest's time goes, by its call stacks; FILE ends in .collapsed, .txt,"
        " .speedscope.json or .pb.gz.",
        metavar="FILE", is_output=True, tool="armvcpu.cli.profiling:open_profile",
    )  # fmt: skip
    profile_interval: int = option(
        1000,
        NUMBER,
        "Microseconds of the guest's time between two samples of --profile and --report.",
        metavar="US",
        smallest=1,
        tool="armvcpu.cli.profiling:open_profile",
    )
    monitor: str | None = option(
        None, TEXT, "Listen for `armvcpu monitor SOCKET`.", metavar="unix:SOCKET",
        tool="armvcpu.cli.monitoring:open_socket",
    )  # fmt: skip
    snapshot_save: str | None = option(None, FILE, "Write a snapshot when the run ends.", metavar="F", is_output=True)
    snapshot_at: str | None = option(
        None, TEXT, "End the run once the guest has printed TEXT, for --snapshot-save.", metavar="TEXT"
    )
    report: str | None = option(
        None, FILE, "Write a page about the run, HTML that needs no network, to F.html.", metavar="F.html",
        is_output=True, tool="armvcpu.cli.reporting:open_report",
    )  # fmt: skip
    script: tuple[str, ...] = option(
        (), FILE, "Call the functions of a Python script as its decorators say; may be repeated.",
        metavar="F", is_several=True, tool="armvcpu.cli.scripting:open_scripts",
    )  # fmt: skip
    script_errors: str = option(
        "stop", TEXT, "What a script's mistake does to the run.",
        metavar="stop|continue", choices=(("stop", "stop"), ("continue", "continue")),
        tool="armvcpu.cli.scripting:open_scripts",
    )  # fmt: skip
    history: int | None = option(
        None, SIZE, "Keep the guest's states, in about so much memory, to go back to: by gdb, say.", metavar="SIZE",
        smallest=1 << 20, tool="armvcpu.cli.history:open_history",
    )  # fmt: skip
    gdb: str | None = option(
        None, TEXT, "Have gdb connect by `target remote`; HOST is this one's loopback interface.",
        metavar="[HOST:]PORT|unix:PATH", tool="armvcpu.cli.gdb:open_gdb",
    )  # fmt: skip
    gdb_wait: bool = option(False, FLAG, "Begin when gdb has connected and says so.", tool="armvcpu.cli.gdb:open_gdb")
    as_json: bool = option(False, FLAG, "Print the outcome as JSON, on the last line of stdout.", flag="--json")


OPTIONS: Mapping[str, Option] = {
    name: known for name, known in (MachineConfig.options | RunConfig.options).items() if known.flag
}
"""All of them by their names in Python; what IMAGE is goes by itself on a command line."""


def spelled(name: str) -> str:
    """An option's name as it is written on a command line."""
    return (OPTIONS[name].flag or name) if name in OPTIONS else name


def read_plainly(words: Sequence[str]) -> dict[str, Any] | None:
    """The options that are given in the words of a command line behind `run`; None where click is to be asked."""
    try:
        return _read(with_ours(words))
    except (_NotPlain, UsageError):
        return None


def with_ours(words: Sequence[str]) -> Sequence[str]:
    """The words of a command line behind `run`, with QEMU's options as our own; UsageError where one can't be had."""
    if not any(word.startswith("-") and not word.startswith("--") for word in words):
        return words
    from armvcpu.cli.from_qemu import translated  # most command lines have none

    return translated(words, {option.flag: option for option in OPTIONS.values() if option.flag})


class _NotPlain(Exception):
    pass


def _read(words: Iterable[str]) -> dict[str, Any]:
    known = {option.flag: option for option in OPTIONS.values()}
    values: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            if not word or "image" in values:
                raise _NotPlain
            values["image"] = word
            continue
        flag, equals, text = word.partition("=")
        option = known.get(flag)
        if option is None or (option.name in values and not option.is_several):
            raise _NotPlain
        if option.kind is FLAG:
            if equals:
                raise _NotPlain
            values[option.name] = option.value_of_flag
            continue
        if not equals:
            text = next(rest, "-")
            if text.startswith("-"):
                raise _NotPlain
        value = option.read(text)
        values[option.name] = (*values.get(option.name, ()), value) if option.is_several else value
    return values
