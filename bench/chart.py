"""A bar chart of ratios as SVG: a bar for each row, the line at 1.0, a tick at each limit; light and dark."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.rows import Pair

WIDTH, LEFT, RIGHT, TOP, STEP, BAR = 940, 480, 60, 70, 22, 14
LONGEST = 2.5
"""A bar that is longer is cut, and says so by its number."""
STYLE = """
    text { font: 12px system-ui, sans-serif; fill: #1f2328 }
    .title { font-size: 15px; font-weight: 600 }
    .note, .scale { fill: #59636e }
    .value { paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
    .background { fill: #ffffff }
    .grid { stroke: #d1d9e0 }
    .one { stroke: #1f2328; stroke-width: 1.5 }
    .within { fill: #2da44e }
    .above { fill: #d1762a }
    .limit { stroke: #1f2328; stroke-width: 2 }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc }
      .note, .scale { fill: #9198a1 }
      .value { stroke: #0d1117 }
      .background { fill: #0d1117 }
      .grid { stroke: #3d444d }
      .one, .limit { stroke: #f0f6fc }
      .within { fill: #3fb950 }
      .above { fill: #e3893c }
    }"""


def write_chart(path: Path, rows: Sequence[Pair], about: str) -> None:
    """Draw the rows that stand beside QEMU."""
    path.write_text(chart([row for row in rows if row.beside == "QEMU"], about))


def chart(rows: Sequence[Pair], about: str) -> str:
    """The picture as text."""
    height = TOP + STEP * len(rows) + 30
    bottom = TOP + STEP * len(rows) + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="title">',
        '  <title id="title">armvcpu beside QEMU</title>',
        f"  <style>{STYLE}\n  </style>",
        f'  <rect class="background" width="{WIDTH}" height="{height}" rx="6"/>',
        _text(16, 26, "armvcpu beside QEMU: median of the ratios of their times, shorter is faster", "title"),
        _text(16, 46, f"{about}; the short strokes are what is aimed at", "note"),
    ]
    for tenth in range(0, int(LONGEST * 10) + 1, 5):
        x = _x(tenth / 10)
        kind = "one" if tenth == 10 else "grid"
        parts.append(f'  <line class="{kind}" x1="{x}" y1="{TOP - 4}" x2="{x}" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 16, f"{tenth / 10:.1f}", "scale", "middle"))
    for number, row in enumerate(rows):
        parts += _bar(row, TOP + STEP * number)
    return "\n".join([*parts, "</svg>", ""])


def _bar(row: Pair, y: int) -> list[str]:
    length, middle = min(row.ratio, LONGEST), y + BAR - 3
    limit = "" if row.limit is None else f", at most {row.limit:g}"
    end = _x(length)
    parts = [
        _text(LEFT - 10, middle, row.name.removesuffix(", CPU"), "name", "end"),
        f'  <rect class="{"above" if row.is_above else "within"}" x="{LEFT}" y="{y}" width="{end - LEFT:.1f}"'
        f' height="{BAR}" rx="2"><title>{escape(f"{row.name}: {row.ratio:.2f}{limit}")}</title></rect>',
    ]
    if row.limit is not None and row.limit <= LONGEST:
        x = _x(row.limit)
        parts.append(f'  <line class="limit" x1="{x}" y1="{y - 2}" x2="{x}" y2="{y + BAR + 2}"/>')
    return [*parts, _text(end + 6, middle, f"{row.ratio:.2f}", "value")]


def _x(ratio: float) -> float:
    return round(LEFT + ratio / LONGEST * (WIDTH - LEFT - RIGHT), 1)


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'  <text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
