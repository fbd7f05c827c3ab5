"""Commands that keep the machine's state and return to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from armvcpu.debug.monitor.view import View


def snapshot(view: View, name: str) -> str:
    """Keep the state; one of the same name is replaced."""
    taken = view.machine.snapshot()
    if (before := view.snapshots.pop(name, None)) is not None:
        before.close()
    view.snapshots[name] = taken
    return ""


def restore(view: View, name: str) -> str:
    """Return to it."""
    if name not in view.snapshots:
        known = did_you_mean(name, view.snapshots) or "; `snapshot NAME` takes one"
        raise UsageError(f"there is no snapshot {name!r}{known}")
    view.machine.restore(view.snapshots[name])
    view.has_moved, view.selected = True, None
    return ""


def info_snapshots(view: View) -> str:
    """A line for each."""
    lines = [
        f"{name}  {f'at {each.instructions} instructions' if each.instructions else ''}".rstrip()
        for name, each in view.snapshots.items()
    ]
    return "\n".join(lines) or "there is no snapshot; `snapshot NAME` takes one"


def reset(view: View) -> str:
    """SYSTEM_RESET."""
    view.machine.reset()
    view.has_moved, view.selected = True, None
    return ""
