"""Options of machines and runs as click has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from armvcpu.machine.kinds import DIRECTORY, FILE, FLAG

if TYPE_CHECKING:
    from armvcpu.machine.option import Option


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
        if self._option.choices:
            return [CompletionItem(word) for word, _ in self._option.choices if word.startswith(incomplete)]
        kinds = {FILE: "file", DIRECTORY: "dir"}
        return [CompletionItem(incomplete, type=kinds[self._option.kind])] if self._option.kind in kinds else []


def parameter(option: Option) -> click.Parameter:
    """The option for a command; what it hands on is the field's value."""
    assert option.flag
    if not option.flag.startswith("-"):
        return click.Argument([option.name], metavar=f"[{option.flag}]", required=False, type=Value(option))
    declared = [option.flag, option.name]
    if option.kind is FLAG:
        return click.Option(declared, is_flag=True, help=option.help)
    return click.Option(
        declared, type=Value(option), metavar=option.shown_metavar, multiple=option.is_several, help=option.help,
        default=option.shown_default, show_default=True,
    )  # fmt: skip
