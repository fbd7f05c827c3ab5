"""The tracers of examples/tracers, each on a real guest, as its first lines say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from command import armvcpu

from armvcpu.testing.firmware import store
from armvcpu.testing.firmware.initramfs import busybox_initramfs

TRACERS = Path("examples/tracers")
KVM = Path("guests/bin/linux/kvm.elf")
ALL = sorted(TRACERS.glob("*.py"))


def trace(*names: str, words: tuple[object, ...], timeout: float = 200) -> str:
    """What a run with these tracers prints; it has to end well."""
    scripts = [word for name in names for word in ("--script", TRACERS / f"{name}.py")]
    done = armvcpu("run", *words, *scripts, timeout=timeout)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    return done.stdout


def linux(directory: Path, script: str, **files: bytes) -> tuple[object, ...]:
    """The words that boot Debian's kernel, whose shell runs a script."""
    for name in ("linux-cloud", "busybox"):
        store.fetch(name)
    initrd = directory / "initramfs.cpio"
    initrd.write_bytes(busybox_initramfs(store.path("busybox"), f"{script}; poweroff -f\n".encode(), files=files))
    append = "console=ttyAMA0 loglevel=1 nokaslr"
    return store.path("linux-cloud"), "--initrd", initrd, "--append", append, "--memory", "512M"


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_tracer_has_twenty_lines_and_says_how_it_is_run(path):
    """At most, with the docstring."""
    source = path.read_text()
    assert len(source.splitlines()) <= 20
    assert f"--script {path}" in (ast.get_docstring(ast.parse(source)) or "")


def test_psci_calls_are_named():
    """Of a guest with four CPUs."""
    printed = trace("psci", words=("guests/bin/smp.elf", "--cpus", 4))
    assert re.search(r"^\d+\.\d{6} cpu0 hvc CPU_ON\(0x3, 0x\w+, 0x\w+\) = CpuUp\(target_cpu=3, ", printed, re.MULTILINE)
    assert "= ALREADY_ON\n" in printed
    assert "SYSTEM_OFF(" in printed


def test_interrupts_are_counted():
    """The virtual timer's, of a guest that switches its tasks by it."""
    printed = trace("gic", words=("guests/bin/preempt.elf",))
    found = re.search(r"^cpu0 INTID 27: (\d+), \d+ us$", printed, re.MULTILINE)
    assert found
    assert int(found[1]) > 20


def test_lines_have_times_and_places():
    """And every access of the UART has a register."""
    printed = trace("uart", words=("guests/bin/hello.elf",))
    assert re.search(r"^\[\d\.\d{6} pass\+0x\w+\] PASS hello$", printed, re.MULTILINE)
    assert re.search(r"^accesses: read pl011.UARTFR \d+, write pl011.UARTDR \d+$", printed, re.MULTILINE)


@pytest.mark.firmware
def test_firmware_is_traced_too(tmp_path):
    """U-Boot, which has no symbols: its UART."""
    store.fetch("u-boot")
    script = tmp_path / "off.py"
    script.write_text(
        'from armvcpu.script import on_prompt\n@on_prompt("=> $")\ndef off(): return "poweroff\\n"\n'
        '@on_prompt("autoboot")\ndef stop(): return "\\n"\n'
    )
    words = ("--firmware", store.path("u-boot", "u-boot.bin"), "--script", script)
    printed = trace("uart", words=words)
    assert re.search(r"^\[\d+\.\d{6} \] U-Boot 20", printed, re.MULTILINE)


@pytest.mark.firmware
def test_linux_on_two_cpus_is_traced_by_its_own_symbols(tmp_path):
    """Memory, locks and system calls, of a kernel without any debug file."""
    words = (*linux(tmp_path, "ls /proc; cat /proc/version; sleep 0.1; ls /nothing"), "--cpus", 2)
    printed = trace("malloc", "locks", "syscalls", words=words)
    assert re.search(r"^\d{3,} bytes: \w+\+0x\w+$", printed, re.MULTILINE)
    assert re.search(r"^mutexes: \w", printed, re.MULTILINE)
    assert re.search(r"^\w+\+0x\w+: \d+ waits, \d+ us$", printed, re.MULTILINE)
    assert re.search(r"^cpu[01] newuname\(0x\w+, .*\) = 0, \d+ us$", printed, re.MULTILINE)
    slept = re.search(r"^cpu[01] clock_nanosleep\(.*\) = 0, (\d+) us$", printed, re.MULTILINE)
    assert slept
    assert 100_000 <= int(slept[1]) < 1_000_000
    assert re.search(r"= -2, \d+ us$", printed, re.MULTILINE)  # ENOENT


@pytest.mark.firmware
def test_exits_of_a_guest_in_the_guest_are_counted(tmp_path):
    """KVM's, with the device accesses that it emulates."""
    words = (*linux(tmp_path, "kvm small", **{"bin/kvm": KVM.read_bytes()}), "--el", 2, "--cpu-model", "a57")
    printed = trace("kvm_exits", words=words)
    assert "store to 0xb000000\n" in printed
    exits = re.search(r"^KVM exits: (.*)$", printed, re.MULTILINE)
    assert exits
    assert {"DABT_LOWER", "HVC64"} <= {each.split()[0] for each in exits[1].split(", ")}
