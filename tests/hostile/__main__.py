"""`python tests/hostile [KIND...]`: hostile inputs by the ten thousand, and what became of them (docs/reliability.md).

Each input is made from its number alone: `--seed N --inputs 1 KIND` makes it again.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

import click

sys.path.insert(1, str(Path(__file__).parents[1]))  # where raw_guest.py is

import files
import host
import levels
import runner

import guests

KINDS = {
    "elf": (files.elf, 8000),
    "symbols": (files.symbols, 4000),
    "linux-image": (files.linux_image, 6000),
    "raw": (files.raw, 4000),
    "device-tree": (files.device_tree, 8000),
    "snapshot": (files.snapshot, 6000),
    "recording": (files.recording, 6000),
    "suite": (files.suite, 30_000),
    "option": (files.option, 6000),
    "layout": (files.layout, 6000),
    "maps": (files.maps, 4000),
    "words": (guests.words, 10_000),
    "devices": (guests.devices, 10_000),
    "levels": (levels.levels, 10_000),
    "command-line": (host.command_line, 600),
    "limits": (host.limits, 400),
}
"""What attacks, and with how many inputs unless told otherwise."""


@click.command()
@click.argument("kinds", nargs=-1, type=click.Choice(list(KINDS)))
@click.option("--seed", default=0, help="Number of the first input.")
@click.option("--inputs", type=int, help="How many of each kind.")
@click.option("-j", "workers", default=os.cpu_count() or 1, help="Processes.")
def main(kinds: tuple[str, ...], seed: int, inputs: int | None, workers: int) -> None:
    """Attack with hostile inputs; status 1 where one was not taken as it has to be."""
    logging.disable()  # what `-v` tells is not looked at
    failed = 0
    for kind in kinds or KINDS:
        attack, usual = KINDS[kind]
        start = time.monotonic()
        result = runner.run(attack, range(seed, seed + (inputs or usual)), workers)
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in result.verdicts.most_common())
        seconds, slowest = result.slowest
        click.echo(
            f"{kind:13} {inputs or usual:6} in {time.monotonic() - start:4.0f} s: {verdicts}; "
            f"slowest {seconds:.2f} s (seed {slowest}); {len(result.failures)} failures"
        )
        for failure in result.failures[:5]:
            click.echo(f"\n{kind} --seed {failure.seed} --inputs 1: {failure.what}", err=True)
        failed += len(result.failures)
    sys.exit(failed > 0)


main()
