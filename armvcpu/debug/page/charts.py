"""The figures of a page, by plotly: each is JSON that plotly's own JavaScript draws when somebody looks at it.

Colours and fonts are the page's, light or dark, and are put in when a figure is drawn (`page.js`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from armvcpu.debug.page.flame import colour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plotly.graph_objects import Figure

    from armvcpu.debug.page.facts import EventFacts, TimelineFacts
    from armvcpu.debug.page.flame import FlameFacts

GROUPS = {"exception": "exceptions", "interrupt": "interrupts", "call": "calls", "wait": "waits", "other": "others"}
"""What the groups of lanes are called, in the order in which they are shown."""
MOST_LANES = 60
"""Lanes that are drawn; those with the fewest events are left out."""
_ROW, _EDGES = 22, 80
"""Pixels of a lane, and of what is around all."""


def timeline(facts: TimelineFacts) -> str | None:
    """Lanes by vCPU over guest time: each event as a mark where all are known, else how many in each interval."""
    order = _order(facts)
    if not order:
        return None
    figure = _marks(facts, order) if not facts["left_out"] else _counts(facts, order)
    figure.update_layout(
        height=_EDGES + _ROW * len(order),
        xaxis={"title": {"text": "guest time, s", "standoff": 6}, "rangemode": "tozero"},
        yaxis={
            "type": "category", "categoryorder": "array", "automargin": True,
            "categoryarray": [_label(facts, lane) for lane in reversed(order)],
        },
        hovermode="closest",
    )  # fmt: skip
    return _json(figure)


def left_out_lanes(facts: TimelineFacts) -> int:
    """Lanes that the figure has no room for."""
    return max(0, len(facts["lanes"]) - MOST_LANES)


def bars(rows: Sequence[tuple[str, int]], most: int = 20) -> str | None:
    """The biggest of some counts."""
    if not rows:
        return None
    from plotly.graph_objects import Bar, Figure

    shown = list(reversed(rows[:most]))
    figure = Figure(
        Bar(
            orientation="h",
            y=[escaped(name) for name, _ in shown],
            x=[count for _, count in shown],
            hovertemplate="%{y}: %{x:,}<extra></extra>",
        )
    )
    figure.update_layout(height=_EDGES + _ROW * len(shown), yaxis={"type": "category", "automargin": True})
    return _json(figure)


def flame(facts: FlameFacts) -> str:
    """The flame graph: a click makes a frame as wide as all."""
    from plotly.graph_objects import Figure, Icicle

    frames = facts["frames"]
    depth: list[int] = []
    for parent, _, _ in frames:
        depth.append(depth[parent] + 1 if parent >= 0 else 1)
    figure = Figure(
        Icicle(
            ids=[str(number) for number in range(len(frames))],
            parents=[str(parent) if parent >= 0 else "" for parent, _, _ in frames],
            labels=[escaped(name) for _, name, _ in frames],
            values=[ns for _, _, ns in frames],
            text=[shown_time(ns) for _, _, ns in frames],
            branchvalues="total", sort=False, textinfo="label", pathbar={"visible": False},
            tiling={"orientation": "v", "flip": "y"},
            marker={"colors": [colour(name) for _, name, _ in frames]},
            textfont={"color": "#201000"},
            hovertemplate="%{label}<br>%{text} with what it called<br>%{percentRoot:.1%} of the time<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(height=_EDGES + 20 * min(max(depth), 40))
    return _json(figure)


def shown_time(ns: int) -> str:
    """A time for people."""
    for unit, name in ((10**9, "s"), (10**6, "ms"), (10**3, "µs")):
        if ns >= unit:
            return f"{ns / unit:.3g} {name}" if ns < 1000 * unit else f"{ns / unit:,.0f} {name}"
    return f"{ns} ns"


def _order(facts: TimelineFacts) -> list[int]:
    """Lanes by vCPU and group, the busiest first."""
    lanes = facts["lanes"]
    groups = list(GROUPS)
    busiest = sorted(range(len(lanes)), key=lambda at: -lanes[at]["count"])[:MOST_LANES]
    return sorted(busiest, key=lambda at: (lanes[at]["vcpu"], groups.index(lanes[at]["group"]), -lanes[at]["count"]))


def _label(facts: TimelineFacts, lane: int) -> str:
    each = facts["lanes"][lane]
    return escaped(f"cpu{each['vcpu']} {each['name']}")


def _marks(facts: TimelineFacts, order: list[int]) -> Figure:
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    events = [*facts["first"], *facts["last"]]
    for group, title in GROUPS.items():
        lanes = {lane for lane in order if facts["lanes"][lane]["group"] == group}
        found = [event for event in events if event["lane"] in lanes]
        if found:
            figure.add_trace(
                Scatter(
                    mode="markers", name=title, showlegend=True,
                    x=[event["time"] / 1e9 for event in found],
                    y=[_label(facts, event["lane"]) for event in found],
                    text=[_words(event) for event in found],
                    marker={"symbol": "line-ns-open", "size": 13, "line": {"width": 2}},
                    hovertemplate="%{x:.6f} s<br>%{y}<br>%{text}<extra></extra>",
                )
            )  # fmt: skip
    return figure


def _words(event: EventFacts) -> str:
    return escaped(" · ".join(filter(None, (event["place"], event["words"]))))


def _counts(facts: TimelineFacts, order: list[int]) -> Figure:
    from plotly.graph_objects import Figure, Heatmap

    lanes = [facts["lanes"][lane] for lane in order]
    used = 1 + max(at for lane in lanes for at, count in enumerate(lane["bins"]) if count)
    width = facts["width"] / 1e9
    return Figure(
        Heatmap(
            x0=width / 2, dx=width,
            y=[_label(facts, lane) for lane in order],
            z=[[round(math.log10(n), 3) if n else None for n in lane["bins"][:used]] for lane in lanes],
            text=[[n or "" for n in lane["bins"][:used]] for lane in lanes],
            hovertemplate="%{x:.6f} s<br>%{y}<br>%{text} events<extra></extra>",
            xgap=0.5, ygap=2, hoverongaps=False,
            colorbar={"title": {"text": "events"}, "tickvals": list(range(8)), "thickness": 10,
                      "ticktext": ["1", "10", "100", "1k", "10k", "100k", "1M", "10M"]},
        )
    )  # fmt: skip


def escaped(text: str) -> str:
    """A text for plotly, which takes some tags for its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _json(figure: Figure) -> str:
    from plotly.io import to_json

    figure.update_layout(
        template="none", margin={"l": 8, "r": 8, "t": 28, "b": 44},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
    )  # fmt: skip
    text: Any = to_json(figure)
    assert isinstance(text, str)
    return text
