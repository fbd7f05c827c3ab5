/* exceptions: what the architecture says about taking an exception to EL1, checked field by field.
 *
 * Each case runs code in one mode with run_at() and compares the vector, ESR, ELR, SPSR and FAR of the exception that
 * ends it (Arm ARM D1.3 "Exceptions", D24.2.40 "ESR_EL1", AArch64.TakeException). */
#include "mmu.h"
#include "user.h"

#define FLAGS (0xaul << 28) /* PSTATE.N and C, to see that SPSR_EL1 keeps them */
#define NO_FAR 1ul          /* an odd address that no case expects: FAR_EL1 is not to be looked at */

enum exception_class {
    EC_UNKNOWN = 0x00,
    EC_WFX = 0x01,
    EC_SVC64 = 0x15,
    EC_SYSREG = 0x18,
    EC_INSN_ABORT = 0x20, /* from EL0; +1 from EL1 */
    EC_PC_ALIGNMENT = 0x22,
    EC_DATA_ABORT = 0x24, /* from EL0; +1 from EL1 */
    EC_SP_ALIGNMENT = 0x26,
    EC_BRK64 = 0x3c,
};
#define WNR (1ul << 6)
#define ESR(ec, iss) ((u64)(ec) << 26 | 1ul << 25 | (u64)(iss))

struct mode_case {
    const char *name;
    u64 spsr, vector;
};
/* Three different masks, to see that SPSR_EL1 keeps them. */
static const struct mode_case modes[] = {
    {"EL0", FLAGS | 0x100 | EL0t, 0x400},
    {"EL1t", FLAGS | 0x300 | EL1t, 0x000},
    {"EL1h", FLAGS | 0x3c0 | EL1h, 0x200},
};
#define FROM_EL0 (&modes[0])
#define FROM_EL1H (&modes[2])

static char stack0[0x400] __attribute__((aligned(16)));
#define STACK0 ((u64)stack0 + sizeof stack0)

/* Copies text to `end` and returns the new end. */
static char *append(char *end, const char *text) {
    while ((*end = *text++))
        end++;
    return end;
}

/* One line for the whole exception; the first field that differs is the detail. */
static void expect(const char *what, const struct mode_case *mode, struct frame *f, u64 esr, u64 elr, u64 far) {
    char name[80];
    append(append(append(name, what), " "), mode->name);
    if (f->vector != mode->vector)
        fail(name, "vector 0x%lx, expected 0x%lx, ESR_EL1 0x%lx", f->vector, mode->vector, f->esr);
    else if (f->esr != esr)
        fail(name, "ESR_EL1 0x%lx, expected 0x%lx", f->esr, esr);
    else if (f->elr != elr)
        fail(name, "ELR_EL1 0x%lx, expected 0x%lx", f->elr, elr);
    else if (f->spsr != mode->spsr)
        fail(name, "SPSR_EL1 0x%lx, expected 0x%lx", f->spsr, mode->spsr);
    else if (far != NO_FAR && f->far != far)
        fail(name, "FAR_EL1 0x%lx, expected 0x%lx", f->far, far);
    else
        pass("%s", name);
}

/* Instructions that always trap, with the syndrome and the distance of ELR from them. */
extern const char user_svc[], user_brk[], user_udf[], user_mrs_el1[], user_wfi[], user_mrs_ctr[], user_daifset[];
#define SYSREG_ISS(op0, op1, crn, crm, op2, rt, read)                                                                  \
    ((op0) << 20 | (op2) << 17 | (op1) << 14 | (crn) << 10 | (rt) << 5 | (crm) << 1 | (read))

struct trap_case {
    const char *name, *code;
    u64 esr, step;
};
static const struct trap_case everywhere[] = {
    {"svc", user_svc, ESR(EC_SVC64, 0x1234), 4},
    {"brk", user_brk, ESR(EC_BRK64, 0xbeef), 0},
    {"udf", user_udf, ESR(EC_UNKNOWN, 0), 0},
};
/* SCTLR_EL1 has UCT, UMA and nTWI clear (D24.2.118). */
static const struct trap_case only_el0[] = {
    {"mrs-of-el1-register", user_mrs_el1, ESR(EC_UNKNOWN, 0), 0},
    {"wfi-trapped", user_wfi, ESR(EC_WFX, 0x1e00000), 0},
    {"mrs-ctr_el0-trapped", user_mrs_ctr, ESR(EC_SYSREG, SYSREG_ISS(3, 3, 0, 0, 1, 3, 1)), 0},
};

static void trap(const struct trap_case *c, const struct mode_case *mode) {
    struct frame f = run_at(mode->spsr, c->code, STACK0, 0, 0);
    expect(c->name, mode, &f, c->esr, (u64)c->code + c->step, NO_FAR);
}

/* MSR (immediate) as the instruction encodes it: Op0 = 0, Op1 = 3, CRn = 4, Op2 = 6, Rt = 31. QEMU 7.2 reports Op1 and
 * Op2 in each other's place. */
static void trapped_daifset(void) {
    struct frame f = run_at(FROM_EL0->spsr, user_daifset, 0, 0, 0);
    if (f.esr == ESR(EC_SYSREG, SYSREG_ISS(0, 6, 4, 2, 3, 31, 0)))
        skip("msr-daifset-trapped EL0", "this machine swaps Op1 and Op2");
    else
        expect("msr-daifset-trapped", FROM_EL0, &f, ESR(EC_SYSREG, SYSREG_ISS(0, 3, 4, 2, 6, 31, 0)),
               (u64)user_daifset, NO_FAR);
}

static void traps(void) {
    for (unsigned m = 0; m < 3; m++)
        for (unsigned i = 0; i < sizeof everywhere / sizeof *everywhere; i++)
            trap(&everywhere[i], &modes[m]);
    for (unsigned i = 0; i < sizeof only_el0 / sizeof *only_el0; i++)
        trap(&only_el0[i], FROM_EL0);
    trapped_daifset();
}

/* What the interrupted code and the handler see of PSTATE and the stack pointers (D1.2.2 "The stack pointer registers"). */
extern const char user_state[];
static u64 handler_daif, handler_spsel, handler_el;

static bool look_around(struct frame *frame) {
    (void)frame;
    handler_daif = read_sysreg(daif);
    handler_spsel = read_sysreg(spsel);
    handler_el = read_sysreg(CurrentEL);
    return false;
}

static void stack_pointers(void) {
    static const char *const names[] = {"sp EL0", "sp EL1t", "sp EL1h"};
    on_exception = look_around;
    for (unsigned m = 0; m < 3; m++) {
        struct frame f = run_at(modes[m].spsr, user_state, STACK0, 0, 0);
        u64 want = m == 2 ? f.sp : STACK0;
        if (f.x[0] == want && f.sp_el0 == STACK0)
            pass("%s", names[m]);
        else
            fail(names[m], "SP 0x%lx, expected 0x%lx; SP_EL0 0x%lx", f.x[0], want, f.sp_el0);
    }
    struct frame f = run_at(modes[1].spsr, user_state + 8, STACK0, 0, 0);
    check_equal("EL1t: CurrentEL and SPSel", f.x[1] << 4 | f.x[2], 4 << 4);
    f = run_at(modes[2].spsr, user_state + 8, STACK0, 0, 0);
    check_equal("EL1h: CurrentEL and SPSel", f.x[1] << 4 | f.x[2], 4 << 4 | 1);
    check_equal("handler: PSTATE.DAIF set", handler_daif, 0x3c0);
    check_equal("handler: SPSel", handler_spsel, 1);
    check_equal("handler: CurrentEL", handler_el, 4);
    on_exception = NULL;
}

/* An exception inside a handler: the first one's frame must survive it, and the code at EL0 goes on unharmed. */
extern const char user_registers[], nested_brk[];
static unsigned depth;
static u64 vectors_taken[2], nested_spsr, nested_esr, nested_elr;

static bool nest(struct frame *frame) {
    if (returned(frame))
        return false;
    if (depth < 2)
        vectors_taken[depth] = frame->vector;
    if (depth++ == 0) {
        __asm__ volatile("nested_brk: brk #0x77" ::: "memory");
        return true;
    }
    nested_spsr = frame->spsr;
    nested_esr = frame->esr;
    nested_elr = frame->elr;
    frame->elr += 4;
    return true;
}

static void nesting(void) {
    on_exception = nest;
    struct frame f = run_at(FROM_EL0->spsr, user_registers, STACK0, 0, 0);
    on_exception = NULL;
    check_equal("nested: both taken", depth, 2);
    check_equal("nested: outer vector", vectors_taken[0], 0x400);
    check_equal("nested: inner vector", vectors_taken[1], 0x200);
    check_equal("nested: inner ESR_EL1", nested_esr, ESR(EC_BRK64, 0x77));
    check_equal("nested: inner ELR_EL1", nested_elr, (u64)nested_brk);
    check_equal("nested: inner SPSR_EL1", nested_spsr & ~(0xful << 28), SPSR_DAIF | EL1h);
    check("nested: EL0 went on", returned(&f));
    check_equal("nested: x1 to x29 and SP kept", f.x[0], 0);
}

/* Alignment. QEMU before 9.0 does not check accesses to Device memory, and never SP (as of 7.2); the Arm ARM demands
 * it (B2.5.2, D1.2.2), so a machine that lets them pass gets a SKIP, and a wrong syndrome is still a FAIL. */
static void expect_or_skip(const char *name, const struct mode_case *mode, struct frame *f, u64 esr, u64 elr,
                           u64 far) {
    if (returned(f))
        skip(name, "this machine does not check it");
    else
        expect(name, mode, f, esr, elr, far);
}

extern const char user_odd[];

static void alignment_mmu_off(void) {
    u64 odd = FREE_RAM + 1;
    struct frame f = run_at(FROM_EL1H->spsr, user_load, 0, odd, 0);
    expect_or_skip("unaligned load, MMU off", FROM_EL1H, &f, ESR(EC_DATA_ABORT + 1, 0x21), (u64)user_load_at, odd);
    f = run_at(FROM_EL1H->spsr, user_store, 0, odd, 0);
    expect_or_skip("unaligned store, MMU off", FROM_EL1H, &f, ESR(EC_DATA_ABORT + 1, WNR | 0x21), (u64)user_store_at,
                   odd);
    f = run_at(FROM_EL0->spsr, user_jump, 0, (u64)user_odd + 2, 0);
    expect_or_skip("PC alignment", FROM_EL0, &f, ESR(EC_PC_ALIGNMENT, 0), (u64)user_odd + 2, (u64)user_odd + 2);
    write_sysreg(sctlr_el1, SCTLR_RES1 | 3ul << 3); /* SA and SA0 */
    isb();
    for (unsigned m = 0; m < 2; m++) { /* not EL1h: its handler would need the stack that is wrong */
        f = run_at(modes[m].spsr, user_push, STACK0 - 8, 0, 0);
        expect_or_skip("SP alignment", &modes[m], &f, ESR(EC_SP_ALIGNMENT, 0), (u64)user_push_at, NO_FAR);
    }
    write_sysreg(sctlr_el1, SCTLR_RES1);
    isb();
}

/* Aborts, with the 4 KiB granule and 48-bit addresses: levels 0 to 3. */
enum access { READ, WRITE, EXECUTE };
struct abort_case {
    const char *name;
    u64 va;
    u64 fault_status; /* DFSC or IFSC */
    unsigned by_el0, by_el1;
};
#define R (1u << READ)
#define W (1u << WRITE)
#define X (1u << EXECUTE)

#define VA_LEVEL0 0x0000700000000000ul
#define VA_LEVEL1 0x0000002000000000ul /* its level 0 entry is a table, as every address below 512 GiB */
#define VA_LEVEL2 0x0000000120000000ul /* USER_VA has its level 2 table */
#define VA_LEVEL3 0x0000000100010000ul /* and its level 3 table */
#define VA_UPPER 0xffff000000000000ul  /* TTBR1_EL1 is off by TCR_EL1.EPD1 */
#define VA_HOLE 0x0100000000000000ul   /* neither range: bits 63 to 48 differ */
#define VA_AF(level) (0x0000001000000000ul + ((level) << 33))
#define VA_RO(level) (0x0000002800000000ul + ((level) << 33))
#define VA_NO_EL0(level) (0x0000003800000000ul + ((level) << 33))
#define VA_NO_EXEC(level) (0x0000004800000000ul + ((level) << 33))

static const struct abort_case aborts[] = {
    {"translation level 0", VA_LEVEL0, 0x04, R | W | X, R | W | X},
    {"translation level 1", VA_LEVEL1, 0x05, R | W | X, R | W | X},
    {"translation level 2", VA_LEVEL2, 0x06, R | W | X, R | W | X},
    {"translation level 3", VA_LEVEL3, 0x07, R | W | X, R | W | X},
    {"translation by EPD1", VA_UPPER, 0x04, R | W | X, R | W | X},
    {"translation outside both ranges", VA_HOLE, 0x04, R | W, R | W},
    {"access flag level 1", VA_AF(1ul), 0x09, R | W | X, R | W | X},
    {"access flag level 2", VA_AF(2ul), 0x0a, R | W | X, R | W | X},
    {"access flag level 3", VA_AF(3ul), 0x0b, R | W | X, R | W | X},
    {"read-only level 1", VA_RO(1ul), 0x0d, W, W},
    {"read-only level 2", VA_RO(2ul), 0x0e, W, W},
    {"read-only level 3", VA_RO(3ul), 0x0f, W, W},
    {"for EL1 only, level 1", VA_NO_EL0(1ul), 0x0d, R | W, 0},
    {"for EL1 only, level 2", VA_NO_EL0(2ul), 0x0e, R | W, 0},
    {"for EL1 only, level 3", VA_NO_EL0(3ul), 0x0f, R | W, 0},
    {"execute-never level 1", VA_NO_EXEC(1ul), 0x0d, X, X},
    {"execute-never level 2", VA_NO_EXEC(2ul), 0x0e, X, X},
    {"execute-never level 3", VA_NO_EXEC(3ul), 0x0f, X, X},
};

static void map_aborts(const struct space *space) {
    for (u64 level = 1; level <= 3; level++) {
        map(space, VA_AF(level), RAM_BASE, (int)level, (NORMAL & ~AF) | AP_EL0);
        map(space, VA_RO(level), RAM_BASE, (int)level, NORMAL | AP_EL0 | AP_RO);
        map(space, VA_NO_EL0(level), RAM_BASE, (int)level, NORMAL);
        map(space, VA_NO_EXEC(level), RAM_BASE, (int)level, NORMAL | AP_EL0 | PXN | UXN);
    }
}

static void abort_by(const struct space *space, const struct abort_case *c, enum access access,
                     const struct mode_case *mode) {
    static const char *const verbs[] = {"read", "write", "execute"};
    static const char *const snippets[] = {user_load, user_store, user_jump};
    u64 code = user_alias(space, snippets[access]), from_el1 = mode != FROM_EL0;
    struct frame f = run_at(mode->spsr, (const void *)code, STACK0, c->va + 8 * (access != EXECUTE), 0);
    u64 esr = access == EXECUTE ? ESR(EC_INSN_ABORT + from_el1, c->fault_status)
                                : ESR(EC_DATA_ABORT + from_el1, c->fault_status | (access == WRITE ? WNR : 0));
    char name[64];
    append(append(append(name, c->name), ", "), verbs[access]);
    if (access == EXECUTE)
        expect(name, mode, &f, esr, c->va, c->va);
    else
        expect(name, mode, &f, esr, code, c->va + 8);
}

static void all_aborts(const struct space *space) {
    for (unsigned i = 0; i < sizeof aborts / sizeof *aborts; i++)
        for (enum access access = READ; access <= EXECUTE; access++) {
            if (aborts[i].by_el0 >> access & 1)
                abort_by(space, &aborts[i], access, FROM_EL0);
            if (aborts[i].by_el1 >> access & 1)
                abort_by(space, &aborts[i], access, FROM_EL1H);
        }
}

static void other_aborts(const struct space *space) {
    u64 zva = user_alias(space, user_zva), exclusive = user_alias(space, user_exclusive);
    struct frame f = run_at(FROM_EL1H->spsr, (void *)zva, 0, VA_LEVEL3, 0);
    expect("dc zva unmapped", FROM_EL1H, &f, ESR(EC_DATA_ABORT + 1, WNR | 0x07), zva, VA_LEVEL3);
    map(space, VA_LEVEL3, FREE_RAM, 3, NORMAL | AP_EL0);
    f = run_at(FROM_EL1H->spsr, (void *)exclusive, 0, VA_LEVEL3 + 4, 0);
    expect("unaligned ldxr", FROM_EL1H, &f, ESR(EC_DATA_ABORT + 1, 0x21), exclusive, VA_LEVEL3 + 4);
    f = run_at(FROM_EL0->spsr, (void *)exclusive, 0, VA_LEVEL3 + 4, 0);
    expect("unaligned ldxr", FROM_EL0, &f, ESR(EC_DATA_ABORT, 0x21), exclusive, VA_LEVEL3 + 4);
    *(u64 *)FREE_RAM = 0x1122334455667788;
    *(u64 *)(FREE_RAM + 8) = 0x99;
    f = run_at(FROM_EL0->spsr, (void *)user_alias(space, user_load), 0, VA_LEVEL3 + 1, 0);
    check_equal("unaligned load of Normal memory", f.x[0], 0x9911223344556677);
}

void main(const void *fdt) {
    (void)fdt;
    traps();
    stack_pointers();
    nesting();
    alignment_mmu_off();
    struct space space = new_space(GRANULE_4K, 48);
    map_guest(&space);
    map_aborts(&space);
    mmu_on(&space, NULL, 0);
    all_aborts(&space);
    other_aborts(&space);
    mmu_off();
    summary("exceptions");
}
