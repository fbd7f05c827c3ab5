"""The options of `armvcpu run`, as rows: of them click makes the command, and `read_plainly` reads most command lines.

Importing click takes a fifth of the time that a small guest needs from the shell to its end. So what is plain is read
here: whole names, each with a good value. All else, and above all every mistake, is left to click.
"""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.cli.values import parse_address, parse_seconds
from armvcpu.errors import UsageError
from armvcpu.machine.board.sizes import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class RunOption(Row):
    """One option; `kind` names what its value is, "flag" that it has none."""

    flag: str
    kind: str
    help: str
    default: Any = None
    metavar: str | None = None
    destination: str = ""
    """The name of its value, where that is not the option's own."""
    choices: tuple[str, ...] = ()
    smallest: int | None = None
    largest: int | None = None
    is_multiple: bool = False

    @property
    def name(self) -> str:
        """What its value is called."""
        return self.destination or self.flag.removeprefix("--").replace("-", "_")

    @property
    def initial(self) -> Any:
        """Its value where it is not given."""
        if self.is_multiple:
            return ()
        return self.read(self.default) if isinstance(self.default, str) else self.default

    def read(self, text: str) -> Any:
        """The value that a text stands for.

        Raises:
            UsageError, ValueError: the text is none of this kind.
        """
        value = _READERS[self.kind](text)
        if self.choices and value not in self.choices:
            raise ValueError
        if (self.smallest is not None and value < self.smallest) or (self.largest is not None and value > self.largest):
            raise ValueError
        return value


def _path(text: str) -> Any:
    from pathlib import Path  # noqa: PLC0415  for a fast start

    return Path(text)


_READERS: dict[str, Callable[[str], Any]] = {
    "file": str, "directory": _path, "text": str, "choice": str,
    "number": int, "size": parse_size, "address": parse_address, "seconds": parse_seconds,
}  # fmt: skip

RUN_OPTIONS = (
    RunOption("--firmware", "file", "Start from flash bank 0 with this in it.", metavar="F"),
    RunOption("--vars", "file", "File that is flash bank 1; created where there is none.", metavar="F"),
    RunOption("--cpus", "number", "CPUs, up to 32.", 1, metavar="N"),
    RunOption("--gic", "number", "Version of the GIC, 2 or 3.", 3, smallest=2, largest=3),
    RunOption(
        "--disk", "text", "Raw image as a virtio block device; may be repeated.",
        metavar="F[,ro]", destination="disks", is_multiple=True,
    ),
    RunOption(
        "--net", "text", "Network interface: user[,tcp=PORTS], unix:PATH or HOST:PORT; may be repeated.",
        metavar="SPEC", destination="networks", is_multiple=True,
    ),
    RunOption("--virtio-console", "flag", "A virtio console (hvc0) beside the UART."),
    RunOption(
        "--virtio", "choice", "Register layout of the virtio-mmio slots.", "legacy", choices=("legacy", "modern")
    ),
    RunOption("--memory", "size", "RAM.", "256M"),
    RunOption("--cpu-model", "text", "a53, a57, a72 or max.", "a72", metavar="NAME"),
    RunOption("--append", "text", "Boot arguments, in /chosen of the device tree.", metavar="STR"),
    RunOption("--initrd", "file", "Initial RAM disk, in /chosen of the device tree.", metavar="F"),
    RunOption("--dtb", "file", "Device tree in place of the board's own.", metavar="F"),
    RunOption("--load-address", "address", "Where a raw image goes. [default: RAM + 0x80000]"),
    RunOption(
        "--clock", "choice", "What time is for the guest and how the engine runs: promptly, or repeatably.",
        "host", choices=("host", "instructions"),
    ),
    RunOption("--timeout", "seconds", "End after S seconds.", metavar="S"),
    RunOption("--max-instructions", "number", "End after exactly N instructions.", metavar="N", smallest=1),
    RunOption(
        "--trace", "text",
        "Write a line for each event, to stderr or FILE: exits, irq, mmio, sysreg, psci, exception, insn, mem.",
        metavar="KIND,...[:FILE]", is_multiple=True,
    ),
    RunOption("--semihosting", "flag", "Answer HLT #0xF000: console, exit, clock, command line."),
    RunOption("--semihosting-directory", "directory", "Let semihosting use files in DIR.", metavar="DIR"),
    RunOption("--snapshot-load", "file", "Go on from a snapshot of the same machine.", metavar="F"),
    RunOption("--snapshot-save", "file", "Write a snapshot when the run ends.", metavar="F"),
    RunOption(
        "--snapshot-at", "text", "End the run once the guest has printed TEXT, for --snapshot-save.", metavar="TEXT"
    ),
    RunOption("--record", "file", "Keep what is typed in F, for --replay.", metavar="F"),
    RunOption("--replay", "file", "Type what F has, at the same moments of the guest.", metavar="F"),
    RunOption("--no-reboot", "flag", "End when the guest asks for a reset."),
    RunOption("--json", "flag", "Print the outcome as JSON, on the last line of stdout.", destination="as_json"),
)  # fmt: skip


def read_plainly(words: Sequence[str]) -> dict[str, Any] | None:
    """The options that are given in the words of a command line behind `run`; None where click is to be asked."""
    try:
        return _read(iter(words))
    except (_NotPlain, UsageError, ValueError):
        return None


class _NotPlain(Exception):
    pass


def _read(words: Iterable[str]) -> dict[str, Any]:
    known = {option.flag: option for option in RUN_OPTIONS}
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
        if option is None or (option.name in values and not option.is_multiple):
            raise _NotPlain
        if option.kind == "flag":
            if equals:
                raise _NotPlain
            values[option.name] = True
            continue
        if not equals:
            text = next(rest, "-")
            if text.startswith("-"):
                raise _NotPlain
        value = option.read(text)
        values[option.name] = (*values.get(option.name, ()), value) if option.is_multiple else value
    return values


def initial_values() -> dict[str, Any]:
    """Every option's value where it is not given."""
    values = {option.name: False if option.kind == "flag" else option.initial for option in RUN_OPTIONS}
    return {"image": None, **values}
