"""`armvcpu machine`: the memory map and interrupts of the board, or its device tree."""

from __future__ import annotations

import json
import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from armvcpu.cli.options import given, parameter
from armvcpu.errors import UsageError
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.kinds import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.machine.board.virt import Board


@click.command(params=[
    *(parameter(option) for option in MachineConfig.options.values() if option.is_of_board),
    click.Option(["--dts"], is_flag=True, help="Print the device tree as source."),
    click.Option(["--json", "as_json"], is_flag=True, help="Print the slots for machines."),
])  # fmt: skip
@click.pass_context
def machine(ctx: click.Context, /, dts: bool, as_json: bool, **options: Any) -> None:
    """Show the memory map and the interrupts of the board that `run` has with the same options."""
    from armvcpu.machine.board.devicetree import render, to_dts, with_boot

    if dts and as_json:
        raise UsageError("--dts and --json contradict each other: leave one out")
    with _board(MachineConfig.of_board(**given(ctx, options, MachineConfig.options))) as board:
        where = board.memory_map()
        ram, *more = ((region.base, region.size) for region in (where.ram, *where.more))
        if dts:
            click.echo(to_dts(render(with_boot(board.device_tree(), memory=ram, more=more))))
            return
        rows = [_Place("ram", *each) for each in (ram, *more)]
        rows += [_Place("secure-ram", each.base, each.size, is_secure=True) for each in where.secure]
        rows += [_Place(slot.name, slot.base, slot.size, slot.spis, slot.is_secure) for slot in board.slots]
    rows.sort(key=lambda row: row.base)
    _show(rows, as_json=as_json)


class _Place(NamedTuple):
    """A line of the listing."""

    name: str
    base: int
    size: int
    spis: tuple[int, ...] = ()
    is_secure: bool = False


@contextmanager
def _board(config: MachineConfig) -> Iterator[Board]:
    """The board with what is plugged in: disks are opened as `run` opens them."""
    from armvcpu.devices.stream import Stream
    from armvcpu.machine.board.empty import discard, empty_board
    from armvcpu.machine.board.peripherals import Peripherals

    with closing(Peripherals(config, Stream(discard), os.urandom)) as peripherals:
        yield empty_board(config, peripherals.virtio)


def _show(rows: list[_Place], *, as_json: bool) -> None:
    """Print name, base, size and SPIs of each, and which of them are the Secure world's alone."""
    if as_json:
        facts: list[dict[str, Any]] = [
            {
                "name": row.name, "base": row.base, "size": row.size, "intids": [32 + spi for spi in row.spis],
                "secure": row.is_secure,
            }
            for row in rows
        ]  # fmt: skip
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(f"{'base':>14}  {'end':>14}  {'size':>8}  {'SPI':<10} device")
    for name, base, size, spis, is_secure in rows:
        numbers = f"{spis[0]}-{spis[-1]}" if len(spis) > 1 else "".join(map(str, spis))
        shown = f"{name} (Secure only)" if is_secure else name
        click.echo(f"{base:#14x}  {base + size - 1:#14x}  {format_size(size):>8}  {numbers:<10} {shown}")
