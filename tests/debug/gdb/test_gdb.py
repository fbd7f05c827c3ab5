"""Debian's gdb-multiarch debugs guests: source lines, watchpoints, conditions, several CPUs, levels, `load`, `run`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from c_guest import build
from gdb_session import Run, gdb

DOCS = Path("docs")
GUESTS = Path("guests/bin").absolute()
MAIN = """\
struct point { int x, y; };
struct point points[4];
volatile unsigned total;

__attribute__((noinline)) static int sum(const struct point *p, int count) {
    int found = 0;
    for (int i = 0; i < count; i++)
        found += p[i].x * p[i].y;
    return found;
}

__attribute__((noinline)) static void set(struct point *p, int i) {
    p->x = i;
    p->y = i * 10;
}

int main(void) {
    for (int i = 0; i < 4; i++)
        set(&points[i], i);
    for (int i = 0; i < 20000; i++)
        total += i;
    total = sum(points, 4);
    return 0;
}
"""


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    """A guest of C with DWARF, without optimisation."""
    return build(tmp_path_factory.mktemp("guest"), MAIN, "-O0", "-g", "-fno-omit-frame-pointer")


def test_lines_are_stepped_and_functions_finished(guest, tmp_path):
    """break, backtrace, next, step, finish, print of a structure, and the end of the guest."""
    with Run(tmp_path, guest) as run:
        said = run.gdb(
            "break main", "continue", "next", "step", "backtrace", "info args", "finish", "print points[0]",
            "break sum", "continue", "finish", "delete", "continue", elf=guest,
        )  # fmt: skip
        assert re.search(r"Breakpoint 1, main \(\) at .*main.c:\d+", said), said
        assert re.search(r"#0  set \(p=0x[0-9a-f]+ <points>, i=0\) at .*\n#1  0x[0-9a-f]+ in main \(\)", said), said
        assert "i = 0" in said
        assert "$1 = {x = 0, y = 0}" in said
        assert "Value returned is $2 = 140" in said
        assert "exited normally" in said
        assert run.end()[0] == 0


def test_a_watched_variable_shows_its_values(guest, tmp_path):
    """watch, rwatch with a condition, and a watch of one member of an array."""
    with Run(tmp_path, guest) as run:
        said = run.gdb(
            "watch points[2].y", "continue", "backtrace 1", "delete", "rwatch points[3].x", "continue", "info line",
            "kill", elf=guest,
        )  # fmt: skip
        assert re.search(r"Old value = 0\nNew value = 20\n", said), said
        assert "set (p=" in said
        assert re.search(r"Hardware read watchpoint 2: points\[3\].x\n\nValue = 3", said), said
        assert run.end()[0] == 0


def test_a_condition_is_evaluated_by_the_stub(guest, tmp_path):
    """20,000 times false in a few seconds, with the values of the frame's variables."""
    line = MAIN[: MAIN.index("total += i")].count("\n") + 1
    with Run(tmp_path, guest) as run:
        said = run.gdb(
            "set breakpoint condition-evaluation target", f"break main.c:{line} if i == 19999", "continue", "print i",
            "print total", "kill", elf=guest,
        )  # fmt: skip
        assert "$1 = 19999" in said, said
        assert f"$2 = {sum(range(19999))}" in said


def test_functions_of_the_guest_are_called(guest, tmp_path):
    """And every register is then what it was, system registers too."""
    with Run(tmp_path, guest) as run:
        said = run.gdb(
            "tbreak sum", "continue", "print sum(points, 3)", "call set(&points[0], 7)", "print points[0]",
            "info symbol $pc", "continue", elf=guest,
        )  # fmt: skip
        assert "$1 = 50" in said, said
        assert "$2 = {x = 7, y = 70}" in said
        assert "sum + 16" in said
        assert "exited normally" in said


def test_two_cpus(tmp_path):
    """Both are threads; one steps while the other stands, and each has its own stack and registers."""
    elf = GUESTS / "smp.elf"
    with Run(tmp_path, elf, "--cpus", "2") as run:
        said = run.gdb(
            "info threads", "break ticket_lock", "continue", "info threads", "thread 2", "print/x $MPIDR_EL1",
            "thread 1", "print/x $MPIDR_EL1", "stepi", "stepi", "info threads", "delete", "continue", elf=elf,
        )  # fmt: skip
        assert 'Thread 2 "cpu1" (switched off)' in said, said
        assert '"cpu1" (EL1h' in said, said
        assert "$1 = 0x80000001" in said
        assert "$2 = 0x80000000" in said
        assert "exited normally" in said
        status, out, _ = run.end()
        assert (status, "0 failed" in out) == (0, True)


def test_a_hypervisor_and_its_guest(tmp_path):
    """A guest that starts at EL2: its registers, and a breakpoint at EL1, whose addresses are translated twice."""
    elf = GUESTS / "el2.elf"
    with Run(tmp_path, elf, "--el", "2") as run:
        said = run.gdb(
            "print ($cpsr >> 2) & 3", "break main", "continue", "print/x $HCR_EL2", "print/x $VBAR_EL2",
            "tbreak *(guest_main + 0x40000000)", "continue", "print ($cpsr >> 2) & 3", "print $HCR_EL2 & 1",
            "x/xw guest_main", "print *(int *) $pc != 0", "maintenance packet Qqemu.PhyMemMode:1",
            "print *(int *) guest_main != 0", "delete", "continue", elf=elf,
        )  # fmt: skip
        assert [line[5:] for line in said.splitlines() if line.startswith("$")] == [
            "2", "0x80000000", "0x40084000", "1", "1", "1", "1"
        ], said  # fmt: skip
        assert "Cannot access memory at address 0x40081a54" in said  # which stage 2 maps elsewhere
        assert run.end()[0] == 0


def test_an_image_is_loaded_and_run(guest, tmp_path):
    """`load` into RAM, the entry point in $pc, and the guest's end; nothing but zeroes was there before."""
    (tmp_path / "nothing").write_bytes(bytes(64))
    with Run(tmp_path, tmp_path / "nothing") as run:
        said = run.gdb("load", "print $pc == _start", "break main", "continue", "delete", "continue", elf=guest)
        assert "Transfer rate" in said, said
        assert "$1 = 1" in said
        assert "Breakpoint 1, main" in said
        assert "exited normally" in said


def test_flash_is_loaded_by_blocks(tmp_path):
    """An image that is linked at 0: gdb erases and programs flash, and has no software breakpoint there."""
    elf = GUESTS / "hello.elf"
    with Run(tmp_path, elf) as run:
        image = tmp_path / "image.bin"
        image.write_bytes(bytes(range(256)) * 40)
        said = run.gdb(f"restore {image} binary 0x1000", "info mem", "x/8xb 0x1000", "kill", elf=elf)
        assert "flash blocksize 0x40000" in said
        assert "Writing to flash memory forbidden" in said, said


def test_the_machine_is_run_again(guest, tmp_path):
    """`target extended-remote`, run twice, then kill."""
    with Run(tmp_path, guest) as run:
        said = gdb(
            f"target extended-remote {run.socket}", "break main", "run", "run", "info breakpoints", "kill",
            "disconnect", elf=guest,
        )  # fmt: skip
        assert said.count("Breakpoint 1, main") == 2, said
        assert said.count("already hit 1 time") == 1
        assert run.end()[0] == 0


def test_one_gdb_after_the_other(guest, tmp_path):
    """Detached, the guest goes on, without the breakpoints; the next one may interrupt it where it is then."""
    elf = GUESTS / "echo.elf"
    with Run(tmp_path, elf) as run:
        first = run.gdb("break main", "continue", "detach", elf=elf)
        assert "Breakpoint 1" in first, first
        assert "detached" in first
        second = run.gdb("info registers pc", "backtrace", "kill", elf=elf)
        assert re.search(r"pc +0x", second), second
        assert run.end()[0] == 0


def test_a_crash_can_be_looked_at(tmp_path):
    """SIGSEGV where it is, and status 3 after that."""
    elf = GUESTS / "crash.elf"
    with Run(tmp_path, elf) as run:
        said = run.gdb("continue", "backtrace", "print/x $ESR_EL1", "continue", elf=elf)
        assert "endless exception loop" in said, said
        assert "SIGSEGV" in said
        assert "in main ()" in said
        assert "exited with code 03" in said
        status, _, err = run.end()
        assert (status, "endless exception loop" in err) == (3, True)


def test_physical_memory_devices_and_the_monitor(guest, tmp_path):
    """As on QEMU: Qqemu.PhyMemMode, a device's register, a command of the monitor's."""
    with Run(tmp_path, guest) as run:
        said = run.gdb(
            "maintenance packet Qqemu.PhyMemMode:1", "x/4xw 0x09000fe0", "x/xw 0x7000000000", "monitor info cpus",
            "monitor nonsense", "find /w 0x40080000, +0x1000, 0x84000008", "kill", elf=guest,
        )  # fmt: skip
        assert "0x00000011\t0x00000010\t0x00000014\t0x00000000" in said, said
        assert "Cannot access memory at address 0x7000000000" in said
        assert "cpu0" in said
        assert "nonsense" in said


def test_an_older_gdb_without_features_works(guest, tmp_path):
    """No target description of ours, no vCont, no X, no conditions, no acknowledged breakpoint reasons."""
    off = ("target-features", "verbose-resume", "binary-download", "conditional-breakpoints-packet", "swbreak-feature",
           "hwbreak-feature", "noack", "threads", "memory-map")  # fmt: skip
    with Run(tmp_path, guest) as run:
        said = gdb(
            "set architecture aarch64", *(f"set remote {each}-packet off" for each in off if "packet" not in each),
            f"target remote {run.socket}", "break sum", "continue", "backtrace", "stepi", "print points[3]", "kill",
            elf=guest,
        )  # fmt: skip
        assert "Breakpoint 1, sum" in said, said
        assert "$1 = {x = 3, y = 30}" in said


def test_the_documents_session_is_what_gdb_says(tmp_path):
    """docs/gdb.md, letter for letter but for blank lines."""
    text = (DOCS / "gdb.md").read_text()
    session = re.search(r"^\$ gdb-multiarch (\S+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    commands = re.findall(r"^\(gdb\) (.*)$", session[2], re.MULTILINE)
    with Run(tmp_path, session[1]) as run:
        commands[0] = f"target remote {run.socket}"
        said = gdb(*commands, elf=session[1])
    shown = [line for line in session[2].splitlines() if not line.startswith("(gdb) ")]
    assert [line for line in said.splitlines() if line] == shown, said
