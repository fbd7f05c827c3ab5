"""The exception layer on synthetic traps: what EL2 does by exception class. DDI 0487 D17.2.37 (ESR_EL2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from vcpu_bench import RAM, Bench, Heard

from armvcpu.arch.esr import ESR, DataAbortIss, ExceptionClass
from armvcpu.arch.registers import by_name, instruction_from_access, iss_from_encoding, op
from armvcpu.arch.sysreg import SysRegIss
from armvcpu.engine.api import STORM_LIMIT, TARGET_AARCH32
from armvcpu.engine.fake import Trap
from armvcpu.errors import GuestCrash, Unmodelled, UsageError
from armvcpu.vcpu.exits import (
    CpuDown,
    Halt,
    Hypercall,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    Nothing,
    SysRegRead,
    SysRegWrite,
    SystemDown,
    SystemReset,
)
from armvcpu.vcpu.stage2.mapping import MappingFlags
from armvcpu.vcpu.traps.aborts import read_result
from armvcpu.vcpu.traps.exception import HLT_SEMIHOSTING

EC = ExceptionClass
READ, WRITE, EXECUTE = MappingFlags.READ, MappingFlags.WRITE, MappingFlags.EXECUTE
UNDEFINED = 0x0200_0000
ALL_ONES = 0xFFFF_FFFF_FFFF_FFFF
NOT_SUPPORTED = ALL_ONES
VECTORS, SYNC_SAME, SYNC_LOWER = 0xFFFF_0000, 0xFFFF_0200, 0xFFFF_0400
EL0 = 0x3C0
ICC_IAR1, ICC_EOIR1, MIDR = (by_name[name].encoding for name in ("ICC_IAR1_EL1", "ICC_EOIR1_EL1", "MIDR_EL1"))
UNKNOWN_REGISTER = op(3, 1, 11, 7, 7)  # in no row


def esr(ec: int, iss: int = 0) -> int:
    return ESR.of(EC=ec, IL=1, ISS=iss)


def trap(ec: int, iss: int = 0, **rest: Any) -> Trap:
    """A trap to EL2 from RAM's first instruction."""
    return Trap(2, esr(ec, iss), **{"pc": RAM, **rest})


def abort(*, far: int = 0x0900_0018, ec: int = EC.DABT_LOWER, regs: dict[int, int] | None = None, **iss: int) -> Trap:
    """A stage-2 translation fault at level 1 whose IPA is the FAR."""
    described = DataAbortIss.of(**{"DFSC": 5, **iss})
    return trap(ec, described, far=far, hpfar=far >> 12 << 4, regs=regs or {})


def access(encoding: int, rt: int, *, read: bool, **rest: Any) -> Trap:
    """A trapped MRS or MSR."""
    return trap(EC.MSR_MRS, iss_from_encoding(encoding) | SysRegIss.of(Rt=rt, Direction=int(read)), **rest)


def taken(bench: Bench) -> tuple[str, int, int]:
    """The one exception that the guest took: ESR, ELR less RAM, the vector."""
    (entry,) = bench.engine.entered
    return hex(entry.esr), entry.elr - RAM, entry.vector


@pytest.fixture
def bench() -> Bench:
    """Vectors at VECTORS."""
    bench = Bench()
    bench.vcpu.system_registers.vbar_el1 = VECTORS
    return bench


# --- calls and waiting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ti", "exit_"), [(0, Halt()), (1, Nothing()), (2, Halt()), (3, Nothing())])
def test_wfi_is_an_exit_and_wfe_a_hint(bench, ti, exit_):
    """ISS.TI: WFI, WFE, WFIT, WFET; the guest goes on behind the instruction."""
    assert (bench.play(trap(EC.WFX, ti)), bench.pc) == (exit_, 4)


def test_hvc_nobody_claims_is_a_hypercall(bench):
    """x0 with all its 64 bits, x1 to x6; the preferred return address of HVC is behind it already."""
    reason = bench.play(trap(EC.HVC64, pc=RAM + 4, regs={i: 0x1_0000_0000 + i for i in range(8)}))
    assert reason == Hypercall(1 << 32, tuple(0x1_0000_0000 + i for i in range(1, 7)))
    assert bench.pc == 4


def test_smc_nobody_claims_is_not_supported(bench):
    """DEN 0028 5.1; HCR_EL2.TSC traps it with PC on the instruction."""
    assert bench.play(trap(EC.SMC64, regs={0: 0x8600_0001})) == Nothing()
    assert (bench.vcpu.gpr(0), bench.pc) == (NOT_SUPPORTED, 4)


@pytest.mark.parametrize(("ec", "pc"), [(EC.HVC64, RAM + 4), (EC.SMC64, RAM)])
@pytest.mark.parametrize("x0", [0x8600_0001, 0x8601_0001, 0xFFFF_FFFF_8600_0001], ids=["plain", "SVE hint", "W0"])
def test_firmware_service_answers_both_conduits(bench, ec, pc, x0):
    """A function is W0 without the SVE hint (DEN 0028 2.5); what the service does not return is kept."""
    bench.vcpu.services.register(0x8600_0001, lambda _id, args: (args[0] + 1, 2, -3))
    assert bench.play(trap(ec, pc=pc, regs={0: x0, 1: 10, 3: 33})) == Nothing()
    assert ([bench.vcpu.gpr(i) for i in range(4)], bench.pc) == ([11, 2, ALL_ONES - 2, 33], 4)


@pytest.mark.parametrize("exit_", [SystemDown(), SystemReset(), CpuDown(1)])
@pytest.mark.parametrize(("ec", "pc"), [(EC.HVC64, RAM + 4), (EC.SMC64, RAM)])
def test_service_that_makes_an_exit_has_succeeded(bench, ec, pc, exit_):
    """x0 is SUCCESS and PC behind the call when `run` returns the exit."""
    bench.vcpu.services.register(0x8600_0001, lambda _id, _args: exit_)
    assert bench.play(trap(ec, pc=pc, regs={0: 0x8600_0001})) == exit_
    assert (bench.vcpu.gpr(0), bench.pc) == (0, 4)


@pytest.mark.parametrize(("ec", "pc"), [(EC.HVC64, RAM + 4), (EC.SMC64, RAM)])
@pytest.mark.parametrize(("answer", "x0"), [(-1, ALL_ONES), (5, 5), (None, 0x8600_0001)])
def test_registered_handler_answers_before_services(bench, ec, pc, answer, x0):
    """Inside the trap; with None it has written the registers itself."""
    vcpu, asked = bench.vcpu, []
    handlers = vcpu.handlers.hypercalls if ec == EC.HVC64 else vcpu.handlers.smc
    vcpu.services.register(0x8600_0001, lambda _id, _args: 99)
    handlers[0x8600_0001] = lambda called: (asked.append(called), answer)[1]
    assert bench.play(trap(ec, pc=pc, regs={0: 0x8600_0001})) == Nothing()
    assert (vcpu.gpr(0), bench.pc, asked) == (x0, 4, [vcpu])


# --- system registers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rt", "value"), [(3, 7), (30, 7), (31, 0)])
def test_mrs_is_answered_by_the_table(bench, rt, value):
    """The general register gets the value, and XZR nothing; PC moves on."""
    bench.vcpu.sysregs.add(UNKNOWN_REGISTER, lambda: 7, None)
    assert bench.play(access(UNKNOWN_REGISTER, rt, read=True)) == Nothing()
    assert (bench.vcpu.gpr(rt), bench.pc) == (value, 4)


@pytest.mark.parametrize(("rt", "value"), [(3, ALL_ONES), (31, 0)])
def test_msr_is_given_to_the_table(bench, rt, value):
    """All 64 bits of the general register; XZR is zero."""
    written = []
    bench.vcpu.sysregs.add(UNKNOWN_REGISTER, None, written.append)
    assert bench.play(access(UNKNOWN_REGISTER, rt, read=False, regs={3: ALL_ONES})) == Nothing()
    assert (written, bench.pc) == ([value], 4)


@pytest.mark.parametrize("rt", [0, 30, 31])
def test_register_in_no_table_is_an_exit(bench, rt):
    """`addr` is ISS & 0x3FFC1E; the caller may answer, and the guest goes on behind the access."""
    name = iss_from_encoding(UNKNOWN_REGISTER)
    assert bench.play(access(UNKNOWN_REGISTER, rt, read=True)) == SysRegRead(name, rt)
    bench.vcpu.set_gpr(rt, 0x55)
    assert (bench.vcpu.gpr(rt), bench.pc) == (0 if rt == 31 else 0x55, 4)
    value = 0 if rt == 31 else 9
    regs = {} if rt == 31 else {rt: 9}
    assert bench.play(access(UNKNOWN_REGISTER, rt, read=False, regs=regs)) == SysRegWrite(name, value)


def test_register_exit_can_be_answered_with_undefined(bench):
    """ELR is the access itself, although PC had moved on."""
    bench.play(access(UNKNOWN_REGISTER, 1, read=True))
    bench.vcpu.inject_undefined()
    assert taken(bench) == ("0x2000000", 0, SYNC_SAME)


@pytest.mark.parametrize(
    ("encoding", "read"),
    [(ICC_IAR1, False), (ICC_EOIR1, True), (MIDR, False), (by_name["APIAKeyLo_EL1"].encoding, True)],
    ids=["write of a read-only one", "read of a write-only one", "write of an ID register", "feature that is absent"],
)
def test_access_the_architecture_forbids_is_undefined(bench, encoding, read):
    """EC 0 with ELR on the instruction, and no register changes (C5.1.2)."""
    assert bench.play(access(encoding, 2, read=read, regs={2: 0x77})) == Nothing()
    assert (taken(bench), bench.vcpu.gpr(2)) == (("0x2000000", 0, SYNC_SAME), 0x77)


def test_register_the_engine_lacks_is_found_by_the_word_at_pc(bench):
    """It arrives as UNDEFINED, where its level may use it (C5.1.2)."""
    bench.put(instruction_from_access(ICC_IAR1, 9, is_read=True))
    assert bench.play(Trap(1, UNDEFINED, pc=RAM)) == Nothing()
    assert (bench.vcpu.gpr(9), bench.pc, bench.engine.entered) == (1023, 4, [])


@pytest.mark.parametrize(("pstate", "vector"), [(0x3C5, SYNC_SAME), (EL0, SYNC_LOWER)], ids=["EL1", "EL0"])
def test_absent_register_at_each_level(bench, pstate, vector):
    """DIT exists at EL0, but no presented CPU has it."""
    bench.put(instruction_from_access(by_name["DIT"].encoding, 1, is_read=True))
    bench.play(Trap(1, UNDEFINED, pc=RAM, pstate=pstate))
    assert taken(bench) == ("0x2000000", 0, vector)


# --- aborts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sas", "width"), [(0, 1), (1, 2), (2, 4), (3, 8)])
@pytest.mark.parametrize(("sse", "sf", "reg"), [(0, 0, 0), (1, 0, 30), (1, 1, 5), (0, 1, 31)])
def test_load_is_described_by_its_syndrome(bench, sas, width, sse, sf, reg):
    """SAS is the access, SSE sign extension, SF the register's width, SRT the register (31 is XZR)."""
    reason = bench.play(abort(ISV=1, SAS=sas, SSE=sse, SF=sf, SRT=reg))
    assert reason == MmioRead(0x0900_0018, width, reg, 8 if sf else 4, bool(sse))
    assert (bench.pc, bench.engine.entered) == (4, [])


@pytest.mark.parametrize(
    ("sas", "data"), [(0, 0xEF), (1, 0xCDEF), (2, 0x89AB_CDEF), (3, 0x0123_4567_89AB_CDEF)], ids=hex
)
def test_store_is_cut_to_its_width(bench, sas, data):
    """The low bytes of the register."""
    reason = bench.play(abort(ISV=1, SAS=sas, SF=1, SRT=7, WnR=1, regs={7: 0x0123_4567_89AB_CDEF}))
    assert (reason, bench.pc) == (MmioWrite(0x0900_0018, 1 << sas, data), 4)


def test_load_that_writes_its_base_has_no_register_to_serve(bench):
    """The engine says ISV for `ldr x3, [x2], #8`; the architecture says 0, and stepping over it would lose x2."""
    bench.put(0xF840_8443)
    assert bench.play(abort(ISV=1, SAS=3, SRT=3, SF=1)) == NestedPageFault(0x0900_0018, READ)
    assert bench.pc == 0


def test_store_of_xzr_is_zero(bench):
    """Register 31, although the frame has SP there."""
    assert bench.play(abort(ISV=1, SAS=3, SRT=31, WnR=1, regs={31: 0x1000})) == MmioWrite(0x0900_0018, 8, 0)


@pytest.mark.parametrize(
    ("read", "value", "register"),
    [
        (MmioRead(0, 1, 0, 4, False), 0x1FF, 0xFF),
        (MmioRead(0, 1, 0, 4, True), 0x80, 0xFFFF_FF80),
        (MmioRead(0, 1, 0, 8, True), 0x80, 0xFFFF_FFFF_FFFF_FF80),
        (MmioRead(0, 1, 0, 8, True), 0x7F, 0x7F),
        (MmioRead(0, 2, 0, 8, True), 0x1_8000, 0xFFFF_FFFF_FFFF_8000),
        (MmioRead(0, 4, 0, 8, True), 0x8000_0000, 0xFFFF_FFFF_8000_0000),
        (MmioRead(0, 4, 0, 4, False), ALL_ONES, 0xFFFF_FFFF),
        (MmioRead(0, 8, 0, 8, False), ALL_ONES, ALL_ONES),
    ],
)
def test_answer_to_a_load_is_cut_and_extended(read, value, register):
    """As LDRB, LDRSB W and X, LDRSH, LDRSW, LDR W and X do (C6.2)."""
    assert hex(read_result(read, value)) == hex(register)


def test_ipa_is_hpfar_and_the_offset_of_far(bench):
    """FIPA, HPFAR_EL2 bits 43:4, is IPA bits 51:12, NS is no part; FAR is virtual, but for its low 12 bits."""
    hpfar = 1 << 63 | 0xFFF_FFFF_FFF0
    reason = bench.play(trap(EC.DABT_LOWER, DataAbortIss.of(DFSC=5), far=0xFFFF_8000_1234_5678, hpfar=hpfar))
    assert reason == NestedPageFault(0xF_FFFF_FFFF_F678, READ)


@pytest.mark.parametrize(
    ("ec", "iss", "access_"),
    [(EC.DABT_LOWER, {}, READ), (EC.DABT_LOWER, {"WnR": 1}, WRITE), (EC.IABT_LOWER, {}, EXECUTE)],
)
def test_abort_without_isv_is_a_page_fault(bench, ec, iss, access_):
    """LDP, atomics, write-back and fetches have no register to serve: PC stays on the instruction."""
    assert bench.play(abort(ec=ec, **iss)) == NestedPageFault(0x0900_0018, access_)
    assert (bench.pc, bench.engine.entered) == (0, [])


@pytest.mark.parametrize(("ec", "iss"), [(EC.DABT_LOWER, {"WnR": 1, "ISV": 1}), (EC.IABT_LOWER, {})])
def test_fault_on_a_table_walk_is_the_read_of_a_descriptor(bench, ec, iss):
    """With S1PTW the IPA is the table's and its offset unknown; WnR tells of the instruction, not of the walk."""
    asked = []
    bench.vcpu.handle_page_fault = lambda ipa, flags: bool(asked.append((ipa, flags)))
    assert bench.play(abort(ec=ec, far=0x4444_0018, S1PTW=1, **iss)) == NestedPageFault(0x4444_0000, READ)
    assert (asked, bench.pc) == ([(0x4444_0000, READ)], 0)


@pytest.mark.parametrize(
    ("ec", "iss", "access_"),
    [
        (EC.DABT_LOWER, {"ISV": 1}, READ),
        (EC.DABT_LOWER, {"ISV": 1, "WnR": 1}, WRITE),
        (EC.DABT_LOWER, {"WnR": 1}, WRITE),
        (EC.IABT_LOWER, {}, EXECUTE),
    ],
)
def test_fault_that_memory_management_cures_is_no_exit(bench, ec, iss, access_):
    """It is asked with IPA and access, and the instruction is tried again."""
    asked = []
    bench.vcpu.handle_page_fault = lambda ipa, flags: not asked.append((ipa, flags))
    assert bench.play(abort(ec=ec, **iss)) == Nothing()
    assert (asked, bench.pc, bench.engine.entered) == ([(0x0900_0018, access_)], 0, [])


EXTERNAL = [
    # trap's class and ISS, mode, what the guest gets: EC, IL, WnR and the status code
    (EC.DABT_LOWER, {"ISV": 1, "SAS": 3, "SRT": 5, "SF": 1}, 0x3C5, 0x9600_0010, SYNC_SAME),
    (EC.DABT_LOWER, {"ISV": 1, "WnR": 1, "SSE": 1}, 0x3C5, 0x9600_0050, SYNC_SAME),
    (EC.DABT_LOWER, {"WnR": 1}, EL0, 0x9200_0050, SYNC_LOWER),
    (EC.DABT_LOWER, {"DFSC": 0x0F}, EL0, 0x9200_0010, SYNC_LOWER),
    (EC.IABT_LOWER, {}, 0x3C5, 0x8600_0010, SYNC_SAME),
    (EC.IABT_LOWER, {}, EL0, 0x8200_0010, SYNC_LOWER),
    (EC.DABT_LOWER, {"S1PTW": 1, "DFSC": 6}, 0x3C5, 0x9600_0016, SYNC_SAME),
    (EC.DABT_LOWER, {"S1PTW": 1, "WnR": 1, "DFSC": 7}, EL0, 0x9200_0057, SYNC_LOWER),
    (EC.IABT_LOWER, {"S1PTW": 1, "DFSC": 5}, EL0, 0x8200_0015, SYNC_LOWER),
]


@pytest.mark.parametrize(("ec", "iss", "pstate", "esr_", "vector"), EXTERNAL)
def test_access_to_nothing_is_an_external_abort(bench, ec, iss, pstate, esr_, vector):
    """Synchronous, from the guest's own level; FAR is virtual, ELR the instruction (D17.2.37, DFSC)."""
    bench.play(replace(abort(ec=ec, far=0xFFFF_8000_0000_0018, **iss), pstate=pstate))
    bench.vcpu.inject_external_abort()
    assert taken(bench) == (hex(esr_), 0, vector)
    assert bench.engine.entered[0].far == 0xFFFF_8000_0000_0018


# --- the guest's own exceptions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ec", [ec for ec in range(64) if ec not in {0x01, 0x16, 0x17, 0x18, 0x20, 0x24}])
def test_trap_to_el2_no_row_knows_is_undefined(bench, ec):
    """EL2 asked for no such trap; the guest never brings the host down."""
    assert bench.play(trap(ec, 0x123)) == Nothing()
    assert taken(bench) == ("0x2000000", 0, SYNC_SAME)


@pytest.mark.parametrize("ec", range(1, 64))
def test_exception_for_el1_is_taken_as_it_came(bench, ec):
    """With the engine's ESR; a FAR have aborts, PC alignment and watchpoints only (AArch64.ReportException)."""
    assert bench.play(Trap(1, esr(ec, 0x45), far=0x1234, pc=RAM + 8)) == Nothing()
    assert taken(bench) == (hex(esr(ec, 0x45)), 8, SYNC_SAME)
    far = 0x1234 if ec in {0x20, 0x21, 0x22, 0x24, 0x25, 0x34, 0x35} else None
    assert (bench.engine.entered[0].far, bench.vcpu.last_exception) == (0x1234, (esr(ec, 0x45), far, RAM + 8))


def test_code_outside_aarch64_is_not_modelled(bench):
    """No presented CPU has AArch32 (ID_AA64PFR0_EL1, D17.2.69): it is nobody's exception, and no crash of the guest."""
    with pytest.raises(Unmodelled, match=r"AArch32 code after an ERET .*ESR 0x02000000.*EL0 = 1"):
        bench.play(Trap(TARGET_AARCH32, UNDEFINED, pc=RAM))
    assert bench.engine.entered == []


def test_undefined_word_is_taken(bench):
    """A word that is no register access, or that cannot be read."""
    bench.put(0x0000_0000)
    bench.play(Trap(1, UNDEFINED, pc=RAM), Trap(1, UNDEFINED, pc=0x10))
    assert [(entry.esr, entry.elr) for entry in bench.engine.entered] == [(UNDEFINED, RAM), (UNDEFINED, 0x10)]


def test_semihosting_call_needs_a_handler(bench):
    """HLT #0xF000 is UNDEFINED without one; a handler finds PC on the instruction."""
    bench.put(HLT_SEMIHOSTING)
    called = []
    bench.play(Trap(1, UNDEFINED, pc=RAM))
    bench.vcpu.hear_semihosting(lambda vcpu: called.append(vcpu.state.pc))
    assert bench.engine.listen.hears_semihosting
    bench.play(Trap(1, UNDEFINED, pc=RAM))
    bench.vcpu.hear_semihosting(None)
    assert (len(bench.engine.entered), called, bench.engine.listen.hears_semihosting) == (1, [RAM], False)


def test_vector_that_raises_its_own_exception_is_a_crash(bench):
    """After STORM_LIMIT in a row, told with what it began; an exception from elsewhere is none of it."""
    loop = [Trap(1, UNDEFINED, pc=SYNC_SAME)] * STORM_LIMIT
    began = Trap(1, esr(EC.SVC64), pc=RAM + 4)
    assert bench.play(began, *loop[1:]) == Nothing()
    with pytest.raises(GuestCrash, match=f"the vector at 0xffff0200 .* began at {RAM + 4:#x} with: .*SVC"):
        bench.play(loop[0])
    assert bench.play(began, *loop[1:]) == Nothing()


def test_exception_from_elsewhere_ends_a_storm(bench):
    """Handlers that fault now and then are not endless."""
    inside, outside = Trap(1, UNDEFINED, pc=SYNC_SAME + 8), Trap(1, UNDEFINED, pc=RAM)
    assert bench.play(*([inside] * (STORM_LIMIT - 1) + [outside]) * 3) == Nothing()


# --- being watched, and dealing with exits in the trap ----------------------------------------------------------


def test_observer_hears_exceptions(bench):
    """ELR, target EL, ESR, FAR where the class has one, and the vector."""
    bench.vcpu.observer = heard = Heard()
    svc, alignment = esr(EC.SVC64, 1), esr(EC.PC_ALIGNMENT)
    bench.play(Trap(1, svc, far=9, pc=RAM + 4), Trap(1, alignment, far=RAM + 1, pc=RAM + 1, pstate=EL0))
    assert heard.events == [
        ("exception", RAM + 4, 1, svc, None, SYNC_SAME),
        ("exception", RAM + 1, 1, alignment, RAM + 1, SYNC_LOWER),
    ]


def test_observer_hears_register_accesses(bench):
    """PC on the instruction, the packed register, direction and value; XZR writes zero."""
    bench.vcpu.observer = heard = Heard()
    bench.play(access(MIDR, 1, read=True), access(by_name["ICC_PMR_EL1"].encoding, 31, read=False))
    assert heard.events == [
        ("sysreg", RAM, MIDR, True, bench.vcpu.model.MIDR_EL1),
        ("sysreg", RAM, by_name["ICC_PMR_EL1"].encoding, False, 0),
    ]


def test_observer_hears_calls_and_exits(bench):
    """The arguments as they were passed, the answer, and the exit; PC is behind the call."""
    bench.vcpu.observer = heard = Heard()
    bench.vcpu.services.register(0x8600_0001, lambda _id, _args: SystemDown())
    bench.vcpu.handlers.smc[0x8600_0002] = lambda _vcpu: 7
    arguments = {i: i for i in range(1, 7)}
    bench.play(trap(EC.SMC64, regs={0: 0x8600_0002, **arguments}), trap(EC.SMC64, regs={0: 0x8600_0001}))
    assert heard.events == [
        ("call", RAM + 4, "smc", 0x8600_0002, (1, 2, 3, 4, 5, 6), 7),
        ("call", RAM + 4, "smc", 0x8600_0001, (1, 2, 3, 4, 5, 6), SystemDown()),
        ("exit", RAM + 4, SystemDown()),
    ]


@pytest.mark.parametrize(("ec", "table"), [(EC.HVC64, "hypercalls"), (EC.SMC64, "smc")])
def test_observer_hears_a_call_as_the_guest_made_it(bench, ec, table):
    """Whatever its handler does to the registers; and what the handler gives."""

    def answer(vcpu):
        vcpu.set_gpr(0, 1)
        vcpu.set_gpr(1, 2)
        return 7

    getattr(bench.vcpu.handlers, table)[0x8600_0002] = answer
    bench.vcpu.observer = heard = Heard()
    bench.play(trap(ec, regs={0: 0x8600_0002, 1: 5}))
    assert [event[3:] for event in heard.events] == [(0x8600_0002, (5, 0, 0, 0, 0, 0), 7)]
    assert (bench.vcpu.gpr(0), bench.vcpu.gpr(1)) == (7, 2)


@pytest.mark.parametrize("ec", [EC.HVC64, EC.SMC64])
@pytest.mark.parametrize("observer", [None, Heard()])
def test_handler_that_gives_no_number_is_named_by_its_call(bench, ec, observer):
    """By the number that the guest gave, although the handler has written x0."""
    bench.vcpu.observer = observer
    for table in (bench.vcpu.handlers.hypercalls, bench.vcpu.handlers.smc):
        table[0x8600_0002] = lambda vcpu: vcpu.set_gpr(0, 1) or "text"
    with pytest.raises(UsageError, match=r"C 0x86000002, .*<lambda> \(.*\), gave 'text'"):
        bench.play(trap(ec, regs={0: 0x8600_0002}))


@pytest.mark.parametrize("ec", [EC.HVC64, EC.SMC64])
@pytest.mark.parametrize("x0", [0xFFFF_FFFF_8600_0001, 0x8601_0001], ids=["sign-extended", "SVE hint"])
def test_identifier_of_a_fast_call_is_in_w0(bench, ec, x0):
    """It reaches the handler of its number, by either conduit (DEN 0028 2.5)."""
    for table in (bench.vcpu.handlers.hypercalls, bench.vcpu.handlers.smc):
        table[0x8600_0001] = lambda _vcpu: 3
    bench.play(trap(ec, regs={0: x0}))
    assert bench.vcpu.gpr(0) == 3


def test_hypercall_number_of_64_bits_is_its_own(bench):
    """One that is no fast call is compared as a whole, and one that has a handler of its own goes there."""
    calls = bench.vcpu.handlers.hypercalls
    calls[5], calls[0x8600_0001] = lambda _vcpu: 1, lambda _vcpu: 2
    calls[1 << 40 | 6], calls[0xFFFF_FFFF_8600_0001] = lambda _vcpu: 3, lambda _vcpu: 4
    answers = []
    for number in (1 << 40 | 6, 0xFFFF_FFFF_8600_0001):
        bench.play(trap(EC.HVC64, regs={0: number}))
        answers.append(bench.vcpu.gpr(0))
    assert answers == [3, 4]
    assert bench.play(trap(EC.HVC64, regs={0: 1 << 40 | 5})) == Hypercall(1 << 40 | 5, (0, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("table", "number"), [("smc", 1 << 32), ("smc", -1), ("hypercalls", 1 << 64), ("hypercalls", "1"), ("smc", 1.0)]
)
def test_number_that_no_call_has_is_refused(bench, table, number):
    """UsageError where it is registered; so for what can't be called."""
    calls = getattr(bench.vcpu.handlers, table)
    with pytest.raises(UsageError, match="the number of"):
        calls[number] = lambda _vcpu: 0
    with pytest.raises(UsageError, match="is a function"):
        calls[1] = 5
    assert not calls


@pytest.mark.parametrize("ec", [EC.HVC64, EC.SMC64])
@pytest.mark.parametrize(("value", "answer"), [(-1, (1 << 64) - 1), ((1 << 64) + 5, 5), (True, 1), (7, 7)])
def test_an_answer_has_64_bits(bench, ec, value, answer):
    """Whatever number a handler gives: X0 has the low ones."""
    for table in (bench.vcpu.handlers.hypercalls, bench.vcpu.handlers.smc):
        table[1] = lambda _vcpu: value
    bench.play(trap(ec, regs={0: 1}))
    assert bench.vcpu.gpr(0) == answer


@pytest.mark.parametrize("reason", [None, "hm", 5, Hypercall])
def test_what_is_no_exit_ends_no_run(bench, reason):
    """UsageError from the handler that gives it."""
    bench.vcpu.handlers.hypercalls[1] = lambda vcpu: vcpu.exit(reason)
    with pytest.raises(UsageError, match="is no exit"):
        bench.play(trap(EC.HVC64, regs={0: 1}))
