"""A fast start: what `armvcpu run` does not import, and that what it reads without click is what click would read."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import click
import pytest

from armvcpu.cli import cli
from armvcpu.cli.boot import boot
from armvcpu.cli.run_options import OPTIONS, RunConfig, read_plainly
from armvcpu.errors import UsageError
from armvcpu.machine.config import MachineConfig

ABSENT = {
    "argparse", "asyncio", "capstone", "click", "elftools", "fcntl", "fdt", "hashlib", "importlib.metadata", "json",
    "logging", "platform", "random", "shutil", "socket", "subprocess", "tempfile", "termios", "traceback", "unicorn",
    "uuid", "weakref", "zlib", "armvcpu.arch.accesses", "armvcpu.cli.group", "armvcpu.cli.options",
    "armvcpu.cli.outputs", "armvcpu.cli.run", "armvcpu.cli.tracing", "armvcpu.debug", "armvcpu.devices.gic.gicv2",
    "armvcpu.devices.virtio.block", "armvcpu.engine.fake", "armvcpu.engine.selftest",
    "armvcpu.machine.board.devicetree_reader", "armvcpu.machine.board.flash_file", "armvcpu.machine.board.network",
    "armvcpu.machine.boot.image_linux", "armvcpu.machine.boot.symbols", "armvcpu.machine.console.output_file",
    "armvcpu.machine.console.recording", "armvcpu.machine.console.terminal", "armvcpu.machine.end_report",
    "armvcpu.machine.files", "armvcpu.machine.semihosting", "armvcpu.machine.snapshots.snapshot",
    "armvcpu.machine.watching.stage1", "armvcpu.machine.watching.watchpoint", "armvcpu.testing", "armvcpu.vcpu.alarms",
    "armvcpu.vcpu.icv", "armvcpu.vcpu.lines", "armvcpu.vcpu.registers", "armvcpu.vcpu.vcpu_timers", "armvcpu.vcpu.vm",
}  # fmt: skip
"""What a run of a plain ELF file does not import. Each costs between a fifth of a millisecond and twenty."""
SPARED = {"dataclasses", "inspect", "pathlib", "re", "typing"}
"""What such a run would not need either; so far only the layers below ask for them."""
BELOW = ("armvcpu.engine", "armvcpu.vcpu")
HELLO = str(Path(__file__).parents[2] / "guests" / "bin" / "hello.elf")


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The modules that `armvcpu run` of a plain ELF file imports from its start to its end."""
    code = (
        "import atexit, sys; before = set(sys.modules); "
        "atexit.register(lambda: print(*set(sys.modules) - before, file=sys.stderr)); "
        "from armvcpu.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "run", HELLO]
    for _ in range(2):  # the first one may have the engine tested
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60, text=True)
    assert "hello: 1 passed" in done.stdout
    return set(done.stderr.split())


def test_a_run_imports_only_what_it_needs(imported):
    assert "armvcpu.machine.machine" in imported
    assert not ABSENT & imported


def imports_at_once(module: str) -> set[str]:
    """The modules that a module imports when it is imported itself, but for those that type checkers need."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    found: set[str] = set()
    for node in ast.parse(Path(spec.origin).read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


def test_what_is_slow_to_import_is_for_the_layers_below_only(imported):
    own = {name for name in imported if name.split(".")[0] == "armvcpu" and not name.startswith(BELOW)}
    assert len(own) > 50
    assert {name: slow for name in own if (slow := imports_at_once(name) & SPARED)} == {}


def as_click_reads(words: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, object] | None:
    """The options that click hands on; None for a mistake."""
    seen: list[dict[str, object]] = []
    monkeypatch.setattr("armvcpu.cli.run.boot", lambda options: seen.append(options) or 0)
    try:
        cli.main(args=["run", *words], prog_name="armvcpu", standalone_mode=False)
    except (click.ClickException, UsageError):
        return None
    return seen[0]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["guest.elf"],
        ["guest.elf", "--cpus", "4", "--gic=2", "--memory", "1G", "--timeout", "0.5"],
        ["--disk", "a.img", "--net", "user", "guest.elf", "--disk", "b.img,ro"],
        ["--append", "console=ttyAMA0 quiet", "--initrd=rd", "--dtb", "d", "--load-address", "0x4000_0000", "Image"],
        ["--clock", "host", "--record", "r", "a b"],
        ["--virtio", "modern", "--virtio-console", "--no-reboot", "--json", "--max-instructions", "10"],
        ["--firmware", "f", "--vars", "v", "--snapshot-save", "s", "--snapshot-at", "text", "--snapshot-load", "l"],
        ["--semihosting", "--semihosting-directory", "/tmp", "--trace", "exits", "--trace=psci:file"],
        ["--cpu-model", "max", "--replay", "r", "--append="],
    ],
)
def test_plain_words_are_read_as_click_reads_them(words, monkeypatch):
    plain = read_plainly(words)
    assert plain is not None
    assert plain == as_click_reads(words, monkeypatch)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"], ["-h"], ["--"], ["--", "guest.elf"], [""], ["one.elf", "two.elf"], ["-"],
        ["--cpu", "2"], ["--cpus"], ["--cpus", "two"], ["--cpus", "-1"], ["--cpus=1", "--cpus=2"],
        ["--gic", "4"], ["--virtio", "none"], ["--memory", "much"], ["--timeout", "0"], ["--timeout=nan"],
        ["--load-address", "1 << 64"], ["--load-address", "0x1_0000_0000_0000_0000"], ["--max-instructions", "0"],
        ["--json=yes"], ["--append", "--quiet"], ["--clock", ""],
    ],
)  # fmt: skip
def test_all_else_is_left_to_click(words):
    assert read_plainly(words) is None


def test_a_recording_is_by_instructions_unless_told_otherwise(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "armvcpu.cli.boot._run",
        lambda _stack, _traces, _files, _run, given, _host: seen.append(given.get("clock")) or 1 / 0,
    )
    for options in ({}, {"record": "r"}, {"replay": "r"}, {"record": "r", "clock": "host"}):
        with pytest.raises(ZeroDivisionError):
            boot(options)
    assert seen == [None, "instructions", "instructions", "host"]


def test_the_default_in_the_help_is_the_fields_own():
    shown = [option for option in OPTIONS.values() if option.shown_default is not None]
    assert {option.name for option in shown} == {
        "cpus", "el", "gic", "virtio_version", "memory", "cpu_model", "clock", "profile_interval", "script_errors",
    }  # fmt: skip
    assert all(option.read(option.shown_default) == option.default for option in shown)


def test_every_field_is_an_option_of_the_command_line_but_those_that_say_otherwise():
    assert {*OPTIONS} == {*MachineConfig.__match_args__, *RunConfig.__match_args__} - {"exact_mmio"}
