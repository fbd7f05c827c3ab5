"""`armvcpu run` as click knows it: its help, and what is said of every mistake. `boot.py` is what it does."""

from __future__ import annotations

from typing import Any

import click

from armvcpu.cli.boot import boot
from armvcpu.cli.options import WithQemusOptions, given, parameter
from armvcpu.cli.run_options import OPTIONS


@click.command(cls=WithQemusOptions, params=[parameter(option) for option in OPTIONS.values()])
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> None:
    """Boot IMAGE, or firmware, and connect its console.

    Ctrl-A X quits, Ctrl-A H lists the other keys. The status is 0 when the guest powered off, its own code
    when it ended by semihosting, 2 for wrong usage, 3 when it crashed, 4 at a time-out or limit, 128 + N when signal N
    ended the run.
    """
    ctx.exit(boot(given(ctx, options, OPTIONS)))
