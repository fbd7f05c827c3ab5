"""gdb-multiarch runs a guest backwards."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import c_guest
import pytest
from gdb_program import debug
from machine.machine_state import digest

from armvcpu import Machine, MemoryConsole
from armvcpu.testing.firmware.initramfs import VIRTIO_MODULES, busybox_initramfs
from armvcpu.testing.firmware.store import fetch, path

if TYPE_CHECKING:
    from pathlib import Path

CORRUPT = "guests/bin/corrupt.elf"
BALANCE = "*((unsigned long *) &books + 16)"


def test_who_wrote_a_variable_is_found_backwards(tmp_path):
    """A balance is wrong at the end: the last stores to it are `pay`'s, but for one, which counts an order."""
    shown, printed, status = debug(
        tmp_path, CORRUPT,
        [
            "break audit", "continue", f"print {BALANCE}", "delete", f"watch {BALANCE} if {BALANCE} % 5 == 0 && "
            "$pc >= (unsigned long) &count_order && $pc < (unsigned long) &pay", "reverse-continue",
            "x/i $pc", "backtrace 2", "print $x1", "delete", "continue",
        ],
        CORRUPT, "--history", "64M",
    )  # fmt: skip
    assert "$1 = 1001" in shown
    assert re.search(r"x/i|=> 0x\w+ <count_order\+\d+>:\s+str\s", shown), shown
    assert re.search(r"#0 .* count_order \(\)\n#1 .* take_order \(\)", shown), shown
    assert "$2 = 16" in shown
    assert printed.count("the balance is 1001, and 1000 have been paid") == 1
    assert status == 0


def test_every_way_back(tmp_path):
    """reverse-stepi undoes stepi, reverse-next a line's call, reverse-finish a function, and there is a beginning."""
    shown, _, _ = debug(
        tmp_path, CORRUPT,
        [
            "break pay", "continue", "print/x $pc", "stepi", "stepi", "reverse-stepi", "reverse-stepi",
            "print/x $pc", "reverse-finish", "x/i $pc", "delete", "reverse-continue", "info line *$pc", "print/x $pc",
            "break pay", "continue", "print/x $pc", "ignore 2 10", "continue", "reverse-continue", "print/x $pc",
        ],
        CORRUPT, "--history", "64M",
    )  # fmt: skip
    places = re.findall(r"^\$\d+ = (0x\w+)$", shown, re.MULTILINE)
    assert len(places) == 5, shown
    pay, same, begin, again, last = places
    assert pay == same == again == last
    assert begin == "0x40080000"
    assert "No more reverse-execution history." in shown
    assert re.search(r"=> 0x\w+ <take_order\+\d+>:\s+bl\s+0x\w+ <pay>", shown), shown


def test_without_a_history_there_is_no_way_back(tmp_path):
    """gdb says so itself, and goes on."""
    shown, printed, _ = debug(tmp_path, CORRUPT, ["break audit", "continue", "reverse-continue", "continue"], CORRUPT)
    assert "does not support" in shown
    assert "the balance is 1001" in printed


def test_a_hypervisor_runs_backwards(tmp_path):
    """At EL2 on two CPUs: to the last time that it left its guest, over the exception, and forth again."""
    elf, options = "guests/bin/el2.elf", ("--el", "2", "--cpus", "2", "--cpu-model", "max", "--history", "64M")
    shown, printed, _ = debug(
        tmp_path, elf,
        [
            "break power_off", "continue", "break leave_guest", "reverse-continue", "print/x $pc", "stepi",
            "stepi", "reverse-stepi", "reverse-stepi", "print/x $pc", "reverse-continue", "delete",
            "print/x $pc", "reverse-stepi", "info threads", "continue",
        ],
        elf, *options,
    )  # fmt: skip
    first, again, earlier = re.findall(r"^\$\d+ = (\w+)$", shown, re.MULTILINE)
    assert first == again == earlier
    assert re.search(r"\* \d .*EL[12]", shown), shown
    assert printed.count(" passed, 0 failed") == 1


def record(recording: Path, answers: list[tuple[bytes, bytes]], **options: object) -> None:
    """A run with a user who types each answer when they read what it is to."""
    left, seen = list(answers), bytearray()

    def hear(byte: int) -> None:
        seen.append(byte)
        if left and seen.endswith(left[0][0]):
            console.feed(left.pop(0)[1])
            seen.clear()

    console = MemoryConsole(hear)
    with Machine(clock="instructions", record=recording, console=console, **options) as machine:
        machine.run(timeout=200)
    assert not left


def test_a_recording_of_u_boot_runs_backwards(tmp_path):
    """From its end to whoever put its code there: it has moved itself from flash to the end of RAM."""
    fetch("u-boot")
    recording, firmware = tmp_path / "recording", str(path("u-boot", "u-boot.bin"))
    record(recording, [(b"autoboot: ", b"x"), (b"=> ", b"echo one\r"), (b"=> ", b"poweroff\r")], firmware=firmware)
    shown, printed, _ = debug(
        tmp_path, None,
        [
            "continue", "print/x $pc", "set $there = (int *) $pc", "watch -l *$there", "reverse-continue", "x/i $pc",
            "delete", "continue", "reverse-stepi",
        ],
        "--firmware", firmware, "--replay", str(recording),
    )  # fmt: skip
    assert re.search(r"^=> 0x\w{1,6}:\s+stp\s", shown, re.MULTILINE), shown
    assert shown.count("the guest powered off") == 2
    assert printed.count("echo one") == 1


@pytest.mark.slow
def test_a_recording_of_linux_on_two_cpus_runs_backwards(tmp_path):
    """To the last write(2) that shows what was typed, by its registers and its buffer in user space."""
    for name in ("linux-cloud", "busybox"):
        fetch(name)
    initrd, recording = tmp_path / "initramfs.cpio", tmp_path / "recording"
    shell = b"sh -i </dev/ttyAMA0 >/dev/ttyAMA0 2>&1\npoweroff -f\n"
    initrd.write_bytes(busybox_initramfs(path("busybox", "busybox"), shell))
    image, append = str(path("linux-cloud", "Image")), "console=ttyAMA0"
    answers = [(b"# \x1b[6n", b"echo se''cret\r"), (b"# \x1b[6n", b"exit\r")]
    record(recording, answers, image=image, initrd=initrd, append=append, cpus=2)
    shown, printed, _ = debug(
        tmp_path, None,
        [
            "continue", "break *($VBAR_EL1 + 0x400) if $x8 == 64 && *(int *) $x1 == 0x72636573", "reverse-continue",
            "x/s $x1", "stepi", "reverse-stepi", "info threads",
        ],
        image, "--initrd", str(initrd), "--append", append, "--cpus", "2", "--replay", str(recording),
    )  # fmt: skip
    assert re.search(r'0x\w+:\s+"secret\\n"', shown), shown
    assert "cpu1" in shown
    assert printed.count("secret") == 1


@pytest.mark.slow
def test_a_recording_has_the_same_states_backwards_and_forwards(tmp_path):
    """U-Boot at its prompt, reset in the middle: at a few counts, the later ones first."""
    fetch("u-boot")
    recording, options = tmp_path / "recording", {"firmware": str(path("u-boot", "u-boot.bin"))}
    answers = [(b"autoboot: ", b"x"), (b"=> ", b"reset\r"), (b"autoboot: ", b"x"), (b"=> ", b"poweroff\r")]
    record(recording, answers, **options)
    with Machine(replay=recording, clock="instructions", **options) as machine:
        history = machine.keep_history()
        machine.run(timeout=100)
        end, printed = history.count, bytes(machine.console.output)
        counts = [end * share // 10 for share in (1, 3, 5, 6, 9)] + [end]
        backwards = {}
        for count in reversed(counts):
            history.go_to(count)
            backwards[count] = digest(machine)
        assert bytes(machine.console.output) == printed
    assert printed.count(b"Hit any key") == 2
    with Machine(replay=recording, clock="instructions", **options) as machine:
        for count in counts[:-1]:
            machine.run(max_instructions=count - machine.instructions)
            assert (count, digest(machine)) == (count, backwards[count])
        machine.run(timeout=100)
        assert (machine.instructions, digest(machine)) == (end, backwards[end])


def linux(tmp_path: Path, script: bytes, *modules: str) -> tuple[str, ...]:
    """Options of `run` that boot Debian's kernel on two CPUs to a script of busybox's shell."""
    for name in ("linux-cloud", "busybox"):
        fetch(name)
    initrd = tmp_path / "initramfs.cpio"
    files = [path("linux-cloud", name) for name in modules]
    initrd.write_bytes(busybox_initramfs(path("busybox", "busybox"), script, modules=files))
    image = str(path("linux-cloud", "Image"))
    return image, "--initrd", str(initrd), "--append", "console=ttyAMA0", "--cpus", "2", "--history", "256M"


@pytest.mark.slow
def test_back_over_a_panic_is_who_called_it(tmp_path):
    """From panic() to the call, to the system call that led to it, and forth to panic() again."""
    shown, _, status = debug(
        tmp_path, None,
        [
            "break panic", "continue", "x/s $x0", "reverse-stepi", "x/i $pc", "delete",
            "break __arm64_sys_write", "reverse-continue", "monitor backtrace", "delete", "break panic", "continue",
            "x/s $x0", "kill",
        ],
        *linux(tmp_path, b"echo c >/proc/sysrq-trigger\n"), "--no-reboot",
    )  # fmt: skip
    assert re.search(r"=> 0x\w+ <sysrq_handle_crash\+\d+>:\s+bl\s+0x\w+ <panic>", shown), shown
    assert re.search(r"#0 0x\w+ __arm64_sys_write\S*\n#1 0x\w+ invoke_syscall", shown), shown
    assert shown.count("sysrq triggered crash") == 2
    assert status == 0


@pytest.mark.slow
def test_a_disk_goes_back_with_the_guest(tmp_path):
    """The host's file is what the guest has written by then; going on, it reads what it had read."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    script = b"""md5sum </dev/vda; yes | head -c 4096 | dd of=/dev/vda conv=fsync,notrunc 2>/dev/null
    md5sum </dev/vda; poweroff -f
    """
    look = f"shell head -c 4 {disk} | od -An -tx1"
    shown, printed, _ = debug(
        tmp_path, None,
        [
            "break __arm64_sys_reboot", "continue", look, "break vfs_fsync_range", "reverse-continue", look,
            "continue", look, "delete", "continue", look,
        ],
        *linux(tmp_path, script, *VIRTIO_MODULES), "--disk", str(disk),
    )  # fmt: skip
    written = "79 0a 79 0a"
    assert re.findall(r"^ (\w\w \w\w \w\w \w\w)$", shown, re.MULTILINE) == [written, "00 00 00 00", written, written]
    assert printed.count("b6d81b360a5672d80c27430f39153e2c") == 1, printed  # of a MiB of zeroes
    assert disk.read_bytes()[:4096] == b"y\n" * 2048


LINES = """\
unsigned total;
static __attribute__((noinline)) unsigned twice(unsigned n)
{
    return n + n;
}
int main(void)
{
    total = 1;
    total += twice(20);
    total += 1;
    return 0;
}
"""


def test_lines_of_a_program_are_gone_back(tmp_path):
    """reverse-next goes over a line's call, reverse-step into the function, to its last line."""
    elf = str(c_guest.build(tmp_path, LINES, "-g", "-O0"))
    shown, _, status = debug(
        tmp_path, elf,
        [
            "break main.c:11", "continue", "print total", "reverse-next", "print total", "reverse-next", "print total",
            "next", "print total", "reverse-step", "reverse-step", "info frame", "reverse-finish", "print total",
            "delete", "continue",
        ],
        elf, "--history", "64M",
    )  # fmt: skip
    assert re.findall(r"^\$\d+ = (\d+)$", shown, re.MULTILINE) == ["42", "41", "1", "41", "1"]
    assert re.search(r"pc = 0x\w+ in twice \(", shown), shown
    assert status == 0
