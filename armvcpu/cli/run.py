"""`armvcpu run` as click knows it: its help, and what is said of every mistake. `boot.py` is what it does."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from armvcpu.cli.boot import boot
from armvcpu.cli.options import WithQemusOptions, parameter
from armvcpu.cli.run_options import OPTIONS
from armvcpu.machine.kinds import FLAG


@click.command(cls=WithQemusOptions, params=[parameter(option) for option in OPTIONS.values()])
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> None:
    """Boot IMAGE, or firmware, and connect its console.

    Ctrl-A X quits, Ctrl-A H lists the other keys. The status is 0 when the guest powered off, its own code
    when it ended by semihosting, 2 for wrong usage, 3 when it crashed, 4 at a time-out or limit, 128 + N when signal N
    ended the run.
    """
    given = {
        name: OPTIONS[name].value_of_flag if OPTIONS[name].kind is FLAG else value
        for name, value in options.items()
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    ctx.exit(boot(given))
