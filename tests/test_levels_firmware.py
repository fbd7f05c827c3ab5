"""Real firmware, kernels and hypervisors at EL2 and EL3: each boots here and on QEMU's board, with the same marks.

The first use fetches them with apt (`armvcpu firmware fetch ...`), and builds Trusted Firmware-A; without a network use
`-m "not firmware"`. QEMU's runs, and all that take more than a few seconds, are slow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from conversation import Conversation
from qemu_conversation import QemuConversation

from armvcpu.machine.outcome import Ending
from armvcpu.testing.firmware import store
from armvcpu.testing.firmware.initramfs import busybox_initramfs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.firmware

TIMEOUT = 240
"""Seconds for each step, on a host with much else to do."""
PROMPT = "armvcpu# "
KEY, RETURN, ESCAPE = "x", "\r", "\x1b"
OFF = ((PROMPT, "nproc; poweroff -f\r"),)
"""(what the guest prints, what is typed then)."""
U_BOOT_OFF = (("Hit any key", KEY), ("=> ", "poweroff\r"))
U_BOOT_PROMPT = (("Hit any key", KEY), ("=> ", "version\r"), ("U-Boot 20", ""), ("=> ", ""))
"""At EL3 there is nobody who could switch the board off for it, here as on QEMU."""
EDK2_OFF = (("any other key to continue", ESCAPE), ("Shell> ", "reset -s\r"))
CONSOLE = "console=ttyAMA0"
MODULES = ("@linux-cloud/Image@0x49000000,kernel,bootargs=console=hvc0", "@initramfs@0x4c000000,ramdisk")


@dataclass(frozen=True)
class Boot:
    """What boots, how, and what it prints; files as suites write them: `@NAME/FILE`, `@initramfs`."""

    name: str
    image: str | None
    options: dict[str, Any]
    steps: tuple[tuple[str, str], ...]
    marks: tuple[str, ...]
    """Regular expressions that what has been printed matches."""
    ends: bool = True
    is_quick: bool = field(default=False)


def linux(name: str, kernel: str, cpu_model: str, cpus: int, gic: int, mode: str, *, is_quick: bool = False) -> Boot:
    """A kernel that starts at EL2, on `cpus` CPUs, and takes EL2 for KVM."""
    options = {"el": 2, "cpu_model": cpu_model, "cpus": cpus, "gic": gic, "memory": "512M"}
    marks = (r"CPU: All CPU\(s\) started at EL2", mode, rf"\n{cpus}\n", "reboot: Power down")
    boot = {"initrd": "@initramfs", "append": CONSOLE}
    return Boot(name, f"@{kernel}/Image", options | boot, OFF, marks, is_quick=is_quick)


def firmware(name: str, file: str, el: int, steps: tuple[tuple[str, str], ...], *marks: str, **more: Any) -> Boot:
    """Firmware in the first bank of flash."""
    return Boot(name, None, {"el": el, "cpu_model": "a57", "firmware": file}, steps, marks, **more)


def trusted_firmware(name: str, *marks: str, gic: int = 3) -> Boot:
    """BL1 to BL31, U-Boot as BL33, and Linux, on four CPUs that its own PSCI starts."""
    options = {
        "el": 3, "cpu_model": "a57", "cpus": 4, "gic": gic, "memory": "1G", "firmware": f"@{name}/flash.bin",
        "initrd": "@initramfs", "append": CONSOLE,
    }  # fmt: skip
    chain = (
        "Booting Trusted Firmware", r"BL1: v2\.\d+", r"BL2: v2\.\d+", r"BL31: v2\.\d+", r"U-Boot 20\d\d",
        r"PSCIv1\.\d detected in firmware", "Brought up 1 node, 4 CPUs", r"CPU: All CPU\(s\) started at EL2",
        r"\n4\n", "reboot: Power down",
    )  # fmt: skip
    return Boot(name, "@linux-cloud/Image", options, OFF, (*chain, *marks))


def xen(name: str, gic: int) -> Boot:
    """Xen, with Debian's kernel as its dom0 on two CPUs."""
    options = {
        "el": 2, "cpu_model": "a57", "cpus": 2, "memory": "1G", "gic": gic,
        "append": "dom0_mem=512M console=dtuart", "modules": MODULES,
    }  # fmt: skip
    marks = (
        r"\(XEN\) Brought up 2 CPUs", r"LOADING DOMAIN 0", r"Xen 4\.\d+ support found", r"\n2\n", "reboot: Power down",
        "Hardware Dom0 halted: halting machine",
    )  # fmt: skip
    return Boot(f"{name}, GICv{gic}", f"@{name}/xen", options, OFF, marks)


NVHE, VHE = r"kvm \[\d+\]: Hyp (nVHE )?mode initialized successfully", r"kvm \[\d+\]: VHE mode initialized successfully"
OPTEE = (
    "Primary CPU initializing",
    "Primary CPU switching to normal world boot",
    "Secondary CPU 3 switching to normal",
)
BOOTS = (
    linux("Linux 6.1, 1 CPU, GICv3", "linux-cloud", "a57", 1, 3, NVHE, is_quick=True),
    linux("Linux 6.1, 4 CPUs, GICv3", "linux-cloud", "a57", 4, 3, NVHE),
    linux("Linux 6.1, 1 CPU, GICv2", "linux-cloud", "a57", 1, 2, NVHE),
    linux("Linux 6.1, 4 CPUs, GICv2", "linux-cloud", "a57", 4, 2, NVHE, is_quick=True),
    linux("Linux 6.12, 4 CPUs, GICv3", "linux-cloud-trixie", "a57", 4, 3, NVHE),
    linux("Linux 6.12, VHE, 1 CPU, GICv3", "linux-cloud-trixie", "max", 1, 3, VHE),
    linux("Linux 6.12, VHE, 4 CPUs, GICv2", "linux-cloud-trixie", "max", 4, 2, VHE),
    firmware("U-Boot 2023.01 at EL2", "@u-boot/u-boot.bin", 2, U_BOOT_OFF, r"U-Boot 2023\.01", is_quick=True),
    firmware("U-Boot 2025.01 at EL2", "@u-boot-trixie/u-boot.bin", 2, U_BOOT_OFF, r"U-Boot 2025\.01"),
    firmware("U-Boot 2025.01 at EL3", "@u-boot-trixie/u-boot.bin", 3, U_BOOT_PROMPT, r"U-Boot 2025\.01", ends=False),
    firmware("EDK2 2022.11 at EL2", "@edk2/AAVMF_CODE.fd", 2, EDK2_OFF, "UEFI Interactive Shell"),
    trusted_firmware("tf-a"),
    trusted_firmware("tf-a-gicv2", "vgic interrupt", gic=2),
    trusted_firmware("tf-a-optee", *OPTEE),
    xen("xen", 3),
    xen("xen", 2),
    xen("xen-trixie", 3),
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Finds what a Boot names, and fetches it first; an error, not a skip, where it cannot be had."""
    initramfs = tmp_path_factory.mktemp("levels") / "initramfs.cpio"

    def path(reference: str) -> str:
        if reference == "@initramfs":
            if not initramfs.exists():
                store.fetch("busybox")
                initramfs.write_bytes(busybox_initramfs(store.path("busybox")))
            return str(initramfs)
        name, _, file = reference.removeprefix("@").partition("/")
        store.fetch(name)
        return str(store.path(name, file))

    def found(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(found, value))
        if not isinstance(value, str) or not value.startswith("@"):
            return value
        reference, at, behind = value[1:].partition("@")
        return f"{path(f'@{reference}')}{at}{behind}"

    return found


def boots(*, only_quick: bool) -> list[Any]:
    return [
        pytest.param(boot, id=boot.name, marks=() if boot.is_quick and only_quick else (pytest.mark.slow,))
        for boot in BOOTS
    ]


def check(boot: Boot, output: str) -> None:
    missing = [mark for mark in boot.marks if not re.search(mark, output.replace("\r", ""))]
    assert not missing, f"{boot.name}: no {missing[0]!r} in {output[-2000:]!r}"


@pytest.mark.parametrize("boot", boots(only_quick=True))
def test_it_boots_here(boot, files):
    """To its prompt, and the guest switches the board off."""
    options = {name: files(value) for name, value in boot.options.items()}
    with Conversation(files(boot.image), **options) as conversation:
        for text, typed in boot.steps:
            conversation.expect(text, TIMEOUT)
            conversation.console.feed(typed.encode())
        if boot.ends:
            outcome = conversation.end(TIMEOUT)
            assert outcome.ending is Ending.POWERED_OFF, outcome
        check(boot, conversation.console.output.decode(errors="replace"))


@pytest.mark.parametrize("boot", boots(only_quick=False))
def test_qemu_boots_it_so(boot, files, tmp_path: Path):
    """The same steps and marks: what is expected above is no wish."""
    options = {name: files(value) for name, value in boot.options.items()}
    with QemuConversation(files(boot.image), tmp_path / "secure", **options) as conversation:
        for text, typed in boot.steps:
            conversation.expect(text, TIMEOUT)
            conversation.type(typed)
        if boot.ends:
            assert conversation.end(TIMEOUT) == 0
        check(boot, conversation.output)
