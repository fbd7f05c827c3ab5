"""What `armvcpu run` does: boot an image or firmware with its console on the terminal or on pipes."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack

from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.cli.run_options import RunConfig
from armvcpu.cli.snapshots import SnapshotFiles
from armvcpu.machine.config import MachineConfig

if TYPE_CHECKING:
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome

DEBUG, INFO = 10, 20
"""As `logging` has them."""
PATIENCE = 1.0
"""Seconds that a repeatable run waits for piped input before it begins without its end."""
TERMINATING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def boot(options: dict[str, Any]) -> int:
    """Run a machine with the options that are given, by their names in Python; the exit status."""
    config = RunConfig(**{name: value for name, value in options.items() if name in RunConfig.options})
    described = {name: value for name, value in options.items() if name not in RunConfig.options}
    if "record" in described or "replay" in described:
        described.setdefault("clock", "instructions")
    with ExitStack() as stack:
        machine, outcome = _run(stack, config, described)
        _log(INFO, "%s; status %d", outcome.reason, outcome.status)
        return _report(machine, outcome, as_json=config.as_json)


def _log(level: int, message: str, *values: object) -> None:
    """Log for `-v`. Nobody hears of these levels who has not imported `logging`, which takes 5 ms."""
    if (logging := sys.modules.get("logging")) is not None:
        logging.getLogger("armvcpu.run").log(level, message, *values)


def _run(stack: ExitStack, config: RunConfig, described: dict[str, Any]) -> tuple[Machine, Outcome]:
    from armvcpu.machine.console.stdio import StdioConsole  # usage errors come first
    from armvcpu.machine.machine import Machine

    if config.trace or config.snapshot_save or "record" in described:
        from armvcpu.cli.outputs import check_outputs  # most runs write nothing

        traced = [path for _, _, path in (text.partition(":") for text in config.trace) if path]
        check_outputs({**described, "snapshot_save": config.snapshot_save}, traced)
    snapshots = SnapshotFiles(config.snapshot_save, config.snapshot_at)
    snapshots.check()
    tracing = None
    if config.trace:
        from armvcpu.cli.tracing import open_traces  # most runs have none

        tracing = open_traces(stack, config.trace)
        described["exact_mmio"] = tracing.needs_exact_mmio(MachineConfig.of(**described).gic)
    console = StdioConsole()
    machine = stack.enter_context(Machine(console=console, **described))
    if tracing is not None:
        tracing.attach(machine)
    for line in machine.plan.description:
        _log(INFO, line)
    _log(DEBUG, "guest memory %d MiB, CPU %s", machine.config.memory >> 20, machine.vcpu.model.name)
    console.call_on(
        quit=machine.quit, output_lost=lambda: machine.interrupt(signal.SIGPIPE), output=snapshots.listener(machine)
    )
    for number in TERMINATING:
        if signal.getsignal(number) is signal.SIG_IGN:  # nohup, or a shell's background job
            continue
        stack.callback(signal.signal, number, signal.signal(number, lambda n, _frame: machine.interrupt(n)))
    with console:
        repeats = machine.repeats and not {"record", "replay"} & described.keys()
        if repeats and not console.read_to_end(PATIENCE):
            _log(INFO, "the input does not end: what comes later is not repeatable, unless it is recorded (--record)")
        outcome = machine.run(timeout=config.timeout, max_instructions=config.max_instructions or 0)
    return machine, snapshots.save_from(machine, outcome)


def _report(machine: Machine, outcome: Outcome, *, as_json: bool) -> int:
    """Say how it ended, where that is not plain; returns the exit status."""
    from armvcpu.machine.console.output import BufferedOutput
    from armvcpu.machine.outcome import Ending

    crashed = outcome.ending is Ending.CRASHED
    if crashed:
        _print_error("\n" + outcome.report)
    elif outcome.ending is Ending.LIMIT and outcome.status != 128 + signal.SIGPIPE:  # `| head` is no mishap
        pc = machine.vcpu.state.pc
        name = machine.symbols.format(pc)
        _print_error(f"armvcpu: {outcome.reason}; PC {pc:#x}" + (f" {name}" if name else ""))
    if as_json:
        import json

        facts = {
            "status": outcome.status,
            "ending": outcome.ending.name.lower().replace("_", "-"),
            "reason": outcome.reason,
            "exit_code": outcome.exit_code,
            "pc": f"{machine.vcpu.state.pc:#x}",
            "instructions": machine.instructions,
            "crash": machine.crash_report(outcome.reason).as_dict() if crashed else None,
        }
        assert isinstance(machine.console, BufferedOutput)
        _print_last(("" if machine.console.is_at_line_start else "\n") + json.dumps(facts))
    return outcome.status


def _print_error(text: str) -> None:
    import click  # most runs end well

    click.echo(text, err=True)


def _print_last(line: str) -> None:
    """Print to stdout; where its reader has gone, to nowhere, so that Python's own flush at the end succeeds too."""
    import click

    try:
        click.echo(line)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
