"""The table of commands, and how a line names one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.monitor import backwards, cpus, devices, interrupts, memory, points, states, traces, translate
from armvcpu.debug.monitor.command import Answer, Argument, Command, Kind, Then
from armvcpu.debug.monitor.kinds import (
    ADDRESS,
    COUNT,
    CPU,
    DEVICE,
    LEVEL,
    NUMBER,
    PLACE,
    REGISTER,
    SNAPSHOT,
    SYMBOL,
    TEXT,
    VALUE,
    one_of,
)
from armvcpu.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.debug.monitor.view import View


TRACE_KINDS = Kind(lambda _view, text: text, traces.kinds_begun)


def _help(_view: View, name: str | None) -> str:
    if name is None:
        width = max(len(command.usage) for command in COMMANDS)
        return "\n".join(f"{command.usage:{width}}  {command.help}" for command in COMMANDS)
    words = name.split()
    chosen = [command for command in COMMANDS if command.name.split()[: len(words)] == words] or [find(words)[0]]
    return "\n".join(f"{command.usage}\n    {command.help}{_aliases(command)}" for command in chosen)


def _aliases(command: Command) -> str:
    return f" Also {', '.join(command.aliases)}." if command.aliases else ""


def _quit(view: View) -> Answer:
    view.machine.quit()
    return Answer("", Then.QUIT)


_WATCHED = Argument("bytes", COUNT, True), Argument("access", one_of("access", "r", "w", "rw"), True)
_INTEGER = Argument("value", NUMBER), Argument("bytes", NUMBER, True)

COMMANDS: tuple[Command, ...] = (
    Command("help", _help, (Argument("command", TEXT, True, True),), "This list, or one command.", ("?", "h")),
    Command("info cpus", cpus.info_cpus, (), "What each CPU does, and where."),
    Command("info registers", cpus.info_registers, (Argument("cpu", CPU, True),), "General registers and PSTATE."),
    Command(
        "info sysregs", cpus.info_sysregs, (Argument("pattern", TEXT, True), Argument("cpu", CPU, True)),
        "System registers with PATTERN in their names, or that match it, as *_EL2; without it the guest's levels'.",
    ),
    Command("info gic", interrupts.info_gic, (), "Each interrupt that is in use, and each CPU's interface."),
    Command("info timers", interrupts.info_timers, (), "Each CPU's timers, and when they are due."),
    Command("info mtree", devices.info_mtree, (), "What is at which guest-physical address."),
    Command(
        "info devices", devices.info_devices, (Argument("name", DEVICE, True),),
        "The devices, or the state of one, without the effects of reading it.",
    ),
    Command("info exits", cpus.info_exits, (), "The last exits, the latest last."),
    Command("info breakpoints", points.info_breakpoints, (), "Breakpoints and watchpoints."),
    Command("info traces", traces.info_traces, (), "Those that `trace on` has begun."),
    Command("info history", backwards.info_history, (), "How far back the guest can be taken."),
    Command("info snapshots", states.info_snapshots, (), "The snapshots that `snapshot` has taken."),
    Command("cpu", cpus.choose, (Argument("cpu", CPU),), "The CPU that the other commands are about."),
    Command(
        "print", cpus.show, (Argument("value", ADDRESS, is_rest=True),), "A value, as $x0 or main+8; x0 alone will do.",
        ("p",),
    ),
    Command(
        "set", cpus.set_register, (Argument("register", REGISTER), Argument("value", VALUE, is_rest=True)),
        "Write a register, as set x0 4 or set $pc = main.",
    ),
    Command(
        "write", memory.write, (Argument("address", ADDRESS), *_INTEGER),
        "Write a number to memory at a virtual address, little-endian; 4 bytes unless told.",
    ),
    Command("writep", memory.write_physical, (Argument("address", ADDRESS), *_INTEGER), "At a physical address."),
    Command(
        "x", memory.examine, (Argument("address", ADDRESS, True, True),),
        "Memory at a virtual address. FORMAT is gdb's: a count, x d u o t a c s i, and b h w g for 1, 2, 4, 8 bytes.",
        has_format=True,
    ),
    Command(
        "xp", memory.examine_physical, (Argument("address", ADDRESS, True, True),), "The same at a physical address.",
        has_format=True,
    ),
    Command(
        "disassemble", memory.disassemble, (Argument("address", ADDRESS, True), Argument("count", COUNT, True)),
        "Instructions, from PC on unless told.", ("dis",),
    ),
    Command(
        "translate", translate.translate,
        (Argument("address", ADDRESS), Argument("el", LEVEL, True), Argument("cpu", CPU, True)),
        "A walk of the guest's tables, each descriptor decoded, and the fault that an access would take.",
    ),
    Command("backtrace", cpus.backtrace, (), "Who called whom, by frame pointers.", ("bt",)),
    Command(
        "symbols", cpus.symbols, (Argument("name", SYMBOL),), "What is at an address, or the symbols with NAME in them."
    ),
    Command(
        "inject irq", interrupts.inject_irq, (Argument("intid", NUMBER), Argument("cpu", CPU, True)),
        "Make an interrupt pending, by its INTID.",
    ),
    Command(
        "inject serror", interrupts.inject_serror, (Argument("iss", NUMBER, True),),
        "Have the CPU take an SError, where PSTATE.A does not mask it; ISS is its syndrome.",
    ),
    Command(
        "inject powerkey", devices.power_key, (Argument("position", one_of("position", "down", "up"), True),),
        "Press the power key (down), or let it go (up).",
    ),
    Command(
        "break", points.add_breakpoint, (Argument("address", PLACE, is_rest=True),),
        "Stop before the instruction at ADDRESS; with `if $x0 == 5` behind it where that is so (== != < > <= >= &).",
        ("b",),
    ),
    Command(
        "watch", points.add_watchpoint, (Argument("address", ADDRESS), *_WATCHED),
        "Stop before an access of BYTES (8) at a virtual address: w (as without), r, rw.",
    ),
    Command("watchp", points.add_physical_watchpoint, (Argument("address", ADDRESS), *_WATCHED), "At a physical one."),
    Command("delete", points.delete, (Argument("number", NUMBER, True),), "Take one of them away, or all.", ("d",)),
    Command("step", points.step, (Argument("count", COUNT, True),), "One instruction, or so many.", ("s", "si")),
    Command(
        "back", backwards.back, (Argument("count", COUNT, True),),
        "Before the last instruction, or so many instructions of all CPUs ago; needs --history, as the next two do.",
    ),
    Command("rcontinue", backwards.continue_back, (), "Back to the last breakpoint or watchpoint.", ("rc",)),
    Command("goto", backwards.go_to, (Argument("count", COUNT),), "To the state after so many instructions in all."),
    Command("stop", points.stop, (), "Keep the guest standing where it is, until `continue`."),
    Command("continue", points.go_on, (), "Let the guest go on.", ("c", "cont")),
    Command(
        "trace on", traces.trace_on, (Argument("kinds", TRACE_KINDS), Argument("file", TEXT, True, True)),
        "Begin a trace, as --trace does: kinds with commas between them, to FILE or stderr.",
    ),
    Command("trace off", traces.trace_off, (), "End those."),
    Command("snapshot", states.snapshot, (Argument("name", SNAPSHOT),), "Keep the machine's state under a name."),
    Command("restore", states.restore, (Argument("name", SNAPSHOT),), "Return to it."),
    Command("reset", states.reset, (), "SYSTEM_RESET: devices and CPUs start anew."),
    Command("quit", _quit, (), "End the run.", ("q",)),
)  # fmt: skip
"""All of them, in the order of `help`."""


def find(words: Sequence[str]) -> tuple[Command, int]:
    """The command that a line begins with, and how many of its words name it; enough of each word to tell will do.

    Raises:
        UsageError: there is none, or there are several.
    """
    names = [word.partition("/")[0] for word in words]
    for length in range(min(2, len(names)), 0, -1):
        name = " ".join(names[:length])
        exact = [each for each in COMMANDS if name == each.name or name in each.aliases]
        near = exact or [each for each in COMMANDS if _is_short_for(names[:length], each.name.split())]
        if len(near) == 1:
            return near[0], length
        if len(near) > 1 and length == len(names):
            raise UsageError(f"{' '.join(names)!r} may be {', '.join(each.name for each in near)}")
    beginnings = [each for each in COMMANDS if each.name.startswith(f"{names[0]} ")]
    if beginnings:
        rest = ", ".join(each.name.split()[1] for each in beginnings)
        raise UsageError(f"{names[0]} what? {rest}")
    near_names = did_you_mean(names[0], {each.name.split()[0] for each in COMMANDS})
    raise UsageError(f"there is no command {names[0]!r}{near_names or '; `help` lists them'}")


def _is_short_for(words: Sequence[str], name: Sequence[str]) -> bool:
    return len(words) == len(name) and all(whole.startswith(word) for word, whole in zip(words, name, strict=True))
