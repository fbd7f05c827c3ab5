"""What Linux users do: one boot that does a load after the other, and the CPU time of the process at each mark.

The guest prints `@@name` after each load. Both sides boot the same kernel and initramfs, without address space
randomisation: QEMU's board passes a seed for it, with which Linux isolates its page tables there and not here.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from armvcpu.testing.firmware.initramfs import archive, busybox_initramfs, file
from armvcpu.testing.firmware.store import fetch, path
from bench.pairs import environment, pair, run
from bench.rows import paired

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.rows import Pair

PROGRAM = Path(__file__).parent.parent / "guests" / "bin" / "linux" / "loads.elf"
APPEND = "console=ttyAMA0 loglevel=1 nokaslr"
MARK, OFF = "@@", "Power down"
BOOT, BOOT_LIMIT, LOAD_LIMIT, SUM_LIMIT = "boot to a shell", 0.95, 1.0, 0.9
LOADS = {
    "300,000 system calls": "dd if=/dev/zero of=/dev/null bs=1 count=150000 2>/dev/null",
    "shell loop, 60,000 rounds": "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done",
    "150 forks and execs": "for i in $(seq 150); do /bin/true; done",
    "48 MB written to tmpfs": "dd if=/dev/zero of=/tmp/x bs=1M count=48 2>/dev/null",
    "md5 of 48 MB": "md5sum /tmp/x >/dev/null",
    "gzip of 48 MB": "gzip -1 -c /tmp/x >/dev/null; rm /tmp/x",
    "find in /sys and /proc": "find /sys /proc -maxdepth 4 >/dev/null 2>&1",
    "awk, 200,000 rounds": "awk 'BEGIN{for(i=0;i<200000;i++)s+=i*1.5; print s}' >/dev/null",
    "12 pipelines of four": "for i in $(seq 12); do echo a | cat | cat | cat >/dev/null; done",
    "page faults, 10 times 64 MB": "/loads faults || echo failed",
    "20,000 context switches": "/loads switches || echo failed",
}
TMPFS = "mount -t tmpfs tmpfs /tmp\n"
BUSY = "busy() { i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; }; busy & busy & wait"
"""Two processes that compute, and share nothing."""


def script(loads: dict[str, str]) -> str:
    """For the initramfs: the loads with their marks, and the end."""
    marked = "".join(f"{command}\necho '{MARK}{name}'\n" for name, command in loads.items())
    return f"{TMPFS}echo '{MARK}{BOOT}'\n{marked}poweroff -f\n"


def initramfs(script: str) -> bytes:
    """Busybox with `script`, and the program of guests/linux beside it (the kernel takes archives one by one)."""
    more = archive([file("loads", PROGRAM.read_bytes(), executable=True)])
    return busybox_initramfs(path("busybox", "busybox"), script.encode()) + more


def commands(armvcpu: str, qemu: list[str], initrd: Path) -> tuple[list[str], list[str]]:
    """Both sides' command lines."""
    kernel = str(path("linux-cloud", "Image"))
    ours = [armvcpu, "run", kernel, "--initrd", str(initrd), "--append", APPEND, "--memory", "512M"]
    return ours, [*qemu, "-m", "512", "-kernel", kernel, "-initrd", str(initrd), "-append", APPEND]


def cpu_seconds(pid: int) -> float:
    """Of a whole process that still runs, to the nanosecond: the clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime(~pid << 3 | 2)


def marks(command: list[str]) -> dict[str, float]:
    """CPU seconds of each load, the boot first; RuntimeError where one failed."""
    seconds: dict[str, float] = {}
    last, output = 0.0, ""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment(),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            before, is_mark, name = line.rstrip().partition(MARK)
            if is_mark and not before:
                now = cpu_seconds(process.pid)
                seconds[name], last = now - last, now
            else:
                output += line
    if process.returncode or OFF not in output or "failed" in output:
        raise RuntimeError(f"{command[0]} came to {list(seconds)}; its output ends in {output[-300:]!r}")
    return seconds


def loads(rounds: int, armvcpu: str, qemu: list[str]) -> Iterator[Pair]:
    """A row for each load, and one for all of them."""
    _fetch()
    with tempfile.TemporaryDirectory() as directory:
        initrd = Path(directory) / "initramfs.cpio"
        initrd.write_bytes(initramfs(script(LOADS)))
        ours, theirs = commands(armvcpu, qemu, initrd)
        results = [(marks(ours), marks(theirs)) for _ in range(rounds)]
    for name in (BOOT, *LOADS):
        limit = BOOT_LIMIT if name == BOOT else LOAD_LIMIT
        yield paired(f"Linux: {name}, CPU", [(mine[name], other[name]) for mine, other in results], "s", limit)
    sums = [(sum(mine.values()), sum(other.values())) for mine, other in results]
    yield paired("Linux: all of these, CPU", sums, "s", SUM_LIMIT)


def linux(rounds: int, armvcpu: str, qemu: list[str]) -> Iterator[Pair]:
    """By instructions beside the host's clock, and two CPUs beside one: both sides are armvcpu."""
    _fetch()
    with tempfile.TemporaryDirectory() as directory:
        initrd = Path(directory) / "initramfs.cpio"
        initrd.write_bytes(initramfs("poweroff -f\n"))
        one, _ = commands(armvcpu, qemu, initrd)
        counted, two = [*one, "--clock", "instructions"], [*one, "--cpus", "2"]
        for name, other, limit in (
            ("by instructions, beside the host's clock", counted, 1.3),
            ("2 CPUs, beside 1", two, 1.15),
        ):
            yield pair(f"Linux to shell and off, {name}, CPU", partial(_to_the_end, other), partial(_to_the_end, one),
                       rounds, "s", limit, "armvcpu")  # fmt: skip
        initrd.write_bytes(initramfs(script({"busy": BUSY})))
        yield pair("Linux: two busy processes on 2 CPUs, beside 1, CPU", lambda: marks(two)["busy"],
                   lambda: marks(one)["busy"], rounds, "s", 1.15, "armvcpu")  # fmt: skip


def _to_the_end(command: list[str]) -> float:
    return run(command, "", OFF).cpu


def _fetch() -> None:
    for name in ("linux-cloud", "busybox"):
        fetch(name)
