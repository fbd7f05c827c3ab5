"""What hatchling does besides packing Python: compile the engine's native part.

An editable install gets the library beside its sources, a wheel carries it and is named for the platform. The machine's
C compiler is used where there is one, and otherwise the one from the PyPI package `ziglang`. `make wheels` sets
ARMVCPU_WHEEL to build for a manylinux platform, whichever machine this is.
"""

from __future__ import annotations

import importlib.util
import os
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from types import ModuleType

SHIM = "armvcpu/engine/shim"
GLIBC = (2, 17)  # as old as that of Unicorn's own wheels
MACHINES = ("x86_64", "aarch64")


class NativePart(BuildHookInterface[Any]):
    """Compiles `armvcpu/engine/shim` for a wheel or an editable install."""

    def dependencies(self) -> list[str]:
        """The compiler's package, only where no C compiler can do the work."""
        return [self._ziglang()] if wanted_machine() or self._build().system_compiler() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are collected."""
        build = self._build()
        directory = Path(self.root) / SHIM
        if version == "editable":
            build.compile_shim(directory / build.LIBRARY_NAME, build.any_compiler(), directory=directory)
            return
        self._scratch = tempfile.TemporaryDirectory()
        output = Path(self._scratch.name) / build.LIBRARY_NAME
        machine = wanted_machine()
        if machine:
            build.compile_shim(output, build.ZIG, target=target(machine), directory=directory)
        else:
            build.compile_shim(output, build.any_compiler(), directory=directory)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platforms(machine)}"
        build_data["force_include"][str(output)] = f"{SHIM}/{build.LIBRARY_NAME}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled for the wheel only."""
        if version != "editable":
            self._scratch.cleanup()

    def _build(self) -> ModuleType:
        """`build.py` of the native part, by path: the package can't be imported here."""
        spec = importlib.util.spec_from_file_location("shim_build", Path(self.root) / SHIM / "build.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def _ziglang(self) -> str:
        """The requirement of the dev extra: one release for everything that zig compiles."""
        extras: dict[str, list[str]] = self.metadata.core.optional_dependencies
        return next(requirement for requirement in extras["dev"] if requirement.startswith("ziglang"))


def wanted_machine() -> str | None:
    """The machine that ARMVCPU_WHEEL names, None for this one."""
    machine = os.environ.get("ARMVCPU_WHEEL")
    if machine and machine not in MACHINES:
        raise ValueError(f"ARMVCPU_WHEEL is {machine!r}; it can be {' or '.join(MACHINES)}")
    return machine or None


def target(machine: str) -> str:
    """Zig's triple for a machine, with the oldest glibc the library shall run with."""
    return f"{machine}-linux-gnu.{GLIBC[0]}.{GLIBC[1]}"


def platforms(machine: str | None) -> str:
    """The platform part of the wheel's tag; None for this machine as it is."""
    if machine is None:
        return sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return f"manylinux_{GLIBC[0]}_{GLIBC[1]}_{machine}.manylinux2014_{machine}"
