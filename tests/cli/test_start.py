"""A fast start: what `armvcpu run` does not import, and that what it reads without click is what click would read."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from armvcpu.cli import cli
from armvcpu.cli.boot import boot
from armvcpu.cli.run import run
from armvcpu.cli.run_options import RUN_OPTIONS, read_plainly

HELLO = str(Path(__file__).parents[2] / "guests" / "bin" / "hello.elf")


def as_click_reads(words: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, object] | None:
    """The options that click hands on, without those that are as they are when not given; None for a mistake."""
    seen: list[dict[str, object]] = []
    monkeypatch.setattr("armvcpu.cli.run.boot", lambda options: seen.append(options) or 0)
    try:
        cli.main(args=["run", *words], prog_name="armvcpu", standalone_mode=False)
    except click.ClickException:
        return None
    context = run.make_context("run", [])
    return {name: value for name, value in seen[0].items() if name == "clock" or value != context.params[name]}


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
    initial = {option.name: option.initial for option in RUN_OPTIONS if option.name != "clock"}
    told = {name: value for name, value in plain.items() if name not in initial or value != initial[name]}
    assert told == as_click_reads(words, monkeypatch)


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
    monkeypatch.setattr("armvcpu.cli.boot._run", lambda _stack, _trace, options: seen.append(options["clock"]) or 1 / 0)
    for options in ({}, {"record": "r"}, {"replay": "r"}, {"record": "r", "clock": "host"}, {"record": None}):
        with pytest.raises(ZeroDivisionError):
            boot(options)
    assert seen == ["host", "instructions", "instructions", "host", "host"]


def test_every_option_has_a_value_where_it_is_not_given():
    context = run.make_context("run", [])
    initial = {option.name: option.initial for option in RUN_OPTIONS if option.kind != "flag"}
    assert {name: context.params[name] for name in initial} == initial
