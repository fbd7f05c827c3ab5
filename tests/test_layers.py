"""The layers: imports go down only and in no circle, and only the engine knows Unicorn."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "armvcpu"
ORDER = (
    "errors",
    "arch",
    "engine.shim", "engine",
    "vcpu.stage2", "vcpu.exits", "vcpu.observer", "vcpu.smc_filter", "vcpu.smc", "vcpu.sysreg", "vcpu.traps", "vcpu",
    "devices", "devices.gic", "devices.virtio",
    "machine.kinds", "machine.disk_option", "machine.fw_cfg_option", "machine.layout", "machine.option",
    "machine.option_types", "machine.config", "machine.end_report", "machine.outcome",
    "machine.files", "machine.programs",
    "machine.board", "machine.boot", "machine.console", "machine.running", "machine.watching",
    "machine.hal", "machine.handlers", "machine.held", "machine.parts", "machine.semihosting", "machine.snapshots",
    "machine.debugging", "machine.history",
    "debug", "debug.page",
    "machine.machine",  # the façade, which has the reports of debug/
    "debug.scripts",  # which scripts get
    "testing.arguments", "testing.expect", "testing.firmware", "testing.target", "testing.mappings",
    "testing.core_file", "testing.failure", "testing.fuzz", "testing.looking", "testing.suite", "testing.annotating",
    "testing.debugging", "testing.covering", "testing.reporting", "testing.plugin",
    "cli",
)  # fmt: skip
"""From the bottom up. A module belongs to the longest of these names that it begins with, and imports that and those
before it, for its types too."""
APART = {"devices": ("engine", "vcpu")}
"""What must not be imported although it is below: devices and vCPUs meet in the machine only."""
FILES = sorted(
    path
    for path in ROOT.rglob("*.py")
    if path.parent != ROOT and path not in {ROOT / "machine" / "__init__.py", ROOT / "testing" / "__init__.py"}
)


def name_of(path: Path) -> str:
    """A file's module, as `machine.board.virt`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path) for path in FILES} | {"errors"}


def place_of(module: str) -> str:
    """Its name in ORDER."""
    found = [name for name in ORDER if module == name or module.startswith(f"{name}.")]
    assert found, f"{module} has no place in ORDER"
    return max(found, key=len)


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def ours(path: Path) -> set[str]:
    """Those of this package: modules, and packages from which something else than a module is imported."""
    inside = {name.removeprefix("armvcpu.") for name in imports(path) if name.startswith("armvcpu.")}
    found = inside & MODULES
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    """A module imports its own package and those below it."""
    place = place_of(name_of(path))
    apart = APART.get(place.split(".", maxsplit=1)[0], ())
    for module in ours(path):
        below = place_of(module)
        assert ORDER.index(below) <= ORDER.index(place), f"{place} must not import {module}"
        assert below.split(".", maxsplit=1)[0] not in apart, f"{place} must not import {module}"


def test_packages_import_each_other_in_no_circle() -> None:
    """Said by the imports alone, whatever ORDER says."""
    below: dict[str, set[str]] = {}
    for path in FILES:
        place = place_of(name_of(path))
        below.setdefault(place, set()).update(place_of(module) for module in ours(path))
    left = {place: used - {place} for place, used in below.items()}
    while free := [place for place, used in left.items() if not used & left.keys()]:
        for place in free:
            del left[place]
    assert not left, f"in a circle: {sorted(left)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_unicorn_is_known_to_the_engine_only(path: Path) -> None:
    """No other layer imports Unicorn."""
    users = {name for name in imports(path) if name.split(".")[0] == "unicorn"}
    assert not users or path.relative_to(ROOT).parts[0] == "engine"


def test_no_two_modules_of_tests_have_one_name() -> None:
    """pytest takes them for one module, and collects none of all the tests then."""
    names = [path.name for path in ROOT.parent.glob("tests/**/test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
