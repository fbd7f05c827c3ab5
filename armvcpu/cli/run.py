"""`armvcpu run`: boot an image or firmware with its console on the terminal or on pipes."""

from __future__ import annotations

import json
import logging
import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from armvcpu.cli.options import Address, Seconds, Size
from armvcpu.cli.snapshots import SnapshotFiles

if TYPE_CHECKING:
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome

log = logging.getLogger("armvcpu.run")
PATIENCE = 1.0
"""Seconds that a repeatable run waits for piped input before it begins without its end."""
TERMINATING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.argument("image", metavar="[IMAGE]", required=False, type=click.Path())
@click.option("--firmware", metavar="F", type=click.Path(), help="Start from flash bank 0 with this in it.")
@click.option("--vars", metavar="F", type=click.Path(), help="File that is flash bank 1; created where there is none.")
@click.option("--cpus", metavar="N", type=int, default=1, show_default=True, help="CPUs, up to 32.")
@click.option("--gic", type=click.IntRange(2, 3), default=3, show_default=True, help="Version of the GIC, 2 or 3.")
@click.option(
    "--disk", "disks", metavar="F[,ro]", multiple=True, help="Raw image as a virtio block device; may be repeated."
)
@click.option(
    "--net",
    "networks",
    metavar="SPEC",
    multiple=True,
    help="Network interface: user[,tcp=PORTS], unix:PATH or HOST:PORT; may be repeated.",
)
@click.option("--virtio-console", is_flag=True, help="A virtio console (hvc0) beside the UART.")
@click.option(
    "--virtio",
    type=click.Choice(["legacy", "modern"]),
    default="legacy",
    show_default=True,
    help="Register layout of the virtio-mmio slots.",
)
@click.option("--memory", type=Size(), default="256M", show_default=True, help="RAM.")
@click.option("--cpu-model", metavar="NAME", default="a72", show_default=True, help="a53, a57, a72 or max.")
@click.option("--append", metavar="STR", help="Boot arguments, in /chosen of the device tree.")
@click.option("--initrd", metavar="F", type=click.Path(), help="Initial RAM disk, in /chosen of the device tree.")
@click.option("--dtb", metavar="F", type=click.Path(), help="Device tree in place of the board's own.")
@click.option("--load-address", type=Address(), help="Where a raw image goes. [default: RAM + 0x80000]")
@click.option(
    "--clock", type=click.Choice(["host", "instructions"]), default="host", show_default=True,
    help="What time is for the guest and how the engine runs: promptly, or repeatably.",
)  # fmt: skip
@click.option("--timeout", metavar="S", type=Seconds(), help="End after S seconds.")
@click.option("--max-instructions", metavar="N", type=click.IntRange(min=1), help="End after exactly N instructions.")
@click.option(
    "--trace", metavar="KIND,...[:FILE]", multiple=True,
    help="Write a line for each event, to stderr or FILE: exits, irq, mmio, sysreg, psci, exception, insn, mem.",
)  # fmt: skip
@click.option("--semihosting", is_flag=True, help="Answer HLT #0xF000: console, exit, clock, command line.")
@click.option(
    "--semihosting-directory", metavar="DIR", type=click.Path(path_type=Path), help="Let semihosting use files in DIR."
)
@click.option("--snapshot-load", metavar="F", type=click.Path(), help="Go on from a snapshot of the same machine.")
@click.option("--snapshot-save", metavar="F", type=click.Path(), help="Write a snapshot when the run ends.")
@click.option("--snapshot-at", metavar="TEXT", help="End the run once the guest has printed TEXT, for --snapshot-save.")
@click.option("--record", metavar="F", type=click.Path(), help="Keep what is typed in F, for --replay.")
@click.option("--replay", metavar="F", type=click.Path(), help="Type what F has, at the same moments of the guest.")
@click.option("--no-reboot", is_flag=True, help="End when the guest asks for a reset.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON, on the last line of stdout.")
@click.pass_context
def run(ctx: click.Context, /, as_json: bool, trace: tuple[str, ...], **options: Any) -> None:
    """Boot IMAGE, or firmware, and connect its console.

    Ctrl-A X quits, Ctrl-A H lists the other keys. The status is 0 when the guest powered off, 1 when it reported
    failure, 2 for wrong usage, 3 when it crashed, 4 at a time-out or limit, 128 + N when signal N ended the run.
    """
    is_recording = options["record"] is not None or options["replay"] is not None
    if is_recording and ctx.get_parameter_source("clock") is ParameterSource.DEFAULT:
        options["clock"] = "instructions"
    with ExitStack() as stack:
        machine, outcome = _run(stack, trace, options)
        log.info("%s; status %d", outcome.reason, outcome.status)
        status = _report(machine, outcome, as_json=as_json)
    ctx.exit(status)


def _run(stack: ExitStack, trace: tuple[str, ...], options: dict[str, Any]) -> tuple[Machine, Outcome]:
    from armvcpu.cli.outputs import check_outputs  # noqa: PLC0415
    from armvcpu.machine.console_stdio import StdioConsole  # noqa: PLC0415  for a fast start: usage errors come first
    from armvcpu.machine.machine import Machine  # noqa: PLC0415

    check_outputs(options, [path for _, _, path in (text.partition(":") for text in trace) if path])
    timeout, limit = options.pop("timeout"), options.pop("max_instructions")
    snapshots = SnapshotFiles(*(options.pop(f"snapshot_{name}") for name in ("save", "at")))
    snapshots.check()
    options["snapshot"] = options.pop("snapshot_load")
    options["virtio_version"] = 1 if options.pop("virtio") == "legacy" else 2
    options["reboot"] = not options.pop("no_reboot")
    tracing = None
    if trace:
        from armvcpu.cli.tracing import open_traces  # noqa: PLC0415  most runs have none

        tracing = open_traces(stack, trace)
    console = StdioConsole()
    machine = stack.enter_context(
        Machine(console=console, exact_mmio=tracing is not None and tracing.needs_exact_mmio(options["gic"]), **options)
    )
    if tracing is not None:
        tracing.attach(machine)
    for line in machine.plan.description:
        log.info(line)
    log.debug("guest memory %d MiB, CPU %s", machine.config.memory >> 20, machine.vcpu.model.name)
    console.on_quit = machine.quit
    snapshots.watch(console, machine)
    console.on_output_lost = lambda: machine.interrupt(signal.SIGPIPE)
    for number in TERMINATING:
        if signal.getsignal(number) is signal.SIG_IGN:  # nohup, or a shell's background job
            continue
        stack.callback(signal.signal, number, signal.signal(number, lambda n, _frame: machine.interrupt(n)))
    with console:
        repeats = options["clock"] == "instructions" and options["record"] is None and options["replay"] is None
        if repeats and not console.read_to_end(PATIENCE):
            log.info("the input does not end: what comes later is not repeatable, unless it is recorded (--record)")
        outcome = machine.run(timeout=timeout, max_instructions=limit or 0)
    return machine, snapshots.save_from(machine, outcome)


def _report(machine: Machine, outcome: Outcome, *, as_json: bool) -> int:
    """Say how it ended, where that is not plain; returns the exit status."""
    from armvcpu.machine.console_output import BufferedOutput  # noqa: PLC0415
    from armvcpu.machine.outcome import Ending  # noqa: PLC0415

    crash = None
    if outcome.ending is Ending.CRASHED:
        from armvcpu.debug.crash import crash_report  # noqa: PLC0415

        crash = crash_report(machine, outcome.reason)
        click.echo("\n" + crash.render(), err=True)
    elif outcome.ending is Ending.LIMIT and outcome.status != 128 + signal.SIGPIPE:  # `| head` is no mishap
        pc = machine.vcpu.state.pc
        name = machine.symbols.format(pc)
        click.echo(f"armvcpu: {outcome.reason}; PC {pc:#x}" + (f" {name}" if name else ""), err=True)
    if as_json:
        facts = {
            "status": outcome.status,
            "ending": outcome.ending.name.lower().replace("_", "-"),
            "reason": outcome.reason,
            "pc": f"{machine.vcpu.state.pc:#x}",
            "instructions": machine.instructions,
            "crash": None if crash is None else crash.as_dict(),
        }
        assert isinstance(machine.console, BufferedOutput)
        _print_last(("" if machine.console.is_at_line_start else "\n") + json.dumps(facts))
    return outcome.status


def _print_last(line: str) -> None:
    """Print to stdout; where its reader has gone, to nowhere, so that Python's own flush at the end succeeds too."""
    try:
        click.echo(line)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
