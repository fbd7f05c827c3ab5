"""KVM inside: Debian's kernel at EL2, and a user of its /dev/kvm (guests/linux/kvm.c) that runs guests of its own.

What the small guest says has to be the same on QEMU 7.2. The slow tests run Linux in
Linux, on both GICs and with several CPUs at both levels.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from conversation import Conversation

from armvcpu import Machine, MemoryConsole
from armvcpu.testing.firmware import programs, store
from armvcpu.testing.firmware.initramfs import busybox_initramfs

pytestmark = pytest.mark.firmware

PROGRAM = Path(__file__).parents[1] / "guests" / "bin" / "linux" / "kvm.elf"
MIB = 1 << 20
PROMPT = "armvcpu# "
APPEND = "console=ttyAMA0 loglevel=1 nokaslr"
SMALL = (
    "dmesg | grep -E 'started at|initialized successfully'; kvm small && kvm exits 100; echo status $?; poweroff -f\n"
)
ANSWERS = """\
store 0xb000000 width 0x4 value 0x4
store 0xb000010 width 0x4 value 0x10001
store 0xb000020 width 0x8 value 0xffffffffffffffff
load 0xb000030 width 0x1
store 0xb000030 width 0x1 value 0x88
load 0xb000040 width 0x2
store 0xb000040 width 0x8 value 0x8788
load 0xb000050 width 0x4
store 0xb000050 width 0x2 value 0x8788
load 0xb000060 width 0x8
store 0xb000060 width 0x8 value 0x8182838485868788
store 0xb000070 width 0x8 value 0x80000000
store 0xb000080 width 0x4 value 0x1b
system event 0x1
EXIT hypercall ns=
EXIT GIC register ns=
EXIT device ns=
status 0
"""
"""EL1; PSCI 1.1, and NOT_SUPPORTED; what is loaded; MPIDR_EL1; the virtual timer's INTID. KVM cuts off what it has
extended of a load with a sign (vcpu_data_host_to_guest())."""
HYP, VHE = "Hyp mode initialized successfully", "VHE mode initialized successfully"


def initrd_of(directory, script, **files):
    """An initramfs with the program and `files`, whose shell runs `script` first."""
    for name in ("linux-cloud", "busybox"):
        store.fetch(name)
    initrd = directory / "outer.cpio"
    files = {"bin/kvm": PROGRAM.read_bytes(), **files}
    initrd.write_bytes(busybox_initramfs(store.path("busybox"), script.encode(), files=files))
    return initrd


def check_small(said, gic, mode):
    """`said` is a whole run's output: the kernel is at EL2, and the small guest saw what it has to."""
    said = re.sub(r"ns=\d+", "ns=", said.replace("\r", ""))
    assert "CPU: All CPU(s) started at EL2" in said
    assert mode in said
    assert f"GICv{gic}\n{ANSWERS}" in said


@pytest.mark.parametrize("gic", [3, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("cpu_model", "name", "mode"),
    [
        ("a57", "linux-cloud", HYP),
        pytest.param("a72", "linux-cloud", HYP, marks=pytest.mark.slow),
        pytest.param("max", "linux-cloud-trixie", VHE, marks=pytest.mark.slow),
    ],
)
def test_a_guest_of_a_few_instructions(tmp_path, gic, cpu_model, name, mode):
    """Hypercalls, a device, the virtual GIC and timer, and PSCI SYSTEM_OFF: all by KVM, without VHE and with it."""
    store.fetch(name)
    initrd, console = initrd_of(tmp_path, SMALL), MemoryConsole()
    options = {"initrd": initrd, "append": APPEND, "memory": 512 * MIB, "gic": gic, "cpu_model": cpu_model}
    with Machine(store.path(name), console=console, el=2, **options) as machine:
        outcome = machine.run(timeout=120)
    said = bytes(console.output).decode()
    assert outcome.status == 0, f"{outcome}\n{said}"
    check_small(said, gic, mode)


@pytest.mark.slow
@pytest.mark.parametrize("gic", [3, 2])
def test_qemu_agrees(tmp_path, gic):
    """The same kernel and program there."""
    initrd = initrd_of(tmp_path, SMALL)
    board = f"-M virt,virtualization=on,gic-version={gic} -cpu cortex-a57 -m 512 -nographic -nic none".split()
    guest = ["-kernel", store.path("linux-cloud"), "-initrd", initrd, "-append", APPEND]
    command = [programs.path("qemu-system-aarch64"), *board, *guest]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=True)
    check_small(done.stdout, gic, HYP)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cpu_model", "gic", "cpus", "inner"),
    [
        ("linux-cloud", "a57", 3, 1, 1),
        ("linux-cloud", "a57", 2, 1, 1),
        ("linux-cloud", "a57", 3, 2, 2),
        ("linux-cloud-trixie", "max", 3, 2, 1),
    ],
)
def test_linux_in_linux(tmp_path, name, cpu_model, gic, cpus, inner):
    """To the inner busybox's shell: what is typed arrives, what it computes is right, and both power off."""
    kernel = store.fetch(name) / "Image"
    store.fetch("busybox")
    files = {"Image": kernel.read_bytes(), "inner.cpio": busybox_initramfs(store.path("busybox"), b"echo inner\n")}
    initrd = initrd_of(tmp_path, "", **files)
    options = {"cpus": cpus, "cpu_model": cpu_model, "gic": gic, "initrd": initrd, "append": APPEND}
    with Conversation(kernel, el=2, memory=1024 * MIB, **options) as conversation:
        conversation.expect(PROMPT, timeout=120)
        conversation.say(f"kvm /Image /inner.cpio '{APPEND}' 256 {inner}; echo status $?")
        conversation.expect("inner\r", timeout=300)
        conversation.expect(PROMPT)
        assert conversation.ask("nproc", PROMPT) == str(inner)
        assert conversation.ask("dmesg | grep -c EL1", PROMPT) == "1"
        sums = conversation.ask("dd if=/dev/zero bs=1M count=4 2>/dev/null | md5sum", PROMPT)
        assert "b5cfa9d6c8febd618f91ac2843d50a1c" in sums
        conversation.say("poweroff -f")
        conversation.expect("status 0")
        conversation.expect(PROMPT)
        conversation.say("poweroff -f")
        assert conversation.end(timeout=60).status == 0
