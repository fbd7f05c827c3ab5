"""Boot chains from a virtio disk: EDK2 or U-Boot loads GRUB from a FAT file system, and GRUB Linux.

The first use fetches them with apt (`armvcpu firmware fetch grub`); without a network use `-m "not firmware"`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from conversation import Conversation

from armvcpu.machine.outcome import Ending
from armvcpu.testing.firmware import store
from armvcpu.testing.firmware.disk import fat_image
from armvcpu.testing.firmware.initramfs import busybox_initramfs

pytestmark = pytest.mark.firmware

MIB = 1 << 20
PROMPT = "armvcpu# "
CONFIG = Path("firmware/grub.cfg").absolute()


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """GRUB where firmware looks for it on removable media (UEFI 2.10, 3.5.1.1), and what its menu offers."""
    for name in ("grub", "linux-cloud", "busybox"):
        store.fetch(name)
    files = {
        "EFI/BOOT/BOOTAA64.EFI": store.path("grub"),
        "boot/grub/grub.cfg": CONFIG,
        "Image": store.path("linux-cloud"),
        "initrd": busybox_initramfs(store.path("busybox")),
    }
    return fat_image(tmp_path_factory.mktemp("grub") / "disk.img", files)


@pytest.mark.parametrize(
    ("name", "loads", "vendor", "options"),
    [
        ("u-boot", "Found EFI removable media binary efi/boot/bootaa64.efi", "by Das U-Boot", {"gic": 2}),
        ("edk2", "BdsDxe: starting Boot0001", "by EDK II", {"cpus": 2, "clock": "instructions"}),
    ],
    ids=["u-boot", "edk2"],
)
def test_grub_starts_linux_from_the_disk(disk, name, loads, vendor, options):
    """Firmware by itself, GRUB's menu with a key, Linux with EFI services to its shell, and off."""
    store.fetch(name)
    with Conversation(firmware=store.path(name), memory=512 * MIB, disks=(disk,), **options) as conversation:
        conversation.expect(loads)
        conversation.expect("GNU GRUB  version 2.")
        conversation.expect("*Linux of this disk")
        conversation.say("")
        conversation.expect(PROMPT)
        assert conversation.ask("cat /proc/cmdline", PROMPT) == "BOOT_IMAGE=/Image console=ttyAMA0 quiet"
        assert conversation.ask("nproc", PROMPT) == str(options.get("cpus", 1))
        assert vendor in conversation.ask("dmesg | grep 'efi: EFI v2'", PROMPT)
        conversation.say("poweroff -f")
        assert conversation.end().ending is Ending.POWERED_OFF
