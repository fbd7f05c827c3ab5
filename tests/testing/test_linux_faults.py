"""Watching and faults where a kernel is the guest: Linux, which runs without stage 2 otherwise, and U-Boot."""

from __future__ import annotations

import pytest
from pexpect import TIMEOUT

from armvcpu.arch.controls import HCR_EL2
from armvcpu.machine.board.virt import FLASH_SIZE, RAM_BASE
from armvcpu.testing.firmware import store
from armvcpu.testing.firmware.initramfs import busybox_initramfs
from armvcpu.testing.target.target import Target

pytestmark = pytest.mark.firmware

MIB = 1 << 20
MODULES = ("virtio_ring.ko", "virtio.ko", "virtio_mmio.ko", "virtio_blk.ko")
SECTOR, SECTORS = 512, 256
PROMPT, U_BOOT = "armvcpu# ", "\n=> "


@pytest.fixture(scope="module")
def linux(tmp_path_factory):
    """A shell, with a disk of zeroes: the machine, and its snapshot."""
    for name in ("linux-cloud", "busybox"):
        store.fetch(name)
    path = tmp_path_factory.mktemp("linux")
    modules = [store.path("linux-cloud", name) for name in MODULES]
    script = b"stty -echo; exec sh"
    (path / "initrd").write_bytes(busybox_initramfs(store.path("busybox"), script, modules=modules))
    (path / "disk").write_bytes(bytes(SECTOR * SECTORS))
    with Target(
        store.path("linux-cloud"), initrd=path / "initrd", append="console=ttyAMA0 quiet nokaslr", memory=512 * MIB,
        disks=(path / "disk",),
    ) as target:  # fmt: skip
        target.expect_exact(PROMPT, timeout=60)
        yield target, target.snapshot()


@pytest.fixture
def shell(linux):
    target, snapshot = linux
    target.restore(snapshot)
    yield target
    target.heal()


def ask(target, command):
    target.sendline(command)
    target.expect_exact(PROMPT, timeout=20)
    return target.before.strip()


def file_in_memory(target, text):
    """Write a file of the initramfs; the physical address of its only page."""
    ask(target, f"echo {text} >/file")
    found = [
        at for at in range(0, len(target.memory.ram), 4096) if target.memory.ram[at : at + len(text)] == text.encode()
    ]
    (page,) = (RAM_BASE + at for at in found)
    return page


def pieces(accesses):
    """What they wrote or read, put together; they may overlap."""
    contents = bytearray(max(access.address % 4096 + access.width for access in accesses))
    for access in accesses:
        at = access.address % 4096
        contents[at : at + access.width] = access.value.to_bytes(access.width, "little")
    return bytes(contents)


def uses_stage2(target):
    return bool(target.vcpu.system_registers.hcr_el2 & HCR_EL2.VM.mask)


# --- Linux ----------------------------------------------------------------------------------------------------


def test_who_reads_and_writes_a_page_of_the_kernels(shell):
    """What a file is written with and read as, without stage 2."""
    page = file_in_memory(shell, "before")
    with shell.watch(page, 8) as watch:
        assert not uses_stage2(shell)
        ask(shell, "echo -n written 1<>/file")
        assert (pieces(watch.writes), watch.reads) == (b"written", [])
        assert ask(shell, "cat /file") == "written"
        assert pieces(watch.reads) == b"written"
        assert all(access.pc >> 48 == 0xFFFF for access in watch.accesses)
    assert ask(shell, "cat /file") == "written"
    assert len(watch.accesses) == len(watch.reads) + len(watch.writes)


def test_an_access_of_the_kernels_is_waited_for(shell):
    """The run ends in the kernel, behind it."""
    page = file_in_memory(shell, "something")
    shell.sendline("cat /file")
    shell.run_until(read=page, timeout=20)
    assert shell.register("pc") >> 48 == 0xFFFF
    assert "something" not in shell.output.rpartition("cat /file")[2]
    shell.run_until(pattern="something", timeout=20)


def test_poison_reaches_the_kernel(shell):
    """A read of the page is a synchronous external abort, which kills the reader; healed, it is read again."""
    heal = shell.poison(file_in_memory(shell, "poisoned"))
    assert "  /file" not in ask(shell, "md5sum /file")
    assert "synchronous external abort" in ask(shell, "dmesg | grep -i abort")
    heal()
    assert ask(shell, "cat /file") == "poisoned"


def test_a_read_error_of_a_disk(shell):
    """Of the sector that fails, and no other one; healed, none fails."""
    failure = shell.fail_disk(sectors=range(16, 17), writes=False)
    read = "dd if=/dev/vda of=/dev/null bs=512 count=8 iflag=direct skip="
    assert "I/O error" in ask(shell, f"{read}16 2>&1")
    assert failure.failed[0][:2] == (0, 16)
    assert "8+0 records in" in ask(shell, f"{read}24 2>&1")
    failure.heal()
    assert "8+0 records in" in ask(shell, f"{read}16 2>&1")


def test_a_write_error_of_a_disk(shell):
    """The first write fails, and has written nothing; the second does not fail."""
    failure = shell.fail_disk(reads=False, count=1)
    write = "tr '\\0' x < /dev/zero | dd of=/dev/vda bs=4096 count=1 seek=5 iflag=fullblock oflag=direct 2>&1"
    assert "I/O error" in ask(shell, write)
    assert failure.failed == [(1, 40, 8)]
    (disk,) = shell.parts.peripherals.disks
    assert disk.read(40 * SECTOR, 4096) == bytes(4096)
    assert "I/O error" not in ask(shell, write)
    assert disk.read(40 * SECTOR, 4096) == b"x" * 4096


def test_a_lost_interrupt_of_a_disk(shell):
    """The request is done, and its reader waits: Linux never hears of it."""
    (slot,) = (s for s in shell.board.slots if s.name == "virtio-mmio31")
    shell.lose_interrupt(32 + slot.spis[0])
    shell.sendline("dd if=/dev/vda of=/dev/null bs=512 count=1 iflag=direct 2>&1")
    assert shell.expect_exact(["records in", TIMEOUT], timeout=1.5) == 1


# --- U-Boot ---------------------------------------------------------------------------------------------------


def test_a_power_cut_keeps_exactly_what_was_written(tmp_path):
    """Disk and flash, over two cuts: what the first machine wrote the second finds, and nothing else has changed."""
    store.fetch("u-boot")
    disk, flash = tmp_path / "disk", tmp_path / "vars.fd"
    contents = bytes(index * 167 >> 3 & 0xFF for index in range(SECTOR)) * SECTORS
    disk.write_bytes(contents)
    on_disk, on_flash = bytearray(contents), bytearray(b"\xff" * FLASH_SIZE)
    for number, sector in enumerate((3, 9), 1):
        with Target(firmware=store.path("u-boot"), disks=(disk,), vars=flash) as target:
            target.run_until(pattern="Hit any key to stop autoboot")
            target.sendline()
            target.run_until(pattern=U_BOOT)
            target.ask("virtio scan", U_BOOT)
            target.ask("virtio read 42000000 3 1; cp.b 4080000 42000200 10", U_BOOT)
            assert target.read(0x4200_0000, SECTOR) == on_disk[3 * SECTOR : 4 * SECTOR]
            assert target.read(0x4200_0200, 16) == on_flash[0x8_0000:0x8_0010]
            target.ask(f"mw.b 42000000 {number:x} 200", U_BOOT)
            assert "1 blocks written" in target.ask(f"virtio write 42000000 {sector:x} 1", U_BOOT)
            assert "done" in target.ask(f"cp.b 42000000 {0x407_FFF0 + 16 * number:x} 10", U_BOOT)
            target.ask("mw.b 42000000 ee 200", U_BOOT)
            target.power_cut()
        on_disk[sector * SECTOR : (sector + 1) * SECTOR] = bytes([number]) * SECTOR
        on_flash[0x7_FFF0 + 16 * number : 0x8_0000 + 16 * number] = bytes([number]) * 16
        assert disk.read_bytes() == on_disk
        assert flash.read_bytes() == on_flash
