"""`armvcpu machine`: the memory map and interrupts of the board, or its device tree."""

from __future__ import annotations

import json
from typing import Any

import click

from armvcpu.cli.options import parameter
from armvcpu.errors import UsageError
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.kinds import format_size


@click.command(params=[
    parameter(MachineConfig.options["memory"]),
    parameter(MachineConfig.options["cpu_model"]),
    click.Option(["--dts"], is_flag=True, help="Print the device tree as source."),
    click.Option(["--json", "as_json"], is_flag=True, help="Print the slots for machines."),
])  # fmt: skip
def machine(memory: int, cpu_model: str, dts: bool, as_json: bool) -> None:
    """Show the memory map and the interrupts."""
    from armvcpu.machine.board.devicetree import render, to_dts, with_boot
    from armvcpu.machine.board.virt import RAM_BASE, empty_board

    if dts and as_json:
        raise UsageError("--dts and --json contradict each other: leave one out")
    board = empty_board(memory, cpu_model)
    if dts:
        click.echo(to_dts(render(with_boot(board.device_tree(), memory=(RAM_BASE, memory)))))
        return
    rows: list[tuple[str, int, int, tuple[int, ...]]] = [("ram", RAM_BASE, memory, ())]
    rows += [(slot.name, slot.base, slot.size, slot.spis) for slot in board.slots]
    rows.sort(key=lambda row: row[1])
    if as_json:
        facts: list[dict[str, Any]] = [
            {"name": name, "base": base, "size": size, "intids": [32 + spi for spi in spis]}
            for name, base, size, spis in rows
        ]
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(f"{'base':>14}  {'end':>14}  {'size':>8}  {'SPI':<10} device")
    for name, base, size, spis in rows:
        numbers = f"{spis[0]}-{spis[-1]}" if len(spis) > 1 else "".join(map(str, spis))
        click.echo(f"{base:#14x}  {base + size - 1:#14x}  {format_size(size):>8}  {numbers:<10} {name}")
