"""A user's script under `mypy --strict`: what is right passes, and each mistake is found where it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

RIGHT = """
from pathlib import Path
from typing import TYPE_CHECKING

from armvcpu import Aarch64VCpu, Machine, MemoryConsole, Outcome
from armvcpu.testing.target.target import Target
from armvcpu.vcpu.exits import Exit, Hypercall, MmioRead

if TYPE_CHECKING:
    from typing import Unpack

    from armvcpu.machine.option_types import MachineOptions


def booted(image: Path, **options: Unpack["MachineOptions"]) -> Outcome:
    with Machine(image, console=MemoryConsole(), **options) as machine:

        @machine.on_hypercall(0xC600_0001)
        def add(vcpu: Aarch64VCpu) -> int:
            return vcpu.gpr(1) + vcpu.gpr(2)

        @machine.on_smc(0xC600_0002)
        def leave(vcpu: Aarch64VCpu) -> None:
            return None

        def read(offset: int, width: int) -> int:
            return offset + width

        def write(offset: int, width: int, value: int) -> None:
            print(offset, width, value)

        machine.on_mmio(0x1_0000, 0x1000, read, write)
        machine.on_sysreg("ACTLR_EL1", read=lambda: 3)
        return machine.run(timeout=1.5, max_instructions=100)


def address(reason: Exit) -> int:
    match reason:
        case MmioRead(addr=addr):
            return addr
        case Hypercall(nr, args):
            return nr + args[0]
        case _:
            return 0


outcome = booted(Path("a"), memory="512M", cpus=2, gic=2, disks=["a", Path("b")], networks=("user",), reboot=False)
print(outcome.status + 1, outcome.reason.upper())
with Target("a", record="typed", clock="instructions", memory=64 << 20, timeout=3) as target:
    target.expect_exact("=> ")
    print(target.symbol("counter").u32 + 1)
"""

WRONG = {
    "an option that there is not": ("Machine('a', cpu=2)", "call-arg"),
    "an option's type": ("Machine('a', cpus='2')", "arg-type"),
    "a choice": ("Machine('a', gic=4)", "arg-type"),
    "a word": ("Machine('a', clock='sun')", "arg-type"),
    "disks": ("Machine('a', disks=[3])", "list-item"),
    "a disk that is not in a tuple": ("Machine('a', disks='x.img')", "arg-type"),
    "an image": ("Machine(3)", "arg-type"),
    "a target's option": ("Target('a', cpu=2)", "call-arg"),
    "a target's patience": ("Target('a', timeout='3')", "arg-type"),
    "a field of an exit": ("def f(reason: MmioRead) -> int: return reason.address", "attr-defined"),
    "a field's type": ("def f(reason: MmioRead) -> str: return reason.addr", "return-value"),
    "a handler's argument": ("def f(vcpu: str) -> int: return 1\nMachine('a').on_hypercall(1)(f)", "arg-type"),
    "a handler's result": ("def f(vcpu: Aarch64VCpu) -> str: return ''\nMachine('a').on_smc(1)(f)", "arg-type"),
    "a device's read": ("Machine('a').on_mmio(0, 4096, lambda at: at, lambda at, width, value: None)", "misc"),
    "a register's write": ("def f() -> None: pass\nMachine('a').on_sysreg('ACTLR_EL1', write=f)", "arg-type"),
    "what a run gives": ("x: int = Machine('a').run()", "assignment"),
}  # fmt: skip
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
IMPORTS = (
    "from armvcpu import Aarch64VCpu, Machine\n"
    "from armvcpu.testing.target.target import Target\n"
    "from armvcpu.vcpu.exits import MmioRead\n"
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What `mypy --strict` says of each script, all of them looked at in one run: (line, code) by the file's name."""
    directory = tmp_path_factory.mktemp("scripts")
    (directory / "right.py").write_text(RIGHT)
    for number, (code, _) in enumerate(WRONG.values()):
        (directory / f"wrong_{number}.py").write_text(IMPORTS + code + "\n")
    command = [
        sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-error-summary",
        "--cache-dir", str(directory / "cache"), "--config-file", "",
        *map(str, [*sorted(directory.glob("*.py")), *EXAMPLES]),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=300, check=False,
        env={"MYPYPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    said: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if " error: " in line:
            said.setdefault(Path(line.partition(":")[0]).stem, []).append(line)
    return said


def test_what_is_right_passes(found: dict[str, list[str]]) -> None:
    assert found.get("right", []) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_passes(found: dict[str, list[str]], example: Path) -> None:
    """examples/, as they stand."""
    assert found.get(example.stem, []) == []


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_found(found: dict[str, list[str]], what: str) -> None:
    """In its line, with the code of what it is."""
    codes = [re.findall(r"\[([a-z-]+)\]$", line)[0] for line in found.get(f"wrong_{list(WRONG).index(what)}", [])]
    assert WRONG[what][1] in codes


def test_the_package_says_that_it_is_typed() -> None:
    """PEP 561; tests/test_wheels.py has what goes into a wheel."""
    assert (ROOT / "armvcpu" / "py.typed").is_file()
