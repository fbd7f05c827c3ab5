"""What `armvcpu run` does: boot an image or firmware with its console on the terminal or on pipes."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import ExitStack, suppress
from functools import partial

from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.cli.interruptions import Interrupted, Interruptions
from armvcpu.cli.run_options import OPTIONS, RunConfig, spelled
from armvcpu.cli.snapshots import SnapshotFiles
from armvcpu.cli.standard import PATIENCE, no_stdout, say, write_stdout
from armvcpu.errors import ArmvcpuError, UsageError
from armvcpu.machine.console.port import nothing
from armvcpu.machine.outcome import QUIT, SIGNALLED, TIME_OUT, Ending

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.cli.looking import Tool
    from armvcpu.machine.console.stdio import StdioConsole
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome

DEBUG, INFO = 10, 20
"""As `logging` has them."""
INPUT_PATIENCE = 1.0
"""Seconds that a repeatable run waits for piped input before it begins without its end."""


def boot(options: dict[str, Any]) -> int:
    """Run a machine with the options that are given, by their names in Python; the exit status."""
    config = RunConfig(**{name: value for name, value in options.items() if name in RunConfig.options})
    described = {name: value for name, value in options.items() if name not in RunConfig.options}
    if "record" in described or "replay" in described:
        described.setdefault("clock", "instructions")
    status = None
    with Interruptions(config.timeout, PATIENCE, has_scripts=bool(config.script)) as interruptions:
        try:
            with ExitStack() as stack:
                _check_outputs(options)
                snapshots = SnapshotFiles(config.snapshot_save, config.snapshot_at)
                snapshots.check()
                tools = _open_tools(options, config, stack)
                machine, outcome = _run(stack, tools, snapshots, config, described, interruptions)
                _log(INFO, "%s; status %d", outcome.reason, outcome.status)
                problems = _last_problems(machine, outcome, tools, snapshots)
                status = _report(machine, outcome, problems, tools, as_json=config.as_json)
        except Interrupted as interrupted:
            return _report_no_run(interrupted.outcome, as_json=config.as_json)
        except ArmvcpuError as error:
            if status is None:
                raise
            status = _status_with(error, status)  # a file that could not be finished
        return interruptions.status(status)


def _status_with(problem: ArmvcpuError, status: int) -> int:
    """Say what could not be written. A crash stays a crash, and a signal a signal."""
    say(problem.said(spelled))
    return problem.status if status in {0, 4} else status


def _tell_keys() -> None:
    """On a terminal, how to quit: its keys are the guest's, Ctrl-C too. Dim, since it is not the guest's."""
    if os.isatty(0) and os.isatty(2):
        from armvcpu.machine.console.terminal import KEYS  # which a console on a terminal needs anyway

        with suppress(OSError):
            os.write(2, KEYS + b"\n" if os.environ.get("TERM") == "dumb" else b"\x1b[2m" + KEYS + b"\x1b[0m\n")


def _log(level: int, message: str, *values: object) -> None:
    """Log for `-v`. Nobody hears of these levels who has not imported `logging`, which takes 5 ms."""
    if (logging := sys.modules.get("logging")) is not None:
        logging.getLogger("armvcpu.run").log(level, message, *values)


def _check_outputs(options: dict[str, Any]) -> None:
    if any(OPTIONS[name].is_output or OPTIONS[name].tool for name in options):
        from armvcpu.cli.outputs import check_outputs  # most runs write nothing

        traced = [path for _, _, path in (text.partition(":") for text in options.get("trace", ())) if path]
        check_outputs(options, traced)


def _open_tools(options: dict[str, Any], config: RunConfig, stack: ExitStack) -> list[Tool]:
    if any(OPTIONS[name].tool for name in options):  # most runs have nothing that looks at them
        from armvcpu.cli.looking import open_tools

        return open_tools(config, stack, PATIENCE)
    return []


def _run(
    stack: ExitStack,
    tools: list[Tool],
    snapshots: SnapshotFiles,
    config: RunConfig,
    described: dict[str, Any],
    interruptions: Interruptions,
) -> tuple[Machine, Outcome]:
    from armvcpu.machine.console.stdio import StdioConsole  # usage errors come first
    from armvcpu.machine.machine import Machine

    for tool in tools:
        tool.prepare(described)
    console = StdioConsole(patience=PATIENCE)
    _tell_keys()
    machine = stack.enter_context(Machine(console=console, patience=PATIENCE, **described))
    for tool in tools:
        tool.attach(machine, console)
    for line in machine.plan.description:
        _log(INFO, line)
    _log(DEBUG, "guest memory %d MiB, CPU %s", machine.config.memory >> 20, machine.vcpu.model.name)
    console.call_on(
        quit=machine.quit, monitor=_prompt(machine, console), output_lost=lambda: _end_without_reader(machine, console)
    )
    if (waiting := snapshots.listener(machine)) is not None:
        console.hear(waiting)
    with console:
        is_prepared = machine.repeats and not {"record", "replay"} & described.keys()
        if is_prepared and machine.history is None:  # which keeps the moments of what is typed
            _read_input(console)
        interruptions.guest_begins(machine)
        outcome = machine.run(timeout=config.timeout, max_instructions=config.max_instructions or 0)
        interruptions.guest_has_ended()
    return machine, outcome


def _prompt(machine: Machine, console: StdioConsole) -> Callable[[], None]:
    """What Ctrl-A C does; where there is no terminal it is no key of ours."""
    if console.terminal_fd is None:
        return nothing
    from armvcpu.cli.door import Door  # most runs that are no user's have no terminal

    return Door(machine, console).knock


def _read_input(console: StdioConsole) -> None:
    """What is piped comes before the guest begins, so that the run repeats."""
    with PATIENCE.waiting():
        ended = console.read_to_end(INPUT_PATIENCE)
    if not ended:
        _log(INFO, "the input does not end: what comes later is not repeatable, unless it is recorded (--record)")


def _end_without_reader(machine: Machine, console: StdioConsole) -> None:
    """Nothing can be written to stdout any more. Where its reader has gone, as `| head` does, nobody wants the run.

    On a full disk the guest goes on, since how it ends is still of use; what is lost is said then.
    """
    if _is_unread(console):
        machine.interrupt(signal.SIGPIPE)


def _is_unread(console: StdioConsole) -> bool:
    error = console.output_error
    return error is not None and error.errno == errno.EPIPE


def _last_problems(
    machine: Machine, outcome: Outcome, tools: list[Tool], snapshots: SnapshotFiles
) -> list[ArmvcpuError]:
    """Write the snapshot and the rest of recording and tools; what each, and the guest's output, came to grief on."""
    from armvcpu.machine.console.stdio import StdioConsole

    problems: list[ArmvcpuError] = []
    save: Callable[[], None] = partial(snapshots.save_from, machine, outcome)
    for finish in (save, machine.end_recording):
        try:
            finish()
        except ArmvcpuError as error:
            problems.append(error)
    for tool in tools:
        problems += tool.finish(machine, outcome)
    console = machine.console
    assert isinstance(console, StdioConsole)
    if console.output_error is not None and not _is_unread(console):
        problems.append(UsageError(no_stdout(console.output_error)))
    return problems


def _report(
    machine: Machine, outcome: Outcome, problems: list[ArmvcpuError], tools: list[Tool], *, as_json: bool
) -> int:
    """Say how it ended, where that is not plain, and what could not be written; returns the exit status."""
    from armvcpu.machine.console.output import BufferedOutput

    crashed, details = outcome.ending is Ending.CRASHED, outcome.details
    if crashed:
        sys.stderr.write("\n" + outcome.report)
    elif details is not None:
        lines = details.render_short().removeprefix("armvcpu: ").splitlines()
        say(lines[0])
        if outcome.reason in {TIME_OUT, QUIT}:
            sys.stderr.writelines(f"{line}\n" for line in lines[1:])
    elif outcome.ending is Ending.LIMIT:
        _say_where(machine, outcome)
    status = outcome.status
    for problem in problems:
        status = _status_with(problem, status)
    if as_json:
        facts = {
            "status": status,
            "ending": outcome.ending.name.lower().replace("_", "-"),
            "reason": outcome.reason,
            "exit_code": outcome.exit_code,
            "pc": f"{machine.vcpu.state.pc if details is None else details.cause_at.pc:#x}",
            "instructions": machine.instructions,
            "crash": details.as_dict() if details is not None and crashed else None,
            "hang": details.as_dict() if details is not None and not crashed else None,
        }
        for tool in tools:
            facts |= getattr(tool, "facts", dict)()
        console = machine.console
        assert isinstance(console, BufferedOutput)
        status = _print_json(
            facts, status, starts_line=console.is_at_line_start, is_told=console.output_error is not None
        )
    return status


def _report_no_run(outcome: Outcome, *, as_json: bool) -> int:
    """The same where the guest has not begun."""
    say(f"{outcome.reason}; the guest had not begun")
    facts = {"status": outcome.status, "ending": "limit", "reason": outcome.reason, "exit_code": None, "pc": None}
    return (
        _print_json({**facts, "instructions": None, "crash": None, "hang": None}, outcome.status)
        if as_json
        else outcome.status
    )


def _say_where(machine: Machine, outcome: Outcome) -> None:
    """After a signal, in one line and at once: a whole report takes a tenth of a second to load what it is made by."""
    if outcome.status == SIGNALLED + signal.SIGPIPE:  # `| head` is no mishap
        return
    pc = machine.vcpu.state.pc
    name = machine.symbols.format(pc)
    say(f"{outcome.reason}; PC {pc:#x}" + (f" {name}" if name else ""))


def _print_json(facts: dict[str, Any], status: int, *, starts_line: bool = True, is_told: bool = False) -> int:
    """The last line of stdout; the status, which is another where that can't be written. `is_told`: it can't be."""
    import json

    try:
        write_stdout(("" if starts_line else "\n") + json.dumps(facts) + "\n")
    except OSError as error:
        return status if is_told else _status_with(UsageError(no_stdout(error)), status)
    return status
