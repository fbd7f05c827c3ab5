/* The guest: it runs at EL1 at addresses that the machine has not, does what its hypervisor has to see, and asks it what
 * it saw. It writes no variable of the image, which is read-only to it, but a struct at the start of its RAM. */
#include "hypervisor.h"
#include "interrupts/gic.h"
#include "interrupts/timer.h"
#include "mmu.h"
#include "virtual_gic.h"

#define PAGE 0x1000ul
#define TABLE (GUEST_RAM + 1 * PAGE)
#define SECOND_TABLE (GUEST_RAM + 2 * PAGE)
#define DATA (GUEST_RAM + 3 * PAGE)
#define DEVICE_ALIAS 0x200000000ul /* the guest's first GiB once more */
#define RAM_ALIAS 0x240000000ul    /* GUEST_RAM, by SECOND_TABLE */
#define EOI_MAINTENANCE true
#define WFI_ESR 0x07e00000ul

static struct state {
    volatile u64 tick;
    u64 has_gicv3;
    u64 interrupts, order[8]; /* INTIDs as they were taken */
    u64 active;               /* of the timer, between acknowledging and ending it */
    u64 virtual_irqs, virtual_fiqs, serror, svcs;
} *const state = (struct state *)GUEST_RAM;

static u64 call(enum call number, u64 a, u64 b, u64 c) {
    register u64 x0 __asm__("x0") = number;
    register u64 x1 __asm__("x1") = a;
    register u64 x2 __asm__("x2") = b;
    register u64 x3 __asm__("x3") = c;
    __asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::"memory");
    return x0;
}

static void expect(const char *name, u64 got, u64 wanted) { call(CALL_CHECK, (u64)name, got, wanted); }

enum { ESR, FAR, HPFAR, ELR, COUNT };
static u64 last(unsigned member) { return call(CALL_LAST, member, 0, 0); }

/* --- calls and identity ------------------------------------------------------------------------------------------ */

static void identity(u64 cpu) {
    expect("the guest is at EL1", read_sysreg(CurrentEL) >> 2, 1);
    expect("a call is answered", call(CALL_ADD, 40, 2, 0), 42);
    expect("MPIDR_EL1 is VMPIDR_EL2", read_sysreg(mpidr_el1), GUEST_MPIDR | cpu);
    expect("MIDR_EL1 is VPIDR_EL2", read_sysreg(midr_el1), GUEST_MIDR);
    u64 before = last(COUNT);
    __asm__ volatile("svc #1");
    expect("SVC stays at EL1", state->svcs << 32 | (last(COUNT) - before), 1ul << 32);
}

/* --- a device that the hypervisor emulates ------------------------------------------------------------------------ */

#define LOAD(instruction, address)                                                                                     \
    ({                                                                                                                 \
        register u64 x7 __asm__("x7") = ~0ul;                                                                          \
        register u64 x8 __asm__("x8") = address;                                                                       \
        __asm__ volatile(instruction : "+r"(x7) : "r"(x8) : "memory");                                                 \
        x7;                                                                                                            \
    })
#define STORE(instruction, address, value)                                                                             \
    ({                                                                                                                 \
        register u64 x7 __asm__("x7") = value;                                                                         \
        register u64 x8 __asm__("x8") = address;                                                                       \
        __asm__ volatile(instruction ::"r"(x7), "r"(x8) : "memory");                                                   \
    })

/* ESR_EL2 of a translation fault of level 3 at a lower level's LDR or STR of x7: 0x93800007 with SAS, SSE, SRT, SF, WnR. */
static u64 device_esr(u64 sas, u64 sse, u64 rt, u64 sf, u64 wnr) {
    return 0x93000007ul | sas << 22 | sse << 21 | rt << 16 | sf << 15 | wnr << 6;
}

static void device(void) {
    STORE("str x7, [x8]", STORAGE, 0x8899aabbccddeefful);
    expect("STR x: ESR_EL2", last(ESR), device_esr(3, 0, 7, 1, 1));
    expect("STR x: HPFAR_EL2", last(HPFAR), STORAGE >> 8);
    expect("LDR x", LOAD("ldr x7, [x8]", STORAGE), 0x8899aabbccddeefful);
    expect("LDR w", LOAD("ldr w7, [x8, #4]", STORAGE), 0x8899aabbul);
    expect("LDRSW", LOAD("ldrsw x7, [x8, #4]", STORAGE), 0xffffffff8899aabbul);
    expect("LDRH", LOAD("ldrh w7, [x8, #2]", STORAGE), 0xccddul);
    expect("LDRSH to w", LOAD("ldrsh w7, [x8, #2]", STORAGE), 0xffffccddul);
    expect("LDRSH to w: ESR_EL2", last(ESR), device_esr(1, 1, 7, 0, 0));
    expect("LDRSH to x", LOAD("ldrsh x7, [x8, #2]", STORAGE), 0xffffffffffffccddul);
    expect("LDRSH to x: ESR_EL2", last(ESR), device_esr(1, 1, 7, 1, 0));
    expect("LDRB", LOAD("ldrb w7, [x8, #7]", STORAGE), 0x88ul);
    expect("LDRB: FAR_EL2", last(FAR), STORAGE + 7);
    STORE("strb wzr, [x8, #1]", STORAGE, 0);
    expect("STRB wzr: ESR_EL2", last(ESR), device_esr(0, 0, 31, 0, 1));
    expect("after STRB wzr", LOAD("ldr w7, [x8]", STORAGE), 0xccdd00fful);
    LOAD("ldr xzr, [x8]", STORAGE);
    expect("LDR xzr: ESR_EL2", last(ESR), device_esr(3, 0, 31, 1, 0));
    u64 before = last(COUNT);
    STORE("stp x7, x7, [x8]", STORAGE, 0);
    expect("STP has no syndrome", last(ESR), 0x92000047ul);
    expect("each access was one exit", last(COUNT) - before, 1);
}

/* --- stage 2 ----------------------------------------------------------------------------------------------------- */

static void stage_2(void) {
    extern char __image_start[];
    expect("memory is the machine's, shifted", call(CALL_TRANSLATE, (u64)__image_start, 0, 0),
           (u64)__image_start - IPA_OFFSET);
    expect("nothing there: no translation", call(CALL_TRANSLATE, UNMAPPED, 0, 0), 1);
    LOAD("ldr x7, [x8]", UNMAPPED + 8);
    expect("a load from nowhere is a translation fault", bits(last(ESR), 31, 26) << 6 | bits(last(ESR), 5, 2) << 2,
           0x24 << 6 | 4);
    expect("a load from nowhere: HPFAR_EL2", last(HPFAR), UNMAPPED >> 8);
    STORE("str w7, [x8]", (u64)__image_start, 0);
    expect("a store to read-only memory is a permission fault", last(ESR), device_esr(2, 0, 7, 0, 1) | 8);
    ((void (*)(void))UNMAPPED)();
    expect("a branch to nowhere is an instruction abort", bits(last(ESR), 31, 26) << 6 | bits(last(ESR), 5, 2) << 2,
           0x20 << 6 | 4);
    ((void (*)(void))DATA)();
    expect("a branch to what is not executable: ESR_EL2", last(ESR), 0x8200000ful);
    *(volatile u64 *)DATA = 0x1234;
    call(CALL_UNMAP, DATA, 0, 0);
    expect("a page that went away comes back", *(volatile u64 *)DATA, 0x1234);
    expect("it was fetched by a fault", last(HPFAR), DATA >> 8);
}

/* 4 KiB granule, 39 bits: the first table is of level 1, an entry for each GiB. */
static void both_stages(void) {
    volatile u64 *table = (volatile u64 *)TABLE, *second = (volatile u64 *)SECOND_TABLE;
    table[0] = table[DEVICE_ALIAS >> 30] = 0 | DEVICE | VALID;
    table[GUEST_RAM >> 30] = 0x80000000ul | NORMAL | VALID;
    table[RAM_ALIAS >> 30] = SECOND_TABLE | 3;
    second[0] = GUEST_RAM | NORMAL | VALID;
    write_sysreg(mair_el1, 0xff00);
    write_sysreg(tcr_el1, 25ul | 1ul << 8 | 1ul << 10 | 3ul << 12 | TCR_EPD1 | 2ul << 32);
    write_sysreg(ttbr0_el1, TABLE);
    isb();
    tlbi_all();
    write_sysreg(sctlr_el1, SCTLR_RES1 | SCTLR_M | SCTLR_C | SCTLR_I);
    isb();
    STORE("str w7, [x8, #12]", DEVICE_ALIAS + STORAGE, 0x77);
    expect("stage 1 and 2: FAR_EL2", last(FAR), DEVICE_ALIAS + STORAGE + 12);
    expect("stage 1 and 2: HPFAR_EL2", last(HPFAR), STORAGE >> 8);
    expect("stage 1 and 2: the device", LOAD("ldr w7, [x8, #12]", STORAGE), 0x77);
    expect("stage 1 and 2: RAM", *(volatile u64 *)(RAM_ALIAS + DATA - GUEST_RAM), 0x1234);
    u64 behind = call(CALL_TRANSLATE, DATA, 0, 0);
    expect("stage 1 and 2: AT", call(CALL_TRANSLATE, RAM_ALIAS + DATA - GUEST_RAM, 0, 0), behind);
    call(CALL_UNMAP, SECOND_TABLE, 0, 0);
    tlbi_all();
    expect("a walk of stage 1 faults, and goes on", LOAD("ldr x7, [x8]", RAM_ALIAS + DATA - GUEST_RAM), 0x1234);
    /* Not the level, which is stage 2's and in QEMU 7.2 that of stage 1. */
    expect("a fault on a walk: ESR_EL2", last(ESR) & ~3ul, 0x92000084ul);
    expect("a fault on a walk: HPFAR_EL2", last(HPFAR), SECOND_TABLE >> 8);
    expect("a fault on a walk: FAR_EL2", last(FAR), RAM_ALIAS + DATA - GUEST_RAM);
}

#define FP(instruction, x8) LOAD(".arch_extension fp\n\t" instruction, x8)

/* --- instructions that trap --------------------------------------------------------------------------------------- */

u64 guest_smc(u64 x0);

static u64 trapped_esr(u64 op0, u64 op1, u64 crn, u64 crm, u64 op2, u64 rt, u64 is_read) {
    return 0x62000000ul | op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | rt << 5 | crm << 1 | is_read;
}

static void traps(void) {
    call(CALL_HCR, HCR_TVM | HCR_TID3 | HCR_TACR, 0, 0);
    STORE("msr contextidr_el1, x7", 0, 0x41);
    expect("HCR_EL2.TVM: ESR_EL2", last(ESR), trapped_esr(3, 0, 13, 0, 1, 7, 0));
    expect("HCR_EL2.TVM: the hypervisor wrote it", read_sysreg(contextidr_el1), 0x42);
    expect("HCR_EL2.TID3: the hypervisor's value", LOAD("mrs x7, id_aa64isar0_el1", 0), 0x10);
    expect("HCR_EL2.TID3: ESR_EL2", last(ESR), trapped_esr(3, 0, 0, 6, 0, 7, 1));
    expect("HCR_EL2.TACR: the hypervisor's value", LOAD("mrs x7, actlr_el1", 0), 0xac);
    call(CALL_HCR, 0, HCR_TVM | HCR_TID3 | HCR_TACR, 0);
    u64 before = last(COUNT);
    write_sysreg(contextidr_el1, 7);
    expect("no trap without the bit", last(COUNT) - before, 0);
    write_sysreg(cpacr_el1, 3ul << 20);
    isb();
    expect("FP works after its trap", FP("fmov d0, x8\n\tfmov x7, d0", 1ul << 62), 1ul << 62);
    expect("FP: ESR_EL2", last(ESR), 0x1fe00000ul);
    before = last(COUNT);
    FP("fmov x7, d0", 0);
    expect("FP traps once", last(COUNT) - before, 0);
    expect("SMC is forwarded: PSCI_VERSION", guest_smc(0x84000000u) >> 16, 1);
    expect("SMC: ESR_EL2", last(ESR), 0x5e000012ul);
}

/* --- virtual interrupts ------------------------------------------------------------------------------------------- */

static u32 acknowledge(void) {
    return state->has_gicv3 ? gic_acknowledge() : read32(GICC_BASE + 0xc) & 0x3ff;
}

static void end(u32 intid) {
    if (state->has_gicv3)
        gic_end(intid);
    else
        write32(GICC_BASE + 0x10, intid);
}

static void virtual_interface(void) {
    if (state->has_gicv3) {
        write_sysreg(icc_sre_el1, 7);
        isb();
        write_sysreg(icc_pmr_el1, 0xff);
        write_sysreg(icc_bpr1_el1, 0);
        write_sysreg(icc_ctlr_el1, 0);
        write_sysreg(icc_igrpen1_el1, 1);
        isb();
    } else {
        write32(GICC_BASE + 4, 0xff);
        write32(GICC_BASE, 1);
    }
}

static void irq(void) {
    u32 intid = acknowledge();
    if (intid == SPURIOUS) { /* HCR_EL2.VI, which no list register explains */
        state->virtual_irqs++;
        call(CALL_HCR, 0, HCR_VI, 0);
        return;
    }
    state->order[state->interrupts++ % 8] = intid;
    if (intid == VIRTUAL_TIMER_INTID) {
        write_sysreg(cntv_ctl_el0, 0);
        isb();
        state->active = call(CALL_ACTIVE, intid, 0, 0);
    }
    end(intid);
}

void guest_exception(struct frame *frame) {
    if (frame->vector == IRQ_VECTOR) {
        irq();
    } else if (frame->vector == FIQ_VECTOR) {
        state->virtual_fiqs++;
        call(CALL_HCR, 0, HCR_VF, 0);
    } else if (frame->vector == SERROR_VECTOR) {
        state->serror = frame->esr;
    } else if (ESR_EC(frame->esr) == 0x15) {
        state->svcs++;
    } else {
        expect("an exception that should not be: ESR_EL1", frame->esr, 0);
        expect("an exception that should not be: ELR_EL1", frame->elr, 0);
        call(CALL_END, 0, 0, 0);
    }
}

#define let_in(which) __asm__ volatile("msr daifclr, " which "\n\tisb\n\tmsr daifset, " which "\n\tisb" ::: "memory")

static void injected(void) {
    virtual_interface();
    expect("a list register is free", call(CALL_INJECT, 42, 0x80, 0), true);
    expect("masked, it stays pending", call(CALL_PENDING, 0, 0, 0), 1);
    let_in("#2");
    expect("a virtual interrupt is taken", state->interrupts << 32 | state->order[0], 1ul << 32 | 42);
    expect("its list register is free again", call(CALL_PENDING, 0, 0, 0), 0);
    call(CALL_INJECT, 44, 0xa0, 0);
    call(CALL_INJECT, 45, 0x20, 0);
    let_in("#2");
    expect("the higher priority comes first", state->order[1] << 32 | state->order[2], 45ul << 32 | 44);
    call(CALL_INJECT, 46, 0x80, EOI_MAINTENANCE);
    let_in("#2");
    expect("its end is a maintenance interrupt", call(CALL_MAINTENANCE, 0, 0, 0), MISR_EOI << 32 | 1);
    call(CALL_HCR, HCR_VI, 0, 0);
    let_in("#2");
    expect("HCR_EL2.VI is an IRQ", state->virtual_irqs, 1);
    call(CALL_HCR, HCR_VF, 0, 0);
    let_in("#1");
    expect("HCR_EL2.VF is a FIQ", state->virtual_fiqs, 1);
    call(CALL_HCR, HCR_VSE, 0, 0);
    let_in("#4");
    expect("HCR_EL2.VSE is an SError", ESR_EC(state->serror), 0x2f);
    state->serror = 0;
    let_in("#4");
    expect("HCR_EL2.VSE is clear when it was taken", state->serror, 0);
}

/* WFI with interrupts masked, as the mark may come between looking and waiting. */
static void take_timer(u64 after_us) {
    state->active = 0;
    write_sysreg(cntv_tval_el0, ticks_of_us(after_us));
    write_sysreg(cntv_ctl_el0, CTL_ENABLE);
    do {
        __asm__ volatile("wfi" ::: "memory");
        let_in("#2");
    } while (!*(volatile u64 *)&state->active);
}

static void time(void) {
    u64 before = read_sysreg(cntvct_el0);
    isb();
    u64 physical = read_sysreg(cntpct_el0);
    isb();
    u64 after = read_sysreg(cntvct_el0);
    u64 offset = call(CALL_OFFSET, 0, 0, 0);
    expect("CNTVOFF_EL2", physical - before >= offset && physical - after <= offset, true);
    call(CALL_TRAP_COUNT, 0, 0, 0);
    physical = LOAD("mrs x7, cntpct_el0", 0);
    expect("CNTHCTL_EL2.EL1PCTEN: ESR_EL2", last(ESR), trapped_esr(3, 3, 14, 0, 1, 7, 1));
    expect("CNTHCTL_EL2.EL1PCTEN: the hypervisor's value", physical >= after + offset, true);
    /* Where the interrupt is there before WFI, as on a host that is busy, WFI need not trap: again, with more time. */
    for (u64 us = 1000; us < 5000000 && last(ESR) != WFI_ESR; us *= 4)
        take_timer(us);
    expect("WFI: ESR_EL2", last(ESR), WFI_ESR);
    expect("the timer's interrupt is forwarded", state->order[(state->interrupts - 1) % 8], VIRTUAL_TIMER_INTID);
    expect("its end deactivates the physical one", call(CALL_ACTIVE, VIRTUAL_TIMER_INTID, 0, 0), false);
    call(CALL_TICK, ticks_of_us(1000), (u64)&state->tick, 0);
    while (!state->tick) {
    }
    expect("the hypervisor's timer ends a guest's loop", state->tick, 1);
}

void guest_main(u64 cpu, u64 has_gicv3) {
    state->has_gicv3 = has_gicv3;
    print("guest: cpu %lu, by a UART that is emulated\n", cpu);
    identity(cpu);
    device();
    stage_2();
    both_stages();
    traps();
    injected();
    time();
    call(CALL_END, 0, 0, 0);
}
