"""System registers of a guest that starts at EL2 or EL3, as armvcpu and QEMU 7.2 have them: after reset, and written.

A program in flash reads every encoding of MRS, or writes registers and reads them, and keeps for each the value and the
syndrome of the exception that came instead. A difference is a failure unless a row gives the reason, and a row fails as
well where there is no difference any more. The GIC's registers have tests of their own.
"""

from __future__ import annotations

import re
import subprocess
from struct import iter_unpack, pack
from typing import TYPE_CHECKING

import pytest
from raw_guest import ERET, HLT_SEMIHOSTING, ISB, add, branch, flat, mov, mrs, msr

from armvcpu.arch.registers import SYSREGS, by_encoding, by_name, instruction_from_access, op, register_name
from armvcpu.arch.sysreg import RW, Home
from armvcpu.arch.sysregs_el2 import EL12_REGISTERS
from armvcpu.errors import UsageError
from armvcpu.machine.machine import Machine
from armvcpu.testing.firmware import programs

if TYPE_CHECKING:
    from pathlib import Path

QEMU, TIMEOUT = "qemu-system-aarch64", 120
BOARD = {2: "virt,gic-version=3,virtualization=on", 3: "virt,gic-version=3,virtualization=on,secure=on"}
MODELS = {"a57": "cortex-a57", "max": "max"}
VECTORS, CODE, RESULTS, UART = 0x1000, 0x2000, 0x4020_0000, 0x0900_0000
ALL_ONES = (1 << 64) - 1
STP_X0_X1_X20 = 0xA881_0680  # stp x0, x1, [x20], #16
DUMP = (0x3840_1465, 0x3900_0085, 0xEB14_007F, 0x54FF_FFA3)  # ldrb w5, [x3], #1; strb w5, [x4]; cmp x3, x20; b.lo .-12
EXIT = (*mov(0, 0x18), *mov(1, RESULTS - 16), *mov(6, 0x2_0026), 0xF900_0026, 0xF900_043F, HLT_SEMIHOSTING)

Result = tuple[int, int]
"""A value, and the syndrome of an exception, 0 for none; the value then means nothing."""


def program(el: int, body: list[int], *, dump: bool) -> bytes:
    """An image for flash: `body` after the vectors are set, then its results to the UART, then semihosting's exit."""
    begin = [*mov(20, RESULTS), *mov(9, VECTORS), *(msr(f"VBAR_EL{n}", 9) for n in range(2, el + 1)), ISB]
    begin += [branch(CODE // 4 - len(begin))]
    handler = [mrs(1, f"ESR_EL{el}"), mrs(2, f"ELR_EL{el}"), add(2, 2, 4), msr(f"ELR_EL{el}", 2), ERET]
    end = [*(mov(3, RESULTS) + mov(4, UART) + list(DUMP) if dump else []), *EXIT, branch(0)]
    image = b"".join(
        pack(f"<{len(words)}I", *words).ljust(size, b"\0")
        for words, size in ((begin, VECTORS), (flat(*[[*handler, *[0] * (32 - len(handler))]] * 16), CODE - VECTORS))
    )
    words = body + end
    return image + pack(f"<{len(words)}I", *words)


def read_one(encoding: int) -> list[int]:
    """Keep its value, or why it has none."""
    return [0xD280_0001, instruction_from_access(encoding, 0, is_read=True), STP_X0_X1_X20]  # mov x1, #0 first


def write_one(encoding: int, value: int) -> list[int]:
    """Write a value, keep what is read then, and restore it."""
    access = [
        instruction_from_access(encoding, rt, is_read=is_read) for rt, is_read in ((8, True), (7, False), (0, True))
    ]
    restore = instruction_from_access(encoding, 8, is_read=False)
    return [*mov(7, value), 0xD280_0001, *access[:2], ISB, access[2], restore, ISB, STP_X0_X1_X20]


def results(data: bytes) -> list[Result]:
    """As they were kept."""
    return [(0 if esr else value, esr) for value, esr in iter_unpack("<QQ", data)]


def here(directory: Path, model: str, el: int, body: list[int], count: int) -> list[Result]:
    """On armvcpu."""
    (directory / "here.bin").write_bytes(program(el, body, dump=False))
    with Machine(firmware=directory / "here.bin", cpu_model=model, el=el, semihosting=True) as machine:
        outcome = machine.run(timeout=TIMEOUT)
        assert outcome.ok, outcome
        return results(machine.read(RESULTS, 16 * count))


def on_qemu(directory: Path, model: str, el: int, body: list[int]) -> list[Result]:
    """On QEMU."""
    (directory / "qemu.bin").write_bytes(program(el, body, dump=True))
    try:
        qemu = programs.path(QEMU)
    except UsageError as error:
        pytest.fail(str(error), pytrace=False)
    command = [
        str(qemu), "-M", BOARD[el], "-cpu", MODELS[model], "-m", "256", "-bios", "qemu.bin", "-semihosting",
        "-display", "none", "-monitor", "none", "-nic", "none", "-serial", "file:results.bin",
    ]  # fmt: skip
    subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, timeout=TIMEOUT, check=True)
    return results((directory / "results.bin").read_bytes())


def said(result: Result) -> str:
    """A result in words."""
    return f"exception {result[1]:#x}" if result[1] else f"{result[0]:#x}"


def check(names: list[str], ours: list[Result], theirs: list[Result], expected: dict[str, str]) -> None:
    """Fail unless each difference has a reason, and each reason a difference."""
    assert len(names) == len(ours) == len(theirs)
    found, used = [], set()
    for name, our, their in zip(names, ours, theirs, strict=True):
        if our == their:
            continue
        reason = next((pattern for pattern in expected if re.fullmatch(pattern, name)), None)
        if reason is None:
            found.append(f"{name}: {said(our)}, QEMU {said(their)}")
        used.add(reason)
    found += [f"nothing that is {pattern!r} differs" for pattern in expected if pattern not in used]
    if found:
        pytest.fail("\n".join([f"{len(found)} differences", *found[:40]]), pytrace=False)


# --- after reset --------------------------------------------------------------------------------------------------

NOT_COMPARED = re.compile("IC[CH]_.*|.*_TVAL_.*|CNTPCT_EL0|CNTVCT_EL0")
"""The GIC's, and what moves."""
AT_RESET = {
    r"ID_(?!AA64).*|MVFR._EL1": "AArch32's ID registers are UNKNOWN without AArch32, and zero here",
    "ID_AA64PFR0_EL1": "EL0 to EL3 are AArch64 only",
    "HCR_EL2|SCR_EL3": "RW is RAO/WI where EL1 is AArch64 only; QEMU's CPUs have AArch32",
    "SCTLR_EL1": "UNKNOWN at reset: RES1 of Armv8.0 here, the TRM's value of the highest level's in QEMU",
    "CTR_EL0": "IDC, and a larger IminLine: fewer instructions of cache maintenance",
    "NZCV|SPSR_EL[23]": "QEMU resets PSTATE.Z to 1",
    "PMCR_EL0": "LC is RES1 without AArch32",
    "OSDTR[RT]X_EL1|OSECCR_EL1|DBG(PRCR|CLAIM...|AUTHSTATUS)_EL1": "QEMU 7.2 lacks them; of external debug, RAZ/WI",
}


@pytest.mark.parametrize("el", [2, 3])
def test_every_register_has_qemus_value_after_reset(tmp_path: Path, el: int) -> None:
    """Each encoding of a Cortex-A57's by MRS at the level that it starts at: its value, or UNDEFINED."""
    all_encodings = (*range(op(2, 0, 0, 0, 0), op(2, 1, 0, 0, 0)), *range(op(3, 0, 0, 0, 0), op(3, 7, 15, 15, 7) + 1))
    encodings = [each for each in all_encodings if not NOT_COMPARED.fullmatch(register_name(each))]
    body = flat(*(read_one(encoding) for encoding in encodings))
    ours, theirs = here(tmp_path, "a57", el, body, len(encodings)), on_qemu(tmp_path, "a57", el, body)
    check([register_name(encoding) for encoding in encodings], ours, theirs, AT_RESET)


OF_EL2_AND_EL3 = [row for row in SYSREGS if row.level > 1 and not NOT_COMPARED.fullmatch(row.name)]
OF_MAX = {
    r".*_EL(12|02)": "without HCR_EL2.E2H QEMU 7.2 has most of them, and traps on the others: they are UNDEFINED",
    "ZCR_EL[23]": "SVE is not presented",
    "HCR_EL2|SCR_EL3": AT_RESET["HCR_EL2|SCR_EL3"],
    "(ESR|ELR|SPSR)_EL[23]": "of the exceptions of the program itself",
}


@pytest.mark.parametrize("el", [2, 3])
def test_registers_of_el2_and_el3_have_qemus_value_after_reset_on_max(tmp_path: Path, el: int) -> None:
    """With what VHE brings."""
    body = flat(*(read_one(row.encoding) for row in OF_EL2_AND_EL3))
    count = len(OF_EL2_AND_EL3)
    ours, theirs = here(tmp_path, "max", el, body, count), on_qemu(tmp_path, "max", el, body)
    check([row.name for row in OF_EL2_AND_EL3], ours, theirs, OF_MAX)


# --- written ------------------------------------------------------------------------------------------------------

_OTHERWISE_TESTED = re.compile("IC[CH]_.*|DBG.*|PM.*|MD.*|OS.*|FPCR|DAIF|SPSel|NZCV|CNT[PVH].*_(TVAL|CTL|CVAL)_.*")
WRITTEN = {
    "a57": {"HCR_EL2|SCR_EL3": AT_RESET["HCR_EL2|SCR_EL3"]},
    "max": {
        "HCR_EL2|SCR_EL3": "bits of extensions that are not presented: RAS, PAuth, nested virtualization, FGT, ...",
        ".*_EL12": OF_MAX[r".*_EL(12|02)"],
        "AP.*|DIT|SSBS|ZCR_.*": "of extensions that are not presented",
    },
}


@pytest.mark.parametrize("el", [2, 3])
@pytest.mark.parametrize("model", MODELS)
def test_written_registers_keep_what_qemus_keep(tmp_path: Path, model: str, el: int) -> None:
    """All ones and zero, to each that does not control the program itself: RES0, RES1, and which are UNDEFINED."""
    controls = {f"SCTLR_EL{el}", f"VBAR_EL{el}", f"SP_EL{el}"}
    rows = [row for row in SYSREGS if row.access is RW and row.home is not Home.IMPDEF]
    rows = [row for row in rows if row.name not in controls and not _OTHERWISE_TESTED.fullmatch(row.name)]
    values = [(row, value) for row in rows for value in (ALL_ONES, 0)]
    body = flat(*(write_one(row.encoding, value) for row, value in values))
    ours, theirs = here(tmp_path, model, el, body, len(values)), on_qemu(tmp_path, model, el, body)
    check([row.name for row, _ in values], ours, theirs, WRITTEN[model])


# --- names under HCR_EL2.E2H --------------------------------------------------------------------------------------


def same_register(alias: str) -> list[int]:
    """The name of EL1 or EL0, the alias, and the name of EL2."""
    field, level = alias.rsplit("_", 1)
    names = (f"{field}_EL0", f"CNTH{field[3:]}_EL2") if level == "EL02" else (f"{field}_EL1", f"{field}_EL2")
    el2 = {"CPACR_EL2": "CPTR_EL2", "CNTKCTL_EL2": "CNTHCTL_EL2"}.get(names[1], names[1])
    return [by_name[name].encoding for name in (names[0], alias, el2)]


def test_names_mean_the_registers_that_they_mean_on_qemu(tmp_path: Path) -> None:
    """HCR_EL2.E2H: each of a register's three names is written, and all three are read."""
    body, names = [*mov(7, 1 << 34 | 1 << 31), msr("HCR_EL2", 7), ISB], []
    for n, row in enumerate(row for row in EL12_REGISTERS if row.home is Home.NATIVE):
        if "_TVAL_" in row.name:  # a window on the count
            continue
        encodings = same_register(row.name)
        is_control = row.name in {"CNTP_CTL_EL02", "CNTV_CTL_EL02"}
        for m, written in enumerate(encodings):
            if row.name == "SCTLR_EL12" and m != 1:  # that of the program
                continue
            value = m + 1 if is_control else 0x800 if row.name == "SCTLR_EL12" else (n + 1) << 20 | (m + 1) << 8
            body += [*mov(9, value), instruction_from_access(written, 9, is_read=False)]
            body += flat(*(read_one(encoding) for encoding in encodings))
            names += [f"{register_name(written)} written, {register_name(encoding)}" for encoding in encodings]
    assert len(names) > 150
    check(names, here(tmp_path, "max", 2, body, len(names)), on_qemu(tmp_path, "max", 2, body), {})


def test_the_program_tells_values_from_exceptions(tmp_path: Path) -> None:
    """What is there, what is not, and one of the level above."""
    encodings = [by_name["MIDR_EL1"].encoding, op(3, 7, 15, 15, 7), by_name["SCR_EL3"].encoding]
    body = flat(*(read_one(encoding) for encoding in encodings))
    assert here(tmp_path, "a57", 2, body, 3) == [(0x411F_D070, 0), (0, 0x0200_0000), (0, 0x0200_0000)]
    assert by_encoding[encodings[0]].name == "MIDR_EL1"
