"""Debian's kernels are stripped, and have names all the same: as they tell of themselves in /proc/kallsyms."""

from __future__ import annotations

import hashlib

import pytest

from armvcpu import Machine
from armvcpu.machine.boot.image_linux import unwrap
from armvcpu.machine.boot.symbols_kallsyms import find_kallsyms
from armvcpu.testing.firmware import store
from armvcpu.testing.firmware.initramfs import busybox_initramfs

pytestmark = pytest.mark.firmware

ASK = "mount -t proc proc /proc\ngrep -v '\\[' /proc/kallsyms | cut -c1-16,19- | md5sum\nsleep 3\npoweroff -f\n"


@pytest.fixture(params=["linux-cloud", pytest.param("linux-cloud-trixie", marks=pytest.mark.slow)])
def kernel(request):
    """6.1 and 6.12, which have kallsyms in different orders."""
    store.fetch(request.param)
    return store.path(request.param)


@pytest.fixture
def initramfs(tmp_path):
    """It asks the kernel for its symbols, waits, and powers off."""
    store.fetch("busybox")
    path = tmp_path / "initramfs.cpio"
    path.write_bytes(busybox_initramfs(store.path("busybox"), ASK.encode()))
    return path


def test_a_stripped_kernels_symbols_are_those_that_it_has_itself(kernel, initramfs):
    """Every one, with its address; functions can be heard of by name, and a profile names what was executed."""
    found = find_kallsyms(unwrap(kernel, kernel.read_bytes(), 1 << 30))
    assert found is not None
    lines = "".join(f"{begin:016x} {name}\n" for begin, _, name in found.symbols())
    options = {"append": "console=ttyAMA0 loglevel=1", "memory": "512M", "cpus": 2, "clock": "instructions"}
    with Machine(kernel, initrd=initramfs, **options) as machine:
        called = []
        machine.on_symbol("kernel_power_off")(lambda vcpu: called.append(machine.symbols.format(vcpu.state.pc)))
        with machine.profile() as profile:
            assert machine.run(timeout=120).ok
        assert hashlib.md5(lines.encode()).hexdigest().encode() in machine.console.output
    assert called == ["kernel_power_off"]
    check_profile(profile)


def check_profile(profile):
    """Kernel and programs, on both CPUs; a program's system calls above its own stack; waiting apart."""
    stacks = profile.stacks()
    named = {name for stack in stacks for name in stack}
    assert {"cpu0", "cpu1", "start_kernel", "do_idle", "kthread", "vfs_read"} <= named
    assert any(stack[1] == "EL0" and "EL1" in stack[3:] and "el0_svc" in stack for stack in stacks if len(stack) > 3)
    assert any(stack[1] == "EL0" and "EL1" not in stack for stack in stacks if len(stack) > 2)
    summary = profile.summary()
    assert sum(stacks.values()) == summary.guest_ns
    assert 2_500_000_000 < stacks[("all CPUs wait (WFI)",)] == summary.guest_idle_ns
    assert summary.exceptions["SVC64"] > 1000
    assert summary.devices["pl011"].stores > 0
