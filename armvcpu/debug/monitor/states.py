"""Commands that keep the machine's state and return to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from armvcpu.debug.monitor.monitor import Monitor


def snapshot(monitor: Monitor, name: str) -> str:
    """Keep the state; one of the same name is replaced."""
    taken = monitor.machine.snapshot()
    if (before := monitor.snapshots.pop(name, None)) is not None:
        before.close()
    monitor.snapshots[name] = taken
    return ""


def restore(monitor: Monitor, name: str) -> str:
    """Return to it."""
    if name not in monitor.snapshots:
        known = did_you_mean(name, monitor.snapshots) or "; `snapshot NAME` takes one"
        raise UsageError(f"there is no snapshot {name!r}{known}")
    monitor.machine.restore(monitor.snapshots[name])
    monitor.has_moved, monitor.selected = True, None
    return ""


def info_snapshots(monitor: Monitor) -> str:
    """A line for each."""
    lines = [
        f"{name}  {f'at {each.instructions} instructions' if each.instructions else ''}".rstrip()
        for name, each in monitor.snapshots.items()
    ]
    return "\n".join(lines) or "there is no snapshot; `snapshot NAME` takes one"


def reset(monitor: Monitor) -> str:
    """SYSTEM_RESET."""
    monitor.machine.reset()
    monitor.has_moved, monitor.selected = True, None
    return ""
