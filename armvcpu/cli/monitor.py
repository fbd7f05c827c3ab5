"""`armvcpu monitor`: talk to the monitor of a run, at a prompt or with lines from a pipe."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from armvcpu.errors import StateError

if TYPE_CHECKING:
    from armvcpu.debug.monitor.client import MonitorClient

REFUSED = 1
"""The status where a line was refused, or the run ended before it was answered."""
_LEAVE = "exit"


@click.command()
@click.argument("socket", metavar="SOCKET")
@click.argument("words", metavar="[LINE]...", nargs=-1)
@click.pass_context
def monitor(ctx: click.Context, /, socket: str, words: tuple[str, ...]) -> None:
    """Talk to a run that has `--monitor unix:SOCKET`: at a prompt, with LINE, or with lines from a pipe.

    The status is 0 when all lines were done, 1 when one was refused or the run ended meanwhile, 2 when nobody listens
    at SOCKET.
    """
    from armvcpu.debug.monitor.client import MonitorClient

    path = socket.removeprefix("unix:")
    if words:
        with MonitorClient(path) as client:
            ctx.exit(_say(client, " ".join(words)))
    if os.isatty(0):
        ctx.exit(_converse(path))
    with MonitorClient(path) as client:
        ctx.exit(max([_say(client, line) for line in sys.stdin], default=0))


def _say(client: MonitorClient, line: str) -> int:
    """Ask, print what is said, and the status of it; what is refused goes to stderr."""
    try:
        said, is_done = client.ask(line.rstrip("\n"))
    except StateError as ended:
        said, is_done = str(ended), line.split()[:1] in (["quit"], ["q"])
    if said:
        click.echo(said if is_done else f"armvcpu: {said}", err=not is_done)
    return 0 if is_done else REFUSED


def _converse(path: str) -> int:
    """At a prompt, until Ctrl-D, `exit` or the end of the run."""
    from prompt_toolkit.patch_stdout import patch_stdout

    from armvcpu.debug.monitor.client import MonitorClient
    from armvcpu.debug.monitor.prompt import BACK, QUIT, Prompt
    from armvcpu.machine.console.terminal import RawTerminal

    with MonitorClient(path, on_stop=click.echo) as client, RawTerminal(0):  # what is typed ahead is for the next line
        prompt = Prompt(client.complete)
        while True:
            with patch_stdout(raw=True):
                line = prompt.line(lambda: client.has_ended)
            if client.has_ended:
                click.echo("armvcpu: the run has ended", err=True)
                return 0
            if line is None or line in {BACK, _LEAVE}:
                return 0
            _say(client, "quit" if line == QUIT else line)
