"""`armvcpu run` as its users meet it: statuses, outputs, traces, semihosting, and one line for every mistake."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from raw_guest import (
    BASE,
    FOREVER,
    HLT_SEMIHOSTING,
    HOLE,
    SYSTEM_OFF,
    SYSTEM_RESET,
    UART,
    UDF,
    WFI,
    add,
    branch,
    image,
    load,
    mov,
    mrs,
    print_text,
    psci,
    set_vectors,
    store,
)  # fmt: skip

from armvcpu.cli import COMMANDS, cli
from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.machine import Machine

GUESTS = Path(__file__).parents[2] / "guests" / "bin"
HELLO = str(GUESTS / "hello.elf")
COMMAND = [sys.executable, "-m", "armvcpu"]
OFF = psci(SYSTEM_OFF)
RAM, MIB = 0x4000_0000, 1 << 20
FOREVER_WFI = [*mov(1, UART + 0x38), *mov(2, 0x10), store(2, 1, 4), WFI, branch(-1)]
"""UARTIMSC.RXIM: waits for keys, and takes none."""
READY = [*print_text("ready\n"), FOREVER]
"""Prints a line and loops for ever."""


def armvcpu(*words: object, stdin: bytes | None = b"", **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run `armvcpu ...` to its end."""
    command = [*COMMAND, *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False, **options)


@pytest.fixture
def raw(tmp_path):
    """Write instruction words as a raw image; its path."""

    def raw(*words: int | list[int], name: str = "guest.bin", vector: list[int] | None = None) -> Path:
        (tmp_path / name).write_bytes(image(*words, vector=vector))
        return tmp_path / name

    return raw


# --- statuses


@pytest.mark.parametrize(
    ("code", "options", "status", "stderr"),
    [
        (OFF, (), 0, b""),
        (psci(SYSTEM_RESET), ("--no-reboot",), 0, b""),
        ([0xFFFF_0000], (), 3, b"armvcpu: cpu0 stopped: undefined instruction or unknown reason: .inst 0xffff0000, at"),
        ([FOREVER], ("--timeout", "0.1"), 4, b"armvcpu: time-out; PC 0x40080000\nbacktrace #0 0x0000000040080000\n"),
        ([FOREVER], ("--max-instructions", "100"), 4, b"armvcpu: instruction limit: 100 executed; PC 0x40080000\n"),
    ],
)
def test_status_says_how_it_ended(raw, code, options, status, stderr):
    """0: as the guest asked, 3: it crashed, 4: a limit."""
    done = armvcpu("run", raw(code), *options)
    assert (done.returncode, done.stdout) == (status, b"")
    assert done.stderr == stderr or (stderr and done.stderr.strip().startswith(stderr))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_run_with_its_status(raw, number):
    """128 + n, while the guest computes; what it printed is complete."""
    with subprocess.Popen([*COMMAND, "run", raw(READY)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(number)
        assert child.wait(20) == 128 + number


def test_a_signal_that_is_ignored_stays_so(raw):
    """As under nohup."""
    command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *COMMAND, "run", raw(READY)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGHUP)
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 128 + signal.SIGTERM


# --- terminal


class Terminal:
    """A command with a pseudo-terminal as its standard input and output."""

    def __init__(self, *words: object) -> None:
        self.keyboard, self.tty = os.openpty()
        self.before = termios.tcgetattr(self.tty)
        command = [*COMMAND, *map(str, words)]
        self.child = subprocess.Popen(command, stdin=self.tty, stdout=self.tty, stderr=self.tty, start_new_session=True)

    def read_until(self, text: bytes) -> bytes:
        """What appears on the screen, up to and with `text`."""
        screen, deadline = b"", time.monotonic() + 20
        while text not in screen and time.monotonic() < deadline:
            if select.select([self.keyboard], [], [], 1)[0]:
                screen += os.read(self.keyboard, 4096)
        assert text in screen
        return screen

    def what_is_left(self) -> bytes:
        """Of the screen, once the command has ended."""
        screen = b""
        while select.select([self.keyboard], [], [], 0)[0]:
            screen += os.read(self.keyboard, 4096)
        return screen

    def ends_restored(self) -> int:
        """The command's status, once its terminal is as it was before."""
        status = self.child.wait(20)
        assert termios.tcgetattr(self.tty) == self.before
        return status


@pytest.fixture
def terminal():
    """Start commands in a terminal; ends them all."""
    opened = []

    def terminal(*words: object) -> Terminal:
        opened.append(Terminal(*words))
        return opened[-1]

    yield terminal
    for each in opened:
        each.child.kill()
        each.child.wait()
        os.close(each.keyboard)
        os.close(each.tty)


def test_ctrl_a_x_quits_with_status_0(terminal, raw):
    """The terminal is raw while the guest runs, and as before afterwards."""
    session = terminal("run", raw(READY))
    session.read_until(b"ready")
    assert termios.tcgetattr(session.tty) != session.before
    os.write(session.keyboard, b"\x01x")
    assert session.ends_restored() == 0


def test_ctrl_a_x_tells_where_a_guest_hangs(terminal, raw):
    """One that computes; who quits while the guest waits for a key hears nothing."""
    session = terminal("run", raw(READY))
    session.read_until(b"ready")
    os.write(session.keyboard, b"\x01x")
    assert b"armvcpu: ended from the console; PC 0x" in session.read_until(b"backtrace #0 0x")
    assert session.ends_restored() == 0
    session = terminal("run", raw(print_text("ready\n"), FOREVER_WFI, name="waits.bin"))
    session.read_until(b"ready")
    os.write(session.keyboard, b"\x01x")
    assert session.ends_restored() == 0
    assert b"armvcpu: ended" not in session.what_is_left()


def test_time_out_tells_what_the_guest_handles(raw):
    """An exception whose handler does not return: in some lines, and in JSON as a crash is."""
    path = raw(set_vectors(), HLT_SEMIHOSTING, vector=[FOREVER])
    done = armvcpu("run", path, "--timeout", "0.3", "--json")
    lines, facts = done.stderr.decode().splitlines(), json.loads(done.stdout)
    assert lines == [
        f"armvcpu: time-out; PC {BASE + 0xA00:#x}",
        f"handles   undefined instruction or unknown reason: hlt #0xf000, at {BASE + 24:#x}",
        "ESR_EL1   0x02000000 undefined instruction or unknown reason",
        f"ELR_EL1   {BASE + 24:#018x}",
        f"backtrace #0 {BASE + 24:#018x}",
        "hint      the guest makes a semihosting call (HLT #0xF000): run it with --semihosting",
    ]
    hang = facts["hang"]
    assert (hang["fault"]["kind"], hang["fault"]["elr"], hang["fault"]["el"]) == ("UNKNOWN", f"{BASE + 24:#x}", 1)
    assert (facts["crash"], hang["hint"]) == (None, lines[-1].removeprefix("hint      "))


def test_an_instruction_limit_has_its_report_for_machines(raw):
    """As a time-out has; and the words for people stay one line."""
    done = armvcpu("run", raw(FOREVER), "--clock", "instructions", "--max-instructions", "1000", "--json")
    facts = json.loads(done.stdout)
    assert done.stderr.decode().splitlines() == [f"armvcpu: {facts['reason']}; PC {BASE:#x}"]
    assert (facts["crash"], facts["hang"]["pc"], facts["hang"]["reason"]) == (None, f"{BASE:#x}", facts["reason"])
    assert facts["hang"]["backtrace"]
    assert facts["hang"]["code"]


def test_bug_of_ours_is_one_line():
    """With its place, and its own status; no traceback."""
    program = "from armvcpu import cli; cli._status = lambda *_: {}['unforeseen']; cli.main(['run'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert done.returncode == 70
    assert done.stderr == b"armvcpu: internal error, please report it: KeyError: 'unforeseen' (<string>:1)\n"


def test_a_terminal_is_told_how_to_quit(terminal, raw):
    """One line before the guest's own; from a pipe there is none. The help has the keys that there are."""
    session = terminal("run", raw(READY))
    screen = session.read_until(b"ready")
    assert screen.index(b"Ctrl-A X quits, Ctrl-A H helps") < screen.index(b"ready")
    os.write(session.keyboard, b"\x01h")
    shown = session.read_until(b"send Ctrl-A to the guest")
    assert b"Ctrl-A X       end the run" in shown
    assert b"Ctrl-A C       the monitor" in shown
    os.write(session.keyboard, b"\x01x")
    assert session.ends_restored() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_restores_the_terminal(terminal, raw, number):
    """128 + n."""
    session = terminal("run", raw(READY))
    session.read_until(b"ready")
    session.child.send_signal(number)
    assert session.ends_restored() == 128 + number


@pytest.mark.parametrize(("code", "status"), [([UDF], 3), (OFF, 0)])
def test_every_end_restores_the_terminal(terminal, raw, code, status):
    """A crash and a power-off."""
    session = terminal("run", raw(print_text("ready\n"), code))
    session.read_until(b"ready")
    assert session.ends_restored() == status


def test_keys_reach_the_guest(terminal):
    """Ctrl-C too, which is the guest's; Ctrl-A Ctrl-A is one Ctrl-A."""
    session = terminal("run", GUESTS / "echo.elf")
    session.read_until(b"quit powers off")
    os.write(session.keyboard, b"a\x03b\x01\x01c\r")
    session.read_until(b"echo: a\x03b\x01c")
    os.write(session.keyboard, b"quit\r")
    assert session.ends_restored() == 0


# --- pipes


def test_piped_input_reaches_the_guest_and_its_end_is_not_the_end():
    """Every byte of it, and the guest goes on after EOF."""
    done = armvcpu("run", GUESTS / "echo.elf", stdin=b"one\ntwo\x01x\nquit\n")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:3] == [b"echo: one", b"echo: two\x01x"]


def test_guest_goes_on_after_the_end_of_input():
    """Without `quit`, echo waits for ever."""
    done = armvcpu("run", GUESTS / "echo.elf", "--timeout", "0.5", stdin=b"one\n")
    assert (done.returncode, b"echo: one" in done.stdout) == (4, True)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_reader_that_leaves_ends_the_run_quietly(raw, options):
    """As `| head -1` does: 128 + SIGPIPE, and nothing on stderr."""
    code = [*mov(1, UART), *mov(2, 10), store(2, 1, 1), branch(-1)]
    command = [*COMMAND, "run", str(raw(code)), *options]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        child.stdout.read(1)
        child.stdout.close()
        assert (child.wait(20), child.stderr.read()) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize(("closed", "status"), [("<&-", 0), ("2>&-", 0), (">&-", 2), ("<&- >&- 2>&-", 2)])
def test_closed_descriptors_are_no_trouble(closed, status):
    """The guest still boots and ends; that nobody can have what it printed is told, and a status."""
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "run", HELLO]
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False, timeout=20)
    assert done.returncode == status
    line = b"armvcpu: stdout can't be written: it is closed\n"
    assert done.stderr == (line if closed == ">&-" else b"")


# --- outcome as JSON


def test_json_outcome_is_the_last_line(raw):
    """Status, kind of end, reason, PC and, when counted, instructions."""
    done = armvcpu("run", raw(print_text("hi\n"), FOREVER), "--json", "--max-instructions", "1000")
    assert done.stdout.splitlines()[0] == b"hi"
    facts = json.loads(done.stdout.splitlines()[-1])
    hang = facts.pop("hang")
    assert (hang["pc"], hang["instructions"]) == (f"{BASE + 76:#x}", 1000)
    assert facts == {
        "status": 4, "ending": "limit", "reason": "instruction limit: 1000 executed", "exit_code": None,
        "pc": f"{BASE + 76:#x}", "instructions": 1000, "crash": None,
    }  # fmt: skip


def test_json_has_a_line_of_its_own(raw):
    """Also behind a prompt."""
    done = armvcpu("run", raw(print_text("=> "), OFF), "--json")
    assert done.stdout.splitlines()[0] == b"=> "
    assert json.loads(done.stdout.splitlines()[1])["status"] == 0


def test_json_has_the_crash_report():
    """The exception, and a backtrace by function."""
    done = armvcpu("run", GUESTS / "crash.elf", "--json")
    facts = json.loads(done.stdout.splitlines()[-1])
    assert (facts["status"], facts["ending"], facts["instructions"]) == (3, "crashed", None)
    assert facts["reason"].startswith("undefined instruction or unknown reason at 0x0, called from ")
    assert (facts["pc"], facts["crash"]["pc"]) == ("0x0", "0xb000200")  # not the vector's, which leads nowhere
    assert [frame["symbol"].split("+")[0] for frame in facts["crash"]["backtrace"]][1:3] == [
        "call_probe",
        "start_driver",
    ]


# --- traces


def test_trace_lines_are_stable(raw):
    """One line per event: vCPU, PC, symbol, what, decoded."""
    path = raw(mov(1, UART)[:2], mov(2, 0x41)[:1], store(2, 1, 1), mrs(0, "ID_AA64DFR0_EL1"), UDF)
    done = armvcpu("run", path, "--trace", "mmio,sysreg,exception", "--timeout", "1")
    assert [line.partition(" # ")[0] for line in done.stderr.decode().splitlines()[:3]] == [
        "cpu0 0x000000004008000c - mmio write address=0x9000000 width=1 value=0x41 device=pl011.UARTDR",
        "cpu0 0x0000000040080010 - sysreg read register=ID_AA64DFR0_EL1 value=0x10305106",
        "cpu0 0x0000000040080014 - exception sync target=EL1 vector=0x200 ec=UNKNOWN esr=0x2000000",
    ]


def test_interrupts_are_traced():
    """Acknowledged and ended, in turn."""
    done = armvcpu("run", "guests/bin/gic.elf", "--trace", "irq")
    lines = [line.split(" irq ")[1] for line in done.stderr.decode().splitlines()]
    assert lines[:2] == ["acknowledge intid=1 # SGI 1", "end intid=1 # SGI 1"]
    assert len({line.split()[1] for line in lines}) > 3


def test_exits_and_calls_are_traced(raw):
    """What `run()` returned, and PSCI; their PC is behind the instruction."""
    done = armvcpu("run", raw(OFF), "--trace", "psci,exits")
    assert done.stderr.decode().splitlines() == [
        "cpu0 0x0000000040080014 - psci SYSTEM_OFF conduit=hvc id=0x84000008 exit=SystemDown",
        "cpu0 0x0000000040080014 - exits SystemDown",
    ]


def test_instructions_are_traced_with_symbols(tmp_path):
    """To a file, with a few kinds in it; another option makes another file."""
    insn, rest = tmp_path / "insn", tmp_path / "rest"
    done = armvcpu("run", HELLO, "--trace", f"insn:{insn}", "--trace", f"psci,exception:{rest}")
    assert (done.returncode, done.stderr) == (0, b"")
    first = insn.read_text().splitlines()[0]
    assert re.fullmatch(r"cpu0 0x0000000040080000 _start insn 0x[0-9a-f]{8} # .+", first)
    assert len(insn.read_text().splitlines()) > 1000
    assert "psci SYSTEM_OFF" in rest.read_text()


# --- semihosting


def semihosting(raw, operation: int, block: bytes, after: list[int] = OFF) -> Path:
    """A guest that makes one call: the parameter block lies behind the code, at BASE + 0x100."""
    path = raw(mov(0, operation)[:1], mov(1, BASE + 0x100), HLT_SEMIHOSTING, after)
    path.write_bytes(path.read_bytes().ljust(0x100, b"\0") + block)
    return path


APPLICATION_EXIT = 0x20026


@pytest.mark.parametrize(
    ("operation", "reason", "subcode", "code"),
    [
        (0x18, APPLICATION_EXIT, 0, 0),
        (0x18, APPLICATION_EXIT, 7, 7),
        (0x18, 0x20023, 0, 1),
        (0x18, 0x20023, 7, 1),
        (0x20, APPLICATION_EXIT, 0, 0),
        (0x20, APPLICATION_EXIT, 4, 4),
        (0x20, APPLICATION_EXIT, 42, 42),
        (0x20, APPLICATION_EXIT, 256, 256),
        (0x20, APPLICATION_EXIT, (1 << 64) - 1, (1 << 64) - 1),
    ],
)
def test_semihosting_exit_is_the_status(raw, operation, reason, subcode, code):
    """SYS_EXIT and SYS_EXIT_EXTENDED: the guest's own code, modulo 256; 1 for an end of another reason (Arm 100863)."""
    path = semihosting(raw, operation, struct.pack("<2Q", reason, subcode))
    done = armvcpu("run", path, "--semihosting", "--json")
    facts = json.loads(done.stdout)
    ending = "reported-failure" if code else "powered-off"
    assert (done.returncode, facts["status"], facts["ending"]) == (code % 256, code % 256, ending)
    assert facts["exit_code"] == code
    assert f"status {subcode}" in facts["reason"] or reason != APPLICATION_EXIT


def test_semihosting_exit_code_of_256_is_no_success(raw):
    """Though a process can have no other status than 0 of it."""
    with Machine(semihosting(raw, 0x20, struct.pack("<2Q", APPLICATION_EXIT, 256)), semihosting=True) as machine:
        outcome = machine.run(timeout=10)
    assert (outcome.status, outcome.exit_code, outcome.ok) == (0, 256, False)


def test_semihosting_prints_to_the_console(raw):
    """SYS_WRITE0."""
    assert armvcpu("run", semihosting(raw, 4, b"by HLT\n\0"), "--semihosting").stdout == b"by HLT\n"


@pytest.mark.parametrize(("typed", "shown"), [(b"", b"\xff"), (b"k", b"k")])
def test_semihosting_reads_what_is_piped(raw, typed, shown):
    """SYS_READC, and at the end -1: a guest that asks for more than there is does not wait for ever."""
    to_uart = [*mov(1, UART), store(0, 1, 1)]
    path = raw(mov(0, 7), mov(1, 0), HLT_SEMIHOSTING, to_uart, OFF)
    assert armvcpu("run", path, "--semihosting", stdin=typed).stdout == shown


def test_hlt_is_undefined_without_semihosting(raw):
    """The option is needed."""
    assert armvcpu("run", semihosting(raw, 4, b"x\0")).returncode == 3


@pytest.mark.parametrize(("name", "opens"), [("in.txt", True), ("../out.txt", False), ("/etc/passwd", False)])
def test_semihosting_files_are_inside_the_directory(raw, tmp_path, name, opens):
    """SYS_OPEN gives a handle, or -1."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "in.txt").write_text("inside")
    (tmp_path / "out.txt").write_text("outside")
    block = struct.pack("<3Q", BASE + 0x118, 0, len(name)) + name.encode() + b"\0"
    path = semihosting(raw, 1, block)
    console = MemoryConsole()
    with Machine(path, console=console, semihosting=True, semihosting_directory=tmp_path / "in") as machine:
        seen: list[int] = []
        machine.engine.listen.probe(BASE + 24, lambda _pc: seen.append(machine.vcpu.gpr(0)))
        machine.run(timeout=20)
    assert (seen[0] != 2**64 - 1) is opens


# --- bad input


def elf(*loads: tuple[int, int], bits: int = 2, order: int = 1, kind: int = 2, machine: int = 183) -> bytes:
    """An ELF file whose segments, each one byte of file, have these (address, size in memory)."""
    ident = b"\x7fELF" + bytes([bits, order, 1]) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, BASE, 64, 0, 0, 64, 56, len(loads), 64, 0, 0)
    end = 64 + 56 * len(loads)
    segments = (struct.pack("<IIQQQQQQ", 1, 7, end, at, at, 1, size, 1) for at, size in loads)
    return ident + header + b"".join(segments) + b"\0"


BAD_FILES = {
    "empty": (b"", "is empty"),
    "truncated": (Path(HELLO).read_bytes()[:3000], "truncated"),
    "32-bit": (elf((BASE, 1), bits=1, machine=40), "32-bit"),
    "big-endian": (elf((BASE, 1), order=2), "big-endian"),
    "x86": (elf((BASE, 1), machine=62), "x86"),
    "relocatable": (elf((BASE, 1), kind=1), "relocatable"),
    "without segments": (elf(), "segment"),
    "outside RAM": (elf((0x8000_0000, 1)), "outside RAM"),
    "larger than RAM": (elf((BASE, 1 << 30)), "outside RAM"),
    "on a device": (elf((UART, 1)), "overlaps the device pl011"),
    "on itself": (elf((BASE, 0x100), (BASE + 0x80, 0x100)), "overlap"),
}


@pytest.mark.parametrize(("data", "problem"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_image_is_one_line(tmp_path, data, problem):
    """Status 2; the line names the file, what is wrong and what to do."""
    path = tmp_path / "bad.elf"
    path.write_bytes(data)
    check_usage_error(armvcpu("run", path), str(path), problem)


def check_usage_error(done: subprocess.CompletedProcess[bytes], *parts: str) -> None:
    """Status 2, nothing on stdout, one line on stderr with these parts in it, no traceback."""
    text = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b""), text
    assert text.startswith("armvcpu: ")
    assert text.count("\n") == 1
    assert [part for part in parts if part not in text] == []


ELF = HELLO
FIRMWARE = "FIRMWARE"
BAD_OPTIONS = {
    "nothing to run": ((), "nothing to run: give an IMAGE or --firmware"),
    "missing image": (("/nowhere/x",), "/nowhere/x: no such file"),
    "directory": (("/tmp",), "is a directory"),
    "device file": (("/dev/zero",), "not a regular file"),
    "unreadable": (("/proc/self/mem",), "/proc/self/mem"),
    "two images": ((ELF, ELF), "extra argument"),
    "memory 0": ((ELF, "--memory", "0"), "--memory"),
    "memory odd": ((ELF, "--memory", "1000001"), "multiple of 1 MiB"),
    "memory huge": ((ELF, "--memory", "100000G"), "255 GiB"),
    "memory of many digits": ((ELF, "--memory", "9" * 5000), "is no size"),
    "append is no text": ((ELF, "--append", "\udcff"), "--append '\\udcff': the guest gets UTF-8"),
    "memory words": ((ELF, "--memory", "much"), "write 256M or 1G"),
    "cpu model": ((ELF, "--cpu-model", "m1"), "a53, a57, a72, max"),
    "clock": ((ELF, "--clock", "sun"), "--clock sun: give host or instructions"),
    "firmware is an ELF": (("--firmware", ELF), "run it without --firmware"),
    "firmware with load address": (("--firmware", ELF, "--load-address", "0"), "contradict"),
    "load address of an ELF": ((ELF, "--load-address", "0x40000000"), "leave --load-address out"),
    "load address odd": (("/dev/null", "--load-address", "0x40000002"), "multiple of 4"),
    "load address words": ((ELF, "--load-address", "here"), "write 0x40080000"),
    "device tree": ((ELF, "--dtb", ELF), "not a device tree blob"),
    "device tree missing": ((ELF, "--dtb", "/nowhere/x"), "/nowhere/x"),
    "initrd missing": ((ELF, "--initrd", "/nowhere/x"), "/nowhere/x"),
    "semihosting directory alone": ((ELF, "--semihosting-directory", "/tmp"), "add --semihosting"),
    "semihosting directory missing": ((ELF, "--semihosting", "--semihosting-directory", "/nowhere"), "not a directory"),
    "trace kind": ((ELF, "--trace", "everything"), "the kinds are exits"),
    "trace file empty": ((ELF, "--trace", "exits:"), "no file behind the colon"),
    "trace file unwritable": ((ELF, "--trace", "exits:/nowhere/x"), "/nowhere/x"),
    "time-out 0": ((ELF, "--timeout", "0"), "write 10 or 0.5"),
    "time-out nan": ((ELF, "--timeout", "nan"), "write 10 or 0.5"),
    "limit 0": ((ELF, "--max-instructions", "0"), "--max-instructions 0: give 1 or more"),
    "unknown option": ((ELF, "--turbo"), "armvcpu run --help"),
    "option without value": ((ELF, "--memory"), "--memory"),
}


@pytest.mark.parametrize(("words", "problem"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_options_are_one_line(words, problem):
    """Status 2, before the guest runs."""
    check_usage_error(armvcpu("run", *words), problem)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("{}", "--record", "{}"), "--record {}: that is the file of IMAGE; name another"),
        (("{}", "--trace", "psci:{}"), "--trace {}: that is the file of IMAGE"),
        (("{}", "--snapshot-save", "{}"), "--snapshot-save {}: that is the file of IMAGE"),
        ((ELF, "--disk", "{},ro", "--record", "{}"), "--record {}: that is the file of --disk"),
        ((ELF, "--trace", "psci:new", "--trace", "exits:./new"), "--trace ./new: that is the file of --trace"),
    ],
)
def test_what_a_run_reads_is_not_overwritten(tmp_path, words, problem):
    """Nor are two things written to one file."""
    path = tmp_path / "file"
    path.write_bytes(Path(ELF).read_bytes())
    done = armvcpu("run", *(word.format(path) for word in words))
    check_usage_error(done, problem.format(path))
    assert path.read_bytes() == Path(ELF).read_bytes()


def test_huge_sparse_file_is_refused_unread(tmp_path):
    """One terabyte, none of it on the disk."""
    path = tmp_path / "huge.bin"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    check_usage_error(armvcpu("run", path), str(path), "1099511627776 bytes")


def test_image_larger_than_its_memory_names_both(tmp_path):
    """The remedy is more memory."""
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(2 * MIB))
    check_usage_error(armvcpu("run", path, "--memory", "1M"), str(path), "raise --memory")


def test_full_disk_under_a_trace_is_said():
    """One line, though it happens in the middle of the run."""
    done = armvcpu("run", HELLO, "--trace", "insn:/dev/full")
    assert done.returncode == 2
    assert done.stderr == b"armvcpu: --trace file /dev/full: No space left on device; name another\n"


# --- the rest


def test_verbose_logs_what_is_loaded(raw):
    """`-v`, to stderr."""
    done = armvcpu("-v", "run", raw(OFF))
    assert b"armvcpu.run: raw image" in done.stderr
    assert b"entered at 0x40080000" in done.stderr


@pytest.mark.parametrize("words", [(), *((name,) for name in COMMANDS)])
def test_help_of_every_command(words):
    """Usage, one sentence, options."""
    result = CliRunner().invoke(cli, [*words, "--help"], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")


def test_without_a_command_there_is_help():
    """On stderr, with status 2."""
    done = armvcpu()
    assert (done.returncode, done.stdout) == (2, b"")
    assert all(name.encode() in done.stderr for name in COMMANDS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_script(shell):
    """By click's convention; bash older than 4.4 is refused by click itself."""
    command = "import sys; sys.argv[0] = 'armvcpu'; from armvcpu.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command], env=os.environ | {"_ARMVCPU_COMPLETE": f"{shell}_source"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "_ARMVCPU_COMPLETE" in done.stdout


def test_raw_image_goes_where_it_is_told(raw):
    """`--load-address`, and the device tree in x0 (Documentation/arch/arm64/booting)."""
    path = raw(load(1, 0, 4), add(2, 0, 0), mov(3, HOLE)[:1], OFF)
    done = armvcpu("run", path, "--load-address", "0x44000000", "--trace", "psci")
    assert b"cpu0 0x0000000044000020" in done.stderr
