"""The monitor on guests that are more than a few instructions: a hypervisor with its guest, and Linux on two CPUs."""

from __future__ import annotations

import re

import pytest
from conversation import Conversation

from armvcpu import Machine
from armvcpu.testing.firmware import store
from armvcpu.testing.firmware.initramfs import busybox_initramfs

PROMPT = "armvcpu# "
EVERY_LOOK = (
    "info cpus", "info registers 0", "info registers 1", "info sysregs", "info gic", "info timers", "info mtree",
    "info devices", "info exits", "translate $pc", "translate $sp", "backtrace", "disassemble", "x/4gx $sp", "x/i $pc",
)  # fmt: skip


@pytest.mark.parametrize("gic", [2, 3])
def test_a_nested_guest_is_translated_through_both_stages(gic):
    """While the hypervisor's guest has its MMU on: stage 1's tables lie behind stage 2, the hypervisor's."""
    with Machine("guests/bin/el2.elf", el=2, cpus=2, gic=gic, clock="instructions") as machine:
        registers = machine.vcpu.registers
        for _ in range(2000):
            machine.run(max_instructions=500)
            if machine.vcpu.state.el < 2 and registers["SCTLR_EL1"] & 1 and registers["HCR_EL2"] & 1:
                break
        said = machine.monitor("translate 0x240003000 el1")
        assert "0x240003000 at EL1, in the EL1&0 with stage 2 regime\nstage 1: TTBR0_EL1 0x90001000, 39 bits" in said
        assert re.search(r"level 1  \[0x90001048\] 0x0000000090002003  table at 0x90002000\n +stage 2 of ", said)
        assert re.search(r"level 2  \[0x90002000\] 0x\w+  block of 2 MiB at 0x90000000: Normal", said)
        assert "stage 2 of 0x90003000: VTTBR_EL2" in said
        assert re.search(r"physical 0x4\w+: RAM", said)
        assert "read     goes through" in said
        assert "execute  ESR_EL2 0x8200000f: instruction abort from a lower EL, permission fault, level 3" in said
        assert "HPFAR_EL2 0x900030" in said
        assert "at EL2, in the EL2 regime" in machine.monitor("translate $pc el2")
        listed = machine.monitor("info gic")
        assert f"virtual interface of cpu0 ({'GICH_HCR' if gic == 2 else 'ICH_HCR'}" in listed


@pytest.fixture(scope="module")
def linux(tmp_path_factory):
    """Debian's cloud kernel on two CPUs, at its prompt."""
    for name in ("linux-cloud", "busybox"):
        store.fetch(name)
    initramfs = tmp_path_factory.mktemp("initramfs") / "initramfs.cpio"
    initramfs.write_bytes(busybox_initramfs(store.path("busybox"), b""))
    options = {"cpus": 2, "initrd": initramfs, "append": "console=ttyAMA0 loglevel=4", "memory": "512M"}
    with Conversation(store.path("linux-cloud"), clock="instructions", **options) as conversation:
        conversation.expect(PROMPT)
        yield conversation


@pytest.mark.firmware
def test_linux_is_looked_at_on_two_cpus(linux):
    """Every command that looks says something, and the kernel goes on as it would have."""
    said = {line: linux.machine.monitor(line) for line in EVERY_LOOK}
    assert [line for line, text in said.items() if not text and line != "info exits"] == []
    assert said["info cpus"].count("EL1h") == 2
    assert re.search(r" 33 SPI 1    enabled  \w+ .* pl011 to cpu[01]", said["info gic"])
    assert re.search(r" 27 PPI 11   enabled .* timer CNTV_EL0 of cpu1", said["info gic"])
    assert re.search(r"CNTV_EL0 \(INTID 27\) enabled, .* due in", said["info timers"])
    assert re.search(r"TTBR1_EL1 0x\w+, 48 bits, 4 KiB granule\n  level 0", said["translate $pc"])
    assert "Normal Write-Back, Inner Shareable, EL1 RX, EL0 nothing, AF" in said["translate $pc"]
    assert "write    ESR_EL1 0x960000" in said["translate $pc"]
    assert "UARTIMSC 0x50" in linux.machine.monitor("info devices pl011")
    assert linux.ask("echo $((6 * 7))", PROMPT) == "42"


@pytest.mark.firmware
def test_linux_goes_back_to_a_snapshot(linux):
    """`restore` undoes what was typed since."""
    linux.machine.monitor("snapshot before")
    linux.ask("answer=changed", PROMPT)
    linux.machine.monitor("restore before")
    assert linux.ask("echo answer=$answer", PROMPT) == "answer="
