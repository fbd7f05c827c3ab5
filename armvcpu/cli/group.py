"""The commands as click has them. Each one's module is imported when it is used."""

from __future__ import annotations

import importlib
import logging
import sys

import click
from click.exceptions import NoSuchCommand

from armvcpu.cli import COMMANDS, INTERRUPTED_STATUS, UNREAD_STATUS, USAGE_STATUS, fail


class LazyGroup(click.Group):
    """A group that knows its commands' names and first lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of COMMANDS."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"armvcpu.cli.{cmd_name}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names; click's own error, with the nearest one, where it names none."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            if "." in args[0] or "/" in args[0]:
                raise click.UsageError(
                    f"{args[0]} is no command; did you mean `armvcpu run {args[0]}`?", ctx
                ) from error
            raise NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, from COMMANDS."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", count=True, help="Log to stderr what armvcpu does; twice for more.")
@click.version_option(package_name="armvcpu", message="armvcpu %(version)s")
def cli(verbose: int) -> None:
    """Boot AArch64 firmware, bootloaders and kernels, see every trap, and test them.

    Shell completion: eval "$(_ARMVCPU_COMPLETE=bash_source armvcpu)", and likewise zsh_source and fish_source.
    """
    if verbose:
        logging.basicConfig(
            level=logging.DEBUG if verbose > 1 else logging.INFO, format="%(name)s: %(message)s", stream=sys.stderr
        )


def run_command(arguments: list[str] | None) -> int:
    """The status of a command; what click finds wrong is one line and ends the process."""
    try:
        status = cli.main(args=arguments, prog_name="armvcpu", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(USAGE_STATUS)
    except click.ClickException as error:
        ctx = getattr(error, "ctx", None)
        command = "armvcpu" if ctx is None else ctx.command_path
        words = error.format_message().rstrip(".")
        fail(f"{words}{'' if words.endswith('?') else ';'} see `{command} --help`", USAGE_STATUS)
    except click.Abort:
        sys.exit(INTERRUPTED_STATUS)
    except SystemExit:
        if type(sys.stdout).__name__.endswith("PacifyFlushWrapper"):  # click found no reader, and says 1
            sys.exit(UNREAD_STATUS)
        raise
    return status if isinstance(status, int) else 0
