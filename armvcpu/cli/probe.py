"""`armvcpu probe`: what the CPU models support on the installed engine, and the engine's self-test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from armvcpu.vcpu.hardware import HardwareSupport


@click.command()
@click.option("--cpu-model", "model", metavar="NAME", help="Only this CPU model, instead of all.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts for machines.")
def probe(model: str | None, as_json: bool) -> None:
    """Show what the CPU models support, and run the engine's self-test."""
    from armvcpu.arch.idregs import MODELS  # noqa: PLC0415  for a fast start of other commands
    from armvcpu.engine.selftest import require  # noqa: PLC0415
    from armvcpu.vcpu import hardware  # noqa: PLC0415

    supports = hardware.probe(*([model] if model else [row.name for row in MODELS]))
    click.echo(json.dumps(_facts(supports), indent=2) if as_json else "\n".join(_lines(supports)))
    require(list(supports[0].selftest))


def _facts(supports: Sequence[HardwareSupport]) -> dict[str, Any]:
    """What is printed, for machines; the engine's registers and the self-test are the same for every model."""
    first = supports[0]
    return {
        "engine": {"registers": dict(first.engine), "features": {row.name: row.engine for row in first.rows}},
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


def _lines(supports: Sequence[HardwareSupport]) -> Iterator[str]:
    """The table, a column for the engine and one for each model, and the self-test's lines."""
    first = supports[0]
    table = [["", "engine", *(support.model for support in supports)]]
    table.append(["MIDR_EL1", *(f"{registers['MIDR_EL1']:#010x}" for registers in (first.engine, *_shown(supports)))])
    for index, row in enumerate(first.rows):
        table.append([row.name, row.engine, *(support.rows[index].presented for support in supports)])
    table.append(["supported", "", *("yes" if support.supported else "no" for support in supports)])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
    yield ""
    for check in first.selftest:
        verdict = "ok" if check.passed else f"FAILED: {check.problem}"
        yield f"self-test  {check.name:<13} {check.seconds * 1000:6.1f} ms  {verdict}"


def _shown(supports: Sequence[HardwareSupport]) -> Iterator[Any]:
    return (support.presented for support in supports)
