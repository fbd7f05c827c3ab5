"""The examples: each runs from a checkout as it stands, says what it is to show, and is short."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import armvcpu

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SHOWS = {
    "run_guest": ("the last: 'hello: 1 passed, 0 failed'", "POWERED_OFF, the guest powered off, status 0", "power_off"),
    "answer_hypercalls": ("hypercall 0xc6000001: 20 + 22", "the guest keeps 42; the guest powered off"),
    "be_a_device": ("mmio: 22 passed, 0 failed", "ff ee dd cc bb aa 99 88 at offset 8"),
    "read_memory_and_registers": ("main(device_tree = 0x40000000), called from _start", "magic: d00dfeed", "vectors"),
    "single_step": ("0x40080000 _start ", "adrp x1, #0x40087000", "x1 = 0x40087000", "_start+0x2c"),
    "two_vms_one_cpu": ("VM 1: [1.5, 3.0, 4.5, 6.0]", "VM 2: [-0.25, -0.5, -0.75, -1.0]"),
    "one_vm_two_cpus": ("vCPU 0 counted to 100, vCPU 1 to 100",),
    "fuzz_parser": ("a packet of ", "b'AVM\\x03", "LAB", "did not return", "parse+0x"),
    "exits_by_hand": ("MmioRead(addr=268435456, width=4, reg=2", "the device got 42", "hypercall 0x0 at 0x80000014"),
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_shows_what_it_says(path, tmp_path):
    """From any directory, with status 0 and nothing on stderr."""
    done = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [text for text in SHOWS[path.stem] if text not in done.stdout] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short_and_explained(path):
    """At most 40 lines, 60 where there are several VMs or CPUs, and a docstring."""
    source = path.read_text()
    assert len(source.splitlines()) <= (60 if path.stem.endswith(("_cpu", "_cpus")) else 40)
    assert ast.get_docstring(ast.parse(source))


def test_every_public_name_can_be_imported():
    """What `armvcpu.__all__` promises, and nothing else."""
    assert all(getattr(armvcpu, name) is not None for name in armvcpu.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Something'"):
        _ = armvcpu.Something


def test_type_checkers_see_the_names_that_are_there():
    """The imports for them and the table for Python are one list."""
    tree = ast.parse(Path(armvcpu.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported >= set(armvcpu.__all__) - {"__version__"}
    assert imported - set(armvcpu.__all__) == {"annotations", "TYPE_CHECKING", "Any"}
