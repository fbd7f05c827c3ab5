"""Debian's EDK2 for the `virt` board: to its shell, with variables that survive, and on to Linux.

The first use fetches it with apt (`armvcpu firmware fetch edk2`); without a network use `-m "not firmware"`.
"""

from __future__ import annotations

import os
import shutil

import pytest
from conversation import Conversation

from armvcpu.errors import ImageError
from armvcpu.machine.outcome import Ending
from armvcpu.testing.firmware import store
from armvcpu.testing.firmware.initramfs import busybox_initramfs

pytestmark = pytest.mark.firmware

MIB = 1 << 20
SHELL = "Shell> "
CLOCK = "instructions"
"""By which its waits take no time."""


@pytest.fixture(scope="module")
def edk2():
    """Code and variables; an error, not a skip, where they cannot be had."""
    store.fetch("edk2")
    return store.path("edk2", "AAVMF_CODE.fd"), store.path("edk2", "AAVMF_VARS.fd")


def at_shell(edk2, variables) -> Conversation:
    conversation = Conversation(firmware=edk2[0], vars=variables, memory=256 * MIB, clock=CLOCK)
    conversation.expect("any other key to continue")
    conversation.console.feed(b"\x1b")
    conversation.expect(SHELL)
    return conversation


def test_variables_survive_a_restart(edk2, tmp_path):
    """UEFI's non-volatile variables, in flash bank 1: set, and there again in another machine."""
    variables = tmp_path / "vars.fd"
    shutil.copy(edk2[1], variables)
    with at_shell(edk2, variables) as conversation:
        conversation.say("setvar greeting -guid 11111111-2222-3333-4444-555555555555 -nv -bs =0xCAFE")
        conversation.expect(SHELL)
        conversation.say("reset -s")
        assert conversation.end().ending is Ending.POWERED_OFF
    with at_shell(edk2, variables) as conversation:
        conversation.say("setvar greeting -guid 11111111-2222-3333-4444-555555555555")
        conversation.expect("FE CA")


def test_the_shell_shows_what_smbios_tells(edk2, tmp_path):
    """The tables of fw_cfg are the firmware's own then; type 4 is the processor (DSP0134 7.5)."""
    variables = tmp_path / "vars.fd"
    shutil.copy(edk2[1], variables)
    with at_shell(edk2, variables) as conversation:
        conversation.say("smbiosview -t 1")
        conversation.expect("Manufacturer: armvcpu")
        conversation.expect("ProductName: virt")
        conversation.expect(SHELL)
        conversation.say("smbiosview -t 4")
        conversation.expect("ProcessorVersion: Cortex-A72")


def test_linux_is_its_kernel(edk2, tmp_path):
    """IMAGE, --initrd and --append reach the firmware by fw_cfg; Linux has EFI services, two CPUs, and ends well."""
    for name in ("linux-cloud", "busybox"):
        store.fetch(name)
    initrd = tmp_path / "initrd"
    initrd.write_bytes(busybox_initramfs(store.path("busybox")))
    options = {"initrd": initrd, "append": "console=ttyAMA0 quiet", "memory": 512 * MIB, "cpus": 2, "clock": CLOCK}
    with Conversation(store.path("linux-cloud"), firmware=edk2[0], **options) as conversation:
        conversation.expect("armvcpu# ")
        assert conversation.ask("nproc", "armvcpu# ") == "2"
        assert "EFI v2" in conversation.ask("dmesg | grep EFI", "armvcpu# ")
        assert "DMI: armvcpu virt, BIOS" in conversation.ask("dmesg | grep DMI:", "armvcpu# ")
        shown = conversation.ask("cd /sys/class/dmi/id; cat sys_vendor product_name", "armvcpu# ")
        assert shown.split() == ["armvcpu", "virt"]
        assert conversation.ask("ls /sys/firmware/efi/efivars | wc -l", "armvcpu# ").isdecimal()
        conversation.say("poweroff -f")
        assert conversation.end().ending is Ending.POWERED_OFF


def test_the_variables_file_is_created_erased(edk2, tmp_path):
    """Firmware then begins with none of its own; the file is as large as the bank."""
    variables = tmp_path / "new.fd"
    with Conversation(firmware=edk2[0], vars=variables) as conversation:
        conversation.expect("UEFI firmware")
    assert variables.stat().st_size == 64 * MIB


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(b"x" * 100), "has 100 bytes, not the 67108864"),
        (lambda path: path.mkdir(), "cannot be used as flash"),
    ],
)
def test_a_file_that_is_no_flash_bank_is_refused(edk2, tmp_path, make, words):
    """And left as it is."""
    path = tmp_path / "vars.fd"
    make(path)
    with pytest.raises(ImageError, match=words):
        Conversation(firmware=edk2[0], vars=path)
    assert os.path.isdir(path) or path.stat().st_size == 100
