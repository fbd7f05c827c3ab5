"""The layers: imports go down only, and only the engine knows Unicorn."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "armvcpu"
BELOW = {
    "errors": (),
    "arch": ("errors",),
    "engine": ("arch", "errors"),
    "vcpu": ("engine", "arch", "errors"),
    "devices": ("arch", "errors"),
    "machine": ("devices", "vcpu", "engine", "arch", "errors"),
    "debug": ("machine", "devices", "vcpu", "engine", "arch", "errors"),
    "testing": ("debug", "machine", "devices", "vcpu", "engine", "arch", "errors"),
    "cli": ("testing", "debug", "machine", "devices", "vcpu", "engine", "arch", "errors"),
}
FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT)


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    """A layer imports itself and those below it."""
    layer = path.relative_to(ROOT).parts[0]
    allowed = {layer, *BELOW[layer], "__version__"}
    used = {name.split(".")[1] for name in imports(path) if name.startswith("armvcpu.")}
    assert used <= allowed, f"{layer} must not import {sorted(used - allowed)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_unicorn_is_known_to_the_engine_only(path: Path) -> None:
    """No other layer imports Unicorn."""
    users = {name for name in imports(path) if name.split(".")[0] == "unicorn"}
    assert not users or path.relative_to(ROOT).parts[0] == "engine"


def test_devices_and_vcpu_meet_only_in_the_machine() -> None:
    """Devices know no vCPU, and the vCPU no device."""
    assert "vcpu" not in BELOW["devices"]
    assert "devices" not in BELOW["vcpu"]
