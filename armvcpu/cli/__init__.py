"""The command line. Each command's module is imported when the command is used, so that `run` starts fast.

What the user did wrong is one line on stderr and status 2; docs/command-line.md has the statuses.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
from contextlib import suppress
from typing import NoReturn

import click

from armvcpu.errors import ArmvcpuError, InternalError

COMMANDS = {
    "run": "Boot IMAGE, or firmware, and connect its console.",
    "test": "Run suites of firmware tests.",
    "probe": "Show what the CPU models support, and test the engine.",
    "machine": "Show the memory map and the interrupts.",
    "inspect": "Show what the image F is and how it would be loaded.",
    "firmware": "List, fetch and find real firmware by name.",
}
USAGE_STATUS = 2
INTERRUPTED_STATUS = 130
"""128 + SIGINT."""
GARBAGE_THRESHOLD = 50_000
"""Python's own 700 has it look for garbage dozens of times while modules are loaded, and find none."""
INTERNAL_STATUS = 70
"""sysexits.h EX_SOFTWARE: a bug of armvcpu, which no guest and no user caused."""


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


def main(arguments: list[str] | None = None) -> NoReturn:
    """The entry point: runs a command and turns errors into one line and a status."""
    _open_standard_descriptors()
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        status = cli.main(args=arguments, prog_name="armvcpu", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(USAGE_STATUS)
    except click.ClickException as error:
        ctx = getattr(error, "ctx", None)
        command = "armvcpu" if ctx is None else ctx.command_path
        _fail(f"{error.format_message().rstrip('.')}; see `{command} --help`", USAGE_STATUS)
    except click.Abort:
        sys.exit(INTERRUPTED_STATUS)
    except InternalError as error:
        logging.getLogger("armvcpu").debug("internal error", exc_info=True)
        _fail(f"internal error, please report it: {error}", INTERNAL_STATUS)
    except ArmvcpuError as error:
        _fail(str(error), USAGE_STATUS)


def _fail(message: str, status: int) -> NoReturn:
    with suppress(OSError):
        click.echo("armvcpu: " + message.replace("\n", " "), err=True)
    sys.exit(status)


def _open_standard_descriptors() -> None:
    """Have 0, 1 and 2 lead nowhere where they are closed, so that no other file gets their numbers."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
