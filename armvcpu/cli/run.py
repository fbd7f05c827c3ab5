"""`armvcpu run` as click knows it: its help, and what is said of every mistake. `boot.py` is what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from armvcpu.cli.boot import boot
from armvcpu.cli.options import Address, Seconds, Size
from armvcpu.cli.run_options import RUN_OPTIONS, RunOption

_TYPES: dict[str, click.ParamType[Any]] = {
    "file": click.Path(), "directory": click.Path(path_type=Path), "text": click.STRING, "number": click.INT,
    "size": Size(), "address": Address(), "seconds": Seconds(),
}  # fmt: skip
"""What click reads each kind of value with."""


def _type(option: RunOption) -> click.ParamType[Any]:
    if option.choices:
        return click.Choice(option.choices)
    if option.smallest is not None or option.largest is not None:
        return click.IntRange(option.smallest, option.largest)
    return _TYPES[option.kind]


def _parameter(option: RunOption) -> click.Option:
    declared = [option.flag, *([option.destination] if option.destination else [])]
    if option.kind == "flag":
        return click.Option(declared, is_flag=True, help=option.help)
    more = {} if option.default is None else {"default": option.default, "show_default": True}
    return click.Option(
        declared, type=_type(option), metavar=option.metavar, multiple=option.is_multiple, help=option.help, **more
    )


@click.command(params=[
    click.Argument(["image"], metavar="[IMAGE]", required=False, type=click.Path()),
    *map(_parameter, RUN_OPTIONS),
])  # fmt: skip
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> None:
    """Boot IMAGE, or firmware, and connect its console.

    Ctrl-A X quits, Ctrl-A H lists the other keys. The status is 0 when the guest powered off, 1 when it reported
    failure, 2 for wrong usage, 3 when it crashed, 4 at a time-out or limit, 128 + N when signal N ended the run.
    """
    if ctx.get_parameter_source("clock") is ParameterSource.DEFAULT:
        del options["clock"]
    ctx.exit(boot(options))
