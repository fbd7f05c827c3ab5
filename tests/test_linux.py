"""Debian's cloud kernel to a busybox shell: boots, time, interrupts, work on several CPUs, ends, and unusable input.

The first use fetches kernel and busybox with apt (`armvcpu firmware fetch linux-cloud busybox`); without a network use
`-m "not firmware"`.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys

import pytest
from conversation import Conversation
from machine.image_bytes import make_zboot

from armvcpu import Machine, MemoryConsole
from armvcpu.arch.idregs import model, presented
from armvcpu.arch.registers import by_name
from armvcpu.machine.outcome import Ending
from armvcpu.testing.firmware import store
from armvcpu.testing.firmware.initramfs import VIRTIO_MODULES, busybox_initramfs

pytestmark = pytest.mark.firmware

PROMPT = "armvcpu# "
BANNER = "Booting Linux on physical CPU 0x0"
CONSOLE = "console=ttyAMA0"
MIB = 1 << 20
SMP = [(1, "a72"), (2, "a72"), (4, "a72")]
TROUBLE = re.compile(r".*(?:\bBUG\b|\bOops\b|WARNING|rcu.*stall|soft lockup|hung task|spurious).*", re.IGNORECASE)


@pytest.fixture(scope="module")
def kernel():
    """The kernel's Image; an error, not a skip, where it cannot be had."""
    store.fetch("linux-cloud")
    return store.path("linux-cloud")


@pytest.fixture(scope="module")
def initramfs(tmp_path_factory):
    """Writes an initramfs whose shell runs `script` first; its path."""
    store.fetch("busybox")

    def write(script: str = ""):
        file = tmp_path_factory.mktemp("initramfs") / "initramfs.cpio"
        file.write_bytes(busybox_initramfs(store.path("busybox"), script.encode()))
        return file

    return write


@pytest.fixture(scope="module", params=[*SMP, (1, "max")], ids=lambda param: f"{param[1]}x{param[0]}")
def linux(request, kernel, initramfs):
    """A conversation with a shell, at its prompt; every test of this CPU count and model shares it."""
    cpus, cpu_model = request.param
    append = f"{CONSOLE} loglevel=4"  # what a slow host makes the kernel warn of stays out of the answers
    options = {"cpus": cpus, "cpu_model": cpu_model, "initrd": initramfs(), "append": append}
    with Conversation(kernel, memory=512 * MIB, **options) as conversation:
        conversation.expect(PROMPT)
        yield conversation


every_smp = pytest.mark.parametrize("linux", SMP, indirect=True, ids=lambda param: f"{param[1]}x{param[0]}")
one_cpu = pytest.mark.parametrize("linux", SMP[:1], indirect=True, ids=["a72x1"])


def interrupts(linux: Conversation) -> dict[str, list[int]]:
    """The counts for each CPU by the interrupt's description, from /proc/interrupts."""
    lines = linux.ask("cat /proc/interrupts", PROMPT).splitlines()[1:]
    rows = (re.match(r" *\w+:((?: +\d+)+) +(.*)", line) for line in lines)
    return {row[2].split("  ")[-1].split(" Level ")[-1].strip(): [*map(int, row[1].split())] for row in rows if row}


def test_a_virtio_disk_keeps_what_is_written(kernel, tmp_path):
    """A file system's worth of random sectors goes to the host's file, and comes back; virtio 1.2 5.2."""
    modules = [store.path("linux-cloud", name) for name in VIRTIO_MODULES]
    script = b"dd if=/dev/urandom of=/tmp/x bs=1M count=4; dd if=/tmp/x of=/dev/vda bs=1M; sync; md5sum /tmp/x; "
    script += b"echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vda bs=1M count=4 | md5sum; poweroff -f\n"
    initrd, disk = tmp_path / "initramfs.cpio", tmp_path / "disk"
    initrd.write_bytes(busybox_initramfs(store.path("busybox"), script, modules=modules))
    disk.write_bytes(bytes(16 * MIB))
    console = MemoryConsole()
    options = {"initrd": initrd, "append": f"{CONSOLE} quiet", "disks": (disk,), "memory": 512 * MIB}
    with Machine(kernel, console=console, **options) as machine:
        assert machine.run(timeout=60).status == 0
    sums = re.findall(rb"[0-9a-f]{32}", bytes(console.output))
    assert sums == [hashlib.md5(disk.read_bytes()[: 4 * MIB]).hexdigest().encode()] * 2


# --- a running system -----------------------------------------------------------------------------------------


def test_every_cpu_comes_up(linux):
    """PSCI CPU_ON (DEN 0022 5.6); nothing in the kernel's log says that something is wrong."""
    assert linux.ask("nproc", PROMPT) == str(len(linux.machine.cpus))
    assert not TROUBLE.findall(linux.ask("dmesg", PROMPT))


def test_timer_and_ipis_reach_every_cpu(linux):
    """The virtual timer's PPI everywhere, and the SGIs that CPUs send one another."""
    counts, cpus = interrupts(linux), len(linux.machine.cpus)
    assert all(counts["arch_timer"])
    ipis = zip(counts["Rescheduling interrupts"], counts["Function call interrupts"], strict=True)
    assert all(sum(each) for each in ipis) == (cpus > 1)
    assert counts["uart-pl011"][0] > 0


@every_smp
def test_a_pipe_of_32_mib_has_the_right_sum(linux):
    """Two processes, on two CPUs where there are: every byte arrives."""
    answer = linux.ask("dd if=/dev/zero bs=1M count=32 | md5sum", PROMPT)
    assert hashlib.md5(bytes(32 * MIB)).hexdigest() in answer


@every_smp
def test_200_processes(linux):
    """Fork, exec and exit: address spaces come and go, with TLB maintenance on all CPUs."""
    loop = "i=0; while [ $i -lt 200 ]; do /bin/true && i=$((i+1)); done; echo $i"
    assert linux.ask(loop, PROMPT) == "200"


@every_smp
def test_sleep_lasts_as_long_as_it_says(linux):
    """Two seconds of guest time; never less, and hardly more in one of a few tries on a busy host."""
    command = "read a x < /proc/uptime; sleep 2; read b x < /proc/uptime; echo $a $b"
    for _ in range(3):
        before, after = map(float, linux.ask(command, PROMPT).split())
        slept = round(after - before, 2)
        assert slept >= 2.0
        if slept <= 2.1:
            return
    pytest.fail(f"sleep 2 took {slept} s")


@one_cpu
def test_nothing_that_is_typed_is_lost(linux):
    """Far more than the UART's FIFO holds, at once: PL011 (DDI 0183 3.3) hands it over as the driver reads."""
    text = "".join(f"line {number} of what is typed\n" for number in range(200))
    linux.say("cat > /tmp/typed")
    linux.console.feed(text.encode() + b"\x04")
    linux.expect(text.splitlines()[-1])
    linux.expect(PROMPT)
    assert hashlib.md5(text.encode()).hexdigest() in linux.ask("md5sum /tmp/typed", PROMPT)


# --- what the kernel finds ------------------------------------------------------------------------------------


@one_cpu
def test_chosen_tells_how_it_was_booted(linux):
    """Devicetree Specification 3.6 and Linux's binding chosen.txt; the kernel has taken rng-seed out."""
    chosen = "/proc/device-tree/chosen"
    assert linux.ask(f"ls {chosen} | tr '\\n' ' '", PROMPT).split() == [
        "bootargs", "linux,initrd-end", "linux,initrd-start", "name", "stdout-path",
    ]  # fmt: skip
    assert linux.ask(f"cat {chosen}/bootargs", PROMPT).rstrip("\0") == linux.machine.config.append
    assert linux.ask(f"cat {chosen}/stdout-path", PROMPT).rstrip("\0") == "/pl011@9000000"
    start, end = (int(linux.ask(f"xxd -p {chosen}/linux,initrd-{which}", PROMPT), 16) for which in ("start", "end"))
    assert end - start == linux.machine.config.initrd.stat().st_size
    assert "crng init done" in linux.ask("dmesg | head -n 30", PROMPT)


HWCAPS = (
    # Documentation/arm64/elf_hwcaps.rst: the word in /proc/cpuinfo, register, lowest bit of its field, least value
    ("aes", "ID_AA64ISAR0_EL1", 4, 1),
    ("pmull", "ID_AA64ISAR0_EL1", 4, 2),
    ("sha1", "ID_AA64ISAR0_EL1", 8, 1),
    ("sha2", "ID_AA64ISAR0_EL1", 12, 1),
    ("sha512", "ID_AA64ISAR0_EL1", 12, 2),
    ("crc32", "ID_AA64ISAR0_EL1", 16, 1),
    ("atomics", "ID_AA64ISAR0_EL1", 20, 2),
    ("asimdrdm", "ID_AA64ISAR0_EL1", 28, 1),
    ("sha3", "ID_AA64ISAR0_EL1", 32, 1),
    ("sm3", "ID_AA64ISAR0_EL1", 36, 1),
    ("sm4", "ID_AA64ISAR0_EL1", 40, 1),
    ("asimddp", "ID_AA64ISAR0_EL1", 44, 1),
    ("asimdfhm", "ID_AA64ISAR0_EL1", 48, 1),
    ("flagm", "ID_AA64ISAR0_EL1", 52, 1),
    ("flagm2", "ID_AA64ISAR0_EL1", 52, 2),
    ("rng", "ID_AA64ISAR0_EL1", 60, 1),
    ("dcpop", "ID_AA64ISAR1_EL1", 0, 1),
    ("dcpodp", "ID_AA64ISAR1_EL1", 0, 2),
    ("paca", "ID_AA64ISAR1_EL1", 4, 1),
    ("jscvt", "ID_AA64ISAR1_EL1", 12, 1),
    ("fcma", "ID_AA64ISAR1_EL1", 16, 1),
    ("lrcpc", "ID_AA64ISAR1_EL1", 20, 1),
    ("ilrcpc", "ID_AA64ISAR1_EL1", 20, 2),
    ("pacg", "ID_AA64ISAR1_EL1", 24, 1),
    ("frint", "ID_AA64ISAR1_EL1", 32, 1),
    ("sb", "ID_AA64ISAR1_EL1", 36, 1),
    ("fphp", "ID_AA64PFR0_EL1", 16, 1),
    ("asimdhp", "ID_AA64PFR0_EL1", 20, 1),
    ("sve", "ID_AA64PFR0_EL1", 32, 1),
    ("dit", "ID_AA64PFR0_EL1", 48, 1),
    ("uscat", "ID_AA64MMFR2_EL1", 32, 1),
)
ALWAYS = {"fp", "asimd", "evtstrm", "cpuid"}
"""FP and AdvSIMD, which every model has, and what the kernel itself provides."""


def shown(linux: Conversation, register: str, lowest: int) -> int:
    """A field of four bits of an ID register of this machine's CPU model."""
    values = presented(model(linux.machine.config.cpu_model), gicv3=True, pmu=True)
    return values[by_name[register].encoding] >> lowest & 0xF


def test_cpuinfo_agrees_with_the_id_registers(linux):
    """Every feature that is shown and no other, on every CPU."""
    expected = {word for word, register, lowest, least in HWCAPS if shown(linux, register, lowest) >= least}
    lines = linux.ask("grep Features /proc/cpuinfo", PROMPT).splitlines()
    assert len(lines) == len(linux.machine.cpus)
    assert all(set(line.partition(":")[2].split()) == ALWAYS | expected for line in lines)


def test_detected_cpu_features_agree_with_the_id_registers(linux):
    """The kernel's own report at boot."""
    lines = linux.ask("dmesg | grep 'CPU features: detected'", PROMPT).splitlines()
    detected = {line.rpartition("detected: ")[2] for line in lines}
    assert {"GIC system register CPU interface", "CRC32 instructions"} <= detected
    for words, register, lowest in (
        ("LSE atomic instructions", "ID_AA64ISAR0_EL1", 20),
        ("Privileged Access Never", "ID_AA64MMFR1_EL1", 20),
        ("Common not Private translations", "ID_AA64MMFR2_EL1", 0),
    ):
        assert (words in detected) == bool(shown(linux, register, lowest)), words


# --- how it is packed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [bytes, make_zboot], ids=["gzip", "EFI zboot"])
def test_a_packed_kernel_is_placed_and_entered_as_the_plain_one(kernel, tmp_path, wrap):
    """Debian's own kernel, compressed and wrapped (Documentation/arch/arm64/booting.rst, zboot-header.S)."""
    packed = tmp_path / "vmlinuz"
    packed.write_bytes(wrap(subprocess.run(["gzip", "-1", "-c", kernel], capture_output=True, check=True).stdout))
    with Machine(kernel, memory=512 * MIB) as plain, Machine(packed, memory=512 * MIB) as unpacked:
        assert unpacked.plan.segments[0] == plain.plan.segments[0]
        assert (unpacked.plan.entry, unpacked.plan.x0) == (plain.plan.entry, plain.plan.x0)


# --- how it ends ----------------------------------------------------------------------------------------------


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """`armvcpu run ...` to its end, nothing typed."""
    command = [sys.executable, "-m", "armvcpu", "run", "--timeout", "60", *map(str, words)]
    return subprocess.run(command, input="", capture_output=True, text=True, timeout=90, check=False, errors="replace")


@pytest.mark.parametrize(("cpus", "command"), [(2, "poweroff -f"), (2, "reboot -f")])
def test_poweroff_and_an_unwanted_reboot_end_with_status_0(kernel, initramfs, cpus, command):
    """PSCI SYSTEM_OFF, and SYSTEM_RESET with --no-reboot."""
    options = ("--append", CONSOLE, "--cpus", cpus, "--no-reboot")
    done = run(kernel, "--initrd", initramfs(command), *options)
    assert (done.returncode, done.stderr, done.stdout.count(BANNER)) == (0, "", 1)


def test_reboot_starts_the_kernel_again_on_all_cpus(kernel, initramfs):
    """PSCI SYSTEM_RESET with the other CPU running: devices, RAM and CPUs are as at the start."""
    with Conversation(kernel, initrd=initramfs(), append=CONSOLE, cpus=2) as conversation:
        conversation.expect(PROMPT)
        conversation.say("reboot -f")
        conversation.expect(BANNER)
        conversation.expect(PROMPT)
        assert conversation.ask("nproc", PROMPT) == "2"
        conversation.say("exit")
        assert conversation.end().ending is Ending.POWERED_OFF


def test_a_panicking_kernel_may_reboot(kernel):
    """No root file system: panic=-1 resets at once, and the kernel starts again."""
    with Conversation(kernel, append=f"{CONSOLE} panic=-1") as conversation:
        conversation.expect("Kernel panic - not syncing: VFS: Unable to mount root fs")
        conversation.expect(BANNER)


def test_a_panicked_kernel_ends_at_the_time_out(kernel):
    """Without panic= it says why, and waits for ever."""
    with Conversation(kernel, append=CONSOLE) as conversation:
        conversation.expect("---[ end Kernel panic - not syncing: VFS: Unable to mount root fs")
        assert conversation.end(timeout=0.5).status == 4


# --- unusable input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keep", "words"), [(0, "Initramfs unpacking failed"), (MIB, "unable to mount root fs")])
def test_a_broken_initrd_is_the_kernels_to_report(kernel, initramfs, tmp_path, keep, words):
    """Garbage, and an archive cut short, which the kernel takes as far as it goes: no root either way."""
    broken = tmp_path / "broken"
    broken.write_bytes(initramfs().read_bytes()[:keep] or b"\x5a" * MIB)
    done = run(kernel, "--initrd", broken, "--append", f"{CONSOLE} panic=-1", "--no-reboot")
    assert (done.returncode, done.stderr) == (0, "")
    assert words.lower() in done.stdout.lower()
    assert "Kernel panic" in done.stdout


def test_a_truncated_image_is_refused(kernel, tmp_path):
    """As its section table has it, which Debian's kernel, an EFI application too, brings along."""
    image = tmp_path / "Image"
    image.write_bytes(kernel.read_bytes()[: 13 * MIB])
    assert_refused(image, "a truncated Linux Image")


def test_a_truncated_gzip_is_refused(kernel, tmp_path):
    """No kernel is entered that is not complete."""
    image = tmp_path / "Image.gz"
    compressed = subprocess.run(["gzip", "-1", "-c", str(kernel)], capture_output=True, check=True).stdout
    image.write_bytes(compressed[: len(compressed) // 2])
    assert_refused(image, "truncated")


@pytest.mark.parametrize(
    ("offset", "magic", "words"),
    [(0x202, b"HdrS", "x86 Linux bzImage"), (0x24, b"\x18\x28\x6f\x01", "32-bit Arm Linux zImage")],
)
def test_kernels_of_other_architectures_are_refused_by_name(tmp_path, offset, magic, words):
    """Documentation/arch/x86/boot.rst and arch/arm/boot/compressed/head.S have these magics."""
    image = tmp_path / "vmlinuz"
    image.write_bytes(bytes(offset) + magic.ljust(4096, b"\0"))
    assert_refused(image, words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--memory", "16M"), "outside RAM"),
        (("--memory", "29M", "--initrd", "INITRD"), "no room"),
        (("--cpus", "33"), "--cpus 33: 1 to 32"),
        (("--cpus", "0"), "--cpus 0: 1 to 32"),
        (("--initrd", "/nowhere"), "/nowhere"),
    ],
)
def test_what_does_not_fit_is_refused(kernel, initramfs, options, words):
    """Memory for kernel and initrd, CPUs for the board."""
    assert_refused(kernel, words, *(str(initramfs()) if word == "INITRD" else word for word in options))


def assert_refused(image: object, words: str, *options: str) -> None:
    """Status 2 and one line."""
    done = run(image, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


# --- other systems --------------------------------------------------------------------------------------------


def test_debians_general_kernel_boots_too(tmp_path):
    """The one with every driver, on two CPUs: to a shell, healthy, and off by the power key (PL061)."""
    for name in ("linux", "busybox"):
        store.fetch(name)
    initrd = tmp_path / "initramfs.cpio"
    modules = [store.path("linux", name) for name in ("evdev.ko", "gpio_keys.ko")]
    initrd.write_bytes(busybox_initramfs(store.path("busybox"), modules=modules))
    options = {"initrd": initrd, "append": CONSOLE, "cpus": 2, "memory": 512 * MIB}
    with Conversation(store.path("linux"), **options) as conversation:
        conversation.expect(PROMPT)
        assert conversation.ask("nproc", PROMPT) == "2"
        assert not TROUBLE.findall(conversation.ask("dmesg", PROMPT))
        conversation.say("head -c 24 /dev/input/event0 >/tmp/event & sleep 1; echo waiting; wait; poweroff -f")
        conversation.expect("waiting\r\n")
        conversation.machine.press_power_key()
        assert conversation.end().status == 0


@pytest.mark.slow
def test_debians_installer_reaches_its_first_screen():
    """A large initrd, udev, and a full-screen dialogue on the console."""
    store.fetch("debian-installer")
    kernel, initrd = (store.path("debian-installer", name) for name in ("linux", "initrd.gz"))
    with Conversation(kernel, initrd=initrd, append=CONSOLE, memory=1024 * MIB) as conversation:
        conversation.expect("Select a language", timeout=300)
        conversation.expect("English")


# --- for long -------------------------------------------------------------------------------------------------

STRESS = """
work() {
  while read now rest < /proc/uptime && [ ${now%%.*} -lt %d ]; do
    for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true || echo WRONG true; done
    [ "$(dd if=/dev/zero bs=64k count=32 2>/dev/null | md5sum)" = "%s  -" ] || echo WRONG sum
    [ "$(seq 2000 | sort -rn | tail -n 1)" = 1 ] || echo WRONG pipe
    [ "$(cat /tmp/$1 /tmp/$1 | wc -c)" = 40000 ] || echo WRONG file
  done
}
for n in 1 2 3 4 5 6; do head -c 20000 /dev/urandom > /tmp/$n; work $n & done
wait
echo rounds are over
poweroff -f
"""


@pytest.mark.slow
def test_four_busy_cpus_stay_healthy(kernel, initramfs):
    """Forks, pipes and sums in parallel, for ARMVCPU_STRESS_SECONDS of guest time: all right, and a clean end."""
    seconds = int(os.environ.get("ARMVCPU_STRESS_SECONDS", "600"))
    script = STRESS % (seconds, hashlib.md5(bytes(2 * MIB)).hexdigest())
    with Conversation(kernel, initrd=initramfs(script), append=CONSOLE, cpus=4, memory=512 * MIB) as conversation:
        outcome = conversation.end(timeout=seconds * 2 + 120)
        said = conversation.console.output.decode(errors="replace")
        assert (outcome.status, TROUBLE.findall(said)) == (0, []), said[-2000:]
        assert "rounds are over" in said
        assert "WRONG" not in said
