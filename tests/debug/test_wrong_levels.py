"""Images at a level that is not theirs, Secure memory touched from Non-secure, endless SMCs: what a user is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from struct import pack

import pytest
from raw_guest import BASE, ERET, FOREVER, br, branch, image, load, lower, mov, mrs, msr, store

ARMVCPU = str(Path(sys.executable).parent / "armvcpu")
SMC, SVC = 0xD400_0003, 0xD400_0001
SECURE_RAM = 0x0E00_0000
EL2H, NON_SECURE, ABORTS_TO_EL3 = 0x3C9, 0x531, 1 << 3
SUB_X5_4 = 0xD100_10A5


def below_el3(words: list[int], scr: int = NON_SECURE) -> list[int]:
    """To Non-secure EL2, at `words`."""
    return [*mov(0, scr), msr("SCR_EL3", 0), *lower(3, EL2H, *words)]


def vectors(offset: int) -> list[int]:
    """VBAR_EL3, so that the vector at `offset` is where `image` puts it."""
    return [*mov(9, BASE + 0xA00 - offset), msr("VBAR_EL3", 9)]


def run(tmp_path: Path, data: bytes, *options: str) -> tuple[int, list[str]]:
    """The command's status, and what it said on stderr."""
    path = tmp_path / "image.bin"
    path.write_bytes(data)
    command = [ARMVCPU, "run", str(path), "--el", "3", "--timeout", "2", *options]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert b"Traceback" not in done.stderr
    return done.returncode, done.stderr.decode().splitlines()


def arm64_image(*words: int) -> bytes:
    """With the header of Documentation/arch/arm64/booting."""
    header = pack("<IIQQQ", branch(16), 0, 0, 0x1000, 0xA).ljust(56, b"\0") + b"ARM\x64" + bytes(4)
    return (header + pack(f"<{len(words)}I", *words)).ljust(0x1000, b"\0")


TOUCHES = {
    "load": ([load(0, 1)], NON_SECURE, "Non-secure EL2", "data abort from the current EL"),
    "store": ([store(0, 1)], NON_SECURE, "Non-secure EL2", "data abort from the current EL"),
    "branch": ([br(1)], NON_SECURE, "Non-secure EL2", "instruction abort from the current EL"),
    "load, SCR_EL3.EA": ([load(0, 1)], NON_SECURE | ABORTS_TO_EL3, "EL3", "data abort from a lower EL"),
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_secure_memory_from_non_secure(tmp_path: Path, touch: str) -> None:
    """An External abort at the level that takes it; whose memory it is."""
    words, scr, state, what = TOUCHES[touch]
    status, lines = run(tmp_path, image(*below_el3([*mov(1, SECURE_RAM), *words, FOREVER], scr)))
    assert status == 3
    assert lines[-2].startswith(f"armvcpu: cpu0 at {state} stopped: {what}, synchronous external abort")
    assert lines[-1].startswith(f"armvcpu: {SECURE_RAM:#010x} is Secure memory, and this was a Non-secure access")


def test_an_smc_whose_handler_makes_one(tmp_path: Path) -> None:
    """It never gets out, and is ended without a limit."""
    status, lines = run(tmp_path, image(*vectors(0x200), SMC, vector=[SMC]))
    assert status == 3
    assert lines[-2].startswith("armvcpu: cpu0 at EL3 stopped: SMC #0x0: smc #0, at ")
    assert lines[-1].startswith(
        "armvcpu: endless exception loop: the vector at 0x40080a00 raises the exception it is to handle"
    )


@pytest.mark.parametrize("handler", [[ERET], [mrs(5, "ELR_EL3"), SUB_X5_4, msr("ELR_EL3", 5), ERET]])
def test_an_smc_again_and_again(tmp_path: Path, handler: list[int]) -> None:
    """Each is answered, so only a limit ends it: the report says which call, and at which level it is."""
    data = image(*vectors(0x400), *below_el3([SMC, branch(-1)]), vector=handler)
    status, lines = run(tmp_path, data)
    assert status == 4
    assert lines[0].startswith("armvcpu: time-out; PC 0x")
    assert lines[0].endswith((" at EL3", " at Non-secure EL2"))
    assert any(line.startswith("ESR_EL3   0x5e000000 SMC #0x0") for line in lines)
    assert not any("nothing answers" in line for line in lines)


def test_a_kernel_at_el3(tmp_path: Path) -> None:
    """An arm64 Image is for EL2 or EL1, whatever it stumbles over."""
    status, lines = run(tmp_path, arm64_image(SVC))
    assert status == 3
    assert lines[-2].startswith("armvcpu: cpu0 at EL3 stopped: ")
    assert lines[-1].startswith("armvcpu: an arm64 Image (Linux) can't begin at EL3: run it with --el 2 or 1")


@pytest.mark.parametrize("el", ["2", "3"])
def test_a_guest_of_el1(el: str) -> None:
    """`hello` calls PSCI by HVC: which is its own EL2's, or UNDEFINED at EL3; and what to do."""
    command = [ARMVCPU, "run", "guests/bin/hello.elf", "--el", el, "--timeout", "20"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.returncode == 3
    *_, stopped, hint = done.stderr.decode().splitlines()
    assert f"cpu0 at EL{el} stopped: " in stopped
    assert "hvc #0, at " in stopped
    assert ("PSCI is answered by SMC" if el == "2" else "software for EL1 that calls PSCI wants --el 1") in hint
