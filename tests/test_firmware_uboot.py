"""Debian's U-Boot for QEMU's `virt` board: from flash to its prompt, and what one asks a boot loader there.

The first use fetches it with apt (`armvcpu firmware fetch u-boot`); without a network use `-m "not firmware"`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zlib

import pytest
from conversation import Conversation

from armvcpu.machine.outcome import Ending
from armvcpu.testing.firmware import store
from armvcpu.testing.firmware.disk import fat_image
from armvcpu.testing.firmware.initramfs import busybox_initramfs

pytestmark = pytest.mark.firmware

PROMPT = "\n=> "
BANNER = re.compile(r"U-Boot 20\d\d\.\d\d")
RAM = 0x4000_0000


@pytest.fixture(scope="module")
def u_boot():
    """The flash image; an error, not a skip, where it cannot be had."""
    store.fetch("u-boot")
    return store.path("u-boot")


@pytest.fixture
def at_prompt(u_boot):
    """A conversation with U-Boot, waiting at its prompt."""
    with Conversation(firmware=u_boot) as conversation:
        assert BANNER.search(reach_prompt(conversation))
        yield conversation


def reach_prompt(conversation: Conversation) -> str:
    """Stop autoboot and wait for the prompt; what U-Boot printed before."""
    said = conversation.expect("Hit any key to stop autoboot")
    conversation.say("")
    conversation.expect(PROMPT)
    return said


def test_elf_file_runs_from_flash_as_the_flash_image_does(u_boot):
    """Debian's uboot.elf is position-independent and linked at 0: QEMU's `-kernel` loads it into flash bank 0."""
    with Conversation(store.path("u-boot", "uboot.elf")) as conversation:
        assert BANNER.search(reach_prompt(conversation))
        assert BANNER.match(conversation.ask("version", PROMPT))


def test_version(at_prompt):
    """U-Boot's own version, compiler and linker."""
    answer = at_prompt.ask("version", PROMPT)
    assert BANNER.match(answer)
    assert "aarch64-linux-gnu-gcc" in answer


def test_bdinfo_finds_the_boards_memory(at_prompt):
    """From the device tree at the start of RAM."""
    facts = dict(re.findall(r"^(?:-> )?([\w ]+?) *= (\S+)", at_prompt.ask("bdinfo", PROMPT), re.MULTILINE))
    assert (int(facts["start"], 16), int(facts["size"], 16)) == (RAM, 256 << 20)
    assert (facts["devicetree"], facts["Build"]) == ("board", "64-bit")


def test_printenv_has_the_default_environment(at_prompt):
    """Flash is erased, so nothing is stored."""
    answer = at_prompt.ask("printenv", PROMPT)
    assert "board=qemu-arm\n" in answer
    assert "bootcmd=run distro_bootcmd" in answer


def test_md_shows_the_memory_that_the_host_sees(at_prompt):
    """The device tree: big-endian words, which `md` reads as little-endian ones."""
    line = at_prompt.ask(f"md.l {RAM:x} 4", PROMPT)
    words = [int(word, 16) for word in line.split()[1:5]]
    assert b"".join(word.to_bytes(4, "little") for word in words) == at_prompt.machine.read(RAM, 16)


@pytest.mark.parametrize("size", [1, 0x1000, 4 << 20])
def test_crc32_is_that_of_the_memory(at_prompt, size):
    """U-Boot's loop over RAM gives what zlib gives."""
    data = bytes(index * 167 >> 3 & 0xFF for index in range(4096)) * (size // 4096 + 1)
    at_prompt.machine.write(RAM + (32 << 20), data[:size])
    answer = at_prompt.ask(f"crc32 {RAM + (32 << 20):x} {size:x}", PROMPT)
    assert int(answer.rpartition("==> ")[2], 16) == zlib.crc32(data[:size])


def test_memory_written_by_the_guest_is_read_by_the_host(at_prompt):
    """`mw`, and `Machine.read`."""
    at_prompt.ask("mw.l 42000000 deadbeef 100", PROMPT)
    assert at_prompt.machine.read(0x4200_0000, 0x400) == bytes.fromhex("efbeadde") * 0x100


def test_flash_is_read_and_a_hole_is_an_abort(at_prompt):
    """The first word of U-Boot itself; and an access to nothing, which U-Boot reports and resets after."""
    word = int(at_prompt.ask("md.l 0 1", PROMPT).split()[1], 16)
    assert word.to_bytes(4, "little") == at_prompt.machine.read(0, 4)
    at_prompt.say("md.l b000000 1")
    assert "esr 0x96000010" in at_prompt.expect("Resetting CPU")


def test_poweroff_ends_with_status_0(at_prompt):
    """PSCI SYSTEM_OFF."""
    at_prompt.say("poweroff")
    outcome = at_prompt.end()
    assert (outcome.ending, outcome.status) == (Ending.POWERED_OFF, 0)


def test_reset_boots_again(at_prompt):
    """PSCI SYSTEM_RESET: the banner comes a second time, and the prompt works."""
    at_prompt.say("reset")
    assert BANNER.search(reach_prompt(at_prompt))
    assert BANNER.match(at_prompt.ask("version", PROMPT))


def test_reset_without_reboot_ends(u_boot):
    """`--no-reboot`: status 0, and one banner."""
    with Conversation(firmware=u_boot, reboot=False) as conversation:
        reach_prompt(conversation)
        conversation.say("reset")
        assert conversation.end().status == 0
        assert len(BANNER.findall(conversation.console.output.decode())) == 1


def test_every_cpu_model_and_the_counting_mode_reach_the_prompt(u_boot):
    """Whichever CPU is shown, and while instructions are counted."""
    for options in ({"cpu_model": "a53"}, {"cpu_model": "a57"}, {"cpu_model": "max"}, {"clock": "instructions"}):
        with Conversation(firmware=u_boot, **options) as conversation:
            assert BANNER.search(reach_prompt(conversation))


def test_commands_from_a_pipe(u_boot):
    """`armvcpu run --firmware u-boot.bin < commands`: a key for autoboot, a command, and power-off."""
    command = [sys.executable, "-m", "armvcpu", "run", "--firmware", str(u_boot), "--timeout", "60"]
    done = subprocess.run(command, input=b"\rversion\rpoweroff\r", capture_output=True, timeout=90, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"=> version" in done.stdout
    assert b"aarch64-linux-gnu-gcc" in done.stdout


def test_the_environment_is_found_again_in_flash(u_boot, tmp_path):
    """saveenv erases and programs bank 1; a reset and another machine both find it."""
    variables = tmp_path / "vars.fd"
    with Conversation(firmware=u_boot, vars=variables) as conversation:
        reach_prompt(conversation)
        conversation.ask("setenv greeting hello", PROMPT)
        assert "OK" in conversation.ask("saveenv", PROMPT)
        conversation.say("reset")
        reach_prompt(conversation)
        assert conversation.ask("printenv greeting", PROMPT) == "greeting=hello"
    with Conversation(firmware=u_boot, vars=variables) as conversation:
        reach_prompt(conversation)
        assert conversation.ask("printenv greeting", PROMPT) == "greeting=hello"


def test_flash_is_probed(at_prompt):
    """Two banks of the Intel command set (JESD68)."""
    facts = at_prompt.ask("flinfo", PROMPT)
    assert facts.count("Intel Extended command set, Manufacturer ID: 0x89, Device ID: 0x0018") == 2


def test_booti_starts_linux_from_a_virtio_disk(u_boot, tmp_path):
    """Kernel and initrd from a FAT file system, the board's own device tree: to a shell, and off."""
    for name in ("linux-cloud", "busybox"):
        store.fetch(name)
    initrd = busybox_initramfs(store.path("busybox"))
    disk = fat_image(tmp_path / "disk.img", {"Image": store.path("linux-cloud"), "initrd": initrd})
    with Conversation(firmware=u_boot, memory=512 << 20, disks=(disk,)) as conversation:
        reach_prompt(conversation)
        for command in (
            "virtio scan",
            "fatload virtio 0 ${kernel_addr_r} Image",
            "fatload virtio 0 ${ramdisk_addr_r} initrd",
            "setenv bootargs console=ttyAMA0 quiet",
        ):
            conversation.ask(command, PROMPT)
        conversation.say("booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdtcontroladdr}")
        conversation.expect("armvcpu# ")
        conversation.say("poweroff -f")
        assert conversation.end().ending is Ending.POWERED_OFF


@pytest.mark.parametrize("version", [1, 2], ids=["legacy", "modern"])
def test_dhcp_over_virtio_net(u_boot, version):
    """A driver that polls, with no interrupt and no timer, gets what passt answers (`--net user`)."""
    with Conversation(firmware=u_boot, networks=("user",), virtio_version=version) as conversation:
        reach_prompt(conversation)
        conversation.ask("setenv autoload no", PROMPT)
        assert "bound to address 10.0.2.15" in conversation.ask("dhcp", PROMPT)
