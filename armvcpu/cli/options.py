"""Options of machines and runs as click has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from armvcpu.cli.run_options import with_ours
from armvcpu.errors import UsageError
from armvcpu.machine.kinds import DIRECTORY, FILE, FLAG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from armvcpu.machine.option import Option


_PATHS = {FILE: "file", DIRECTORY: "dir"}
"""What click calls the kinds of names of the host."""


NEARLY = 0.75
"""How alike a name must be to be the one that was meant, of 1: --memroy is, and --gdb is no --dtb."""


class WithQemusOptions(click.Command):
    """A command that takes QEMU's options too, and tells what is in the place of those that it hasn't."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; UsageError for an option of QEMU's that can't be had."""
        try:
            return super().parse_args(ctx, args if ctx.resilient_parsing else list(with_ours(args)))
        except click.NoSuchOption as error:
            from difflib import get_close_matches  # mistakes only

            from armvcpu.cli.from_qemu import hint

            if (ours := hint(error.option_name)) is None:  # and of options nearly called so the nearest is enough
                known = [flag for each in self.get_params(ctx) for flag in each.opts]
                nearest = get_close_matches(error.option_name, known, 1, NEARLY)
                raise click.NoSuchOption(error.option_name, possibilities=nearest, ctx=ctx) from error
            raise UsageError(f"no option {error.option_name}: {ours}") from error


class Value(click.ParamType[Any]):
    """What is given for an option; what it can't be is the same line as anywhere else."""

    def __init__(self, option: Option) -> None:
        self._option = option
        self.name = option.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The option's value; UsageError for a text that stands for none."""
        del param, ctx
        return self._option.read(str(value))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The words that there are, or files."""
        del ctx, param
        option = self._option
        if option.kind in _PATHS:
            return [CompletionItem(incomplete, type=_PATHS[option.kind])]
        words = [word for word, _ in option.choices] if option.words is None else option.words()
        first, joint, last = incomplete.rpartition(option.joined_by) if option.joined_by else ("", "", incomplete)
        taken = first.split(option.joined_by) if joint else []
        return [CompletionItem(first + joint + word) for word in words if word.startswith(last) and word not in taken]


def parameter(option: Option) -> click.Parameter:
    """The option for a command; what it hands on is the field's value."""
    assert option.flag
    if not option.flag.startswith("-"):
        return click.Argument([option.name], metavar=f"[{option.flag}]", required=False, type=Value(option))
    declared = [option.flag, option.name]
    if option.kind is FLAG:
        return click.Option(declared, is_flag=True, help=option.help)
    return click.Option(
        declared, type=Value(option), metavar=option.shown_metavar, multiple=option.is_several, help=option.sentence,
        default=option.shown_default, show_default=True,
    )  # fmt: skip


def given(ctx: click.Context, options: dict[str, Any], known: Mapping[str, Option]) -> dict[str, Any]:
    """Of a command's options those of `known` that are on its command line, with what they stand for."""
    return {
        name: known[name].value_of_flag if known[name].kind is FLAG else value
        for name, value in options.items()
        if name in known and ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
