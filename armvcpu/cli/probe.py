"""`armvcpu probe`: what the CPU models support on the installed engine, what is done in its place, its self-test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from armvcpu.cli.options import Value
from armvcpu.machine.config import MachineConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from armvcpu.engine.native import Symbol
    from armvcpu.vcpu.hardware import HardwareSupport


@click.command()
@click.option(
    "--cpu-model",
    "model",
    type=Value(MachineConfig.options["cpu_model"]),
    metavar="NAME",
    help="Only this CPU model, instead of all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the facts for machines.")
def probe(model: str | None, as_json: bool) -> None:
    """Show what the CPU models support and what is done in Unicorn's place, and run the engine's self-test."""
    from armvcpu.arch.idregs import MODELS
    from armvcpu.engine.native import shim
    from armvcpu.engine.selftest import require
    from armvcpu.vcpu import hardware

    supports = hardware.probe(*([model] if model else [row.name for row in MODELS]))
    functions = shim().symbols()
    text = json.dumps(_facts(supports, functions), indent=2) if as_json else "\n".join(_lines(supports, functions))
    click.echo(text)
    require(list(supports[0].selftest))


def _facts(supports: Sequence[HardwareSupport], functions: Sequence[Symbol]) -> dict[str, Any]:
    """What is printed, for machines; the engine's registers and the self-test are the same for every model."""
    first = supports[0]
    return {
        "engine": {
            "registers": dict(first.engine),
            "features": {row.name: row.engine for row in first.rows},
            "functions": [
                {"name": each.name, "answered": each.is_answered, "purpose": each.purpose} for each in functions
            ],
        },
        "models": {
            support.model: {
                "supported": support.supported,
                "registers": dict(support.presented),
                "features": {row.name: row.presented for row in support.rows},
            }
            for support in supports
        },
        "selftest": [
            {"name": check.name, "passed": check.passed, "seconds": round(check.seconds, 6), "problem": check.problem}
            for check in first.selftest
        ],
    }


def _lines(supports: Sequence[HardwareSupport], functions: Sequence[Symbol]) -> Iterator[str]:
    """A column for the engine and one for each model; a line for each of Unicorn's functions; and the self-test's."""
    first = supports[0]
    table = [["", "engine", *(support.model for support in supports)]]
    table.append(["MIDR_EL1", *(f"{registers['MIDR_EL1']:#010x}" for registers in (first.engine, *_shown(supports)))])
    for index, row in enumerate(first.rows):
        table.append([row.name, row.engine, *(support.rows[index].presented for support in supports)])
    table.append(["supported", "", *("yes" if support.supported else "no" for support in supports)])
    yield from _aligned(table)
    yield ""
    yield "Unicorn's functions that armvcpu answers in its place, or calls:"
    yield from _aligned([["answered" if each.is_answered else "called", each.name, each.purpose] for each in functions])
    yield ""
    verdicts = ("ok" if check.passed else f"FAILED: {check.problem}" for check in first.selftest)
    yield from _aligned(
        ["self-test", check.name, f"{check.seconds * 1000:6.1f} ms", verdict]
        for check, verdict in zip(first.selftest, verdicts, strict=True)
    )


def _aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _shown(supports: Sequence[HardwareSupport]) -> Iterator[Any]:
    return (support.presented for support in supports)
