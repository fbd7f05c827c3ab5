/* entry: one line for every kind of exception that a guest takes itself, with everything that its entry defines.
 *
 *     EL1h, ldr x1, [x0], read-only: vector=0x200 esr=0x9600004f elr=code+0x0 spsr=0x... far=x0+0x0 ...
 *
 * The lines say what happened and not whether it is right: they are compared with those of another machine. An
 * instruction that took no exception shows the SVC #0xffff behind it. A sum over x0 to x30 and the stack pointers, and
 * what has changed of them, of the system registers and of the SIMD registers, say that entry did nothing else. */
#include "interrupts/gic.h"
#include "interrupts/timer.h"
#include "mmu.h"

struct state { /* as in entry.S */
    u64 x[31], sp_el0, sp_el1, elr, spsr, esr, far, vector, el, spsel, daif, nzcv, pan;
};
extern struct state after;
u64 has_pan;
void cross(const struct state *before);
void fill_fp(void);
u64 fold_fp(void);
extern const char entry_vectors[], vectors[], user_odd[];

struct snippet {
    const char *text, *code;
};
extern const struct snippet always[], not_at_el0[], not_at_el1t[], controlled_at_el0[], timers[], performance[],
    floats[], float_accesses[], accesses[], load_and_store[], execute[], calls[], aligned[], aligned_acquire[],
    by_stack[], stepped[], watched[], nothing[], spinning[], svc[], brk[], udf[];

/* What a snippet runs under. Zero is the usual: MMU on, the traps of SCTLR_EL1 as after reset, FP on, no debugging. */
struct condition {
    const char *name;
    u64 x0;
    u64 sctlr, cpacr; /* bits of SCTLR_EL1 and CPACR_EL1 that are the other way round */
    u64 cntkctl, mdscr;
    u64 spsr;      /* more bits of the SPSR_EL1 that is returned to */
    u64 daif;      /* DAIF(mask), where it matters; otherwise every line has another one */
    u64 sp_offset; /* added to both stack pointers */
};
#define DAIF(mask) ((mask) << 6 | 1)

#define SCTLR_A (1ul << 1)
#define SCTLR_SA (1ul << 3)
#define SCTLR_SA0 (1ul << 4)
#define SCTLR_DZE (1ul << 14)
#define SCTLR_UCT (1ul << 15)
#define SCTLR_NTWI (1ul << 16)
#define SCTLR_NTWE (1ul << 18)
#define SCTLR_UCI (1ul << 26)
#define FPEN(value) ((3ul ^ (value)) << 20)
#define SPSR_SS (1ul << 21)
#define SPSR_IL (1ul << 20)
#define SPSR_PAN (1ul << 22)
#define MDSCR_SS (1ul << 0)
#define MDSCR_KDE (1ul << 13)
#define MDSCR_MDE (1ul << 15)

#define DATA_VA 0x0000000110000000ul /* for EL0 and EL1, read and write */
#define DATA_PA FREE_RAM
#define KERNEL_VA (FREE_RAM + 0x40000)
#define STACK_EL0 (DATA_VA + 0x800)
#define STACK_EL1 (FREE_RAM + 0x80000)

static struct space space;
static unsigned line;

static const char *mode_name(unsigned mode) { return mode == EL0t ? "EL0" : mode == EL1t ? "EL1t" : "EL1h"; }

/* --- a line -------------------------------------------------------------------------------------------------- */

#define SYSTEM(X)                                                                                                      \
    X(sctlr_el1) X(tcr_el1) X(ttbr0_el1) X(ttbr1_el1) X(mair_el1) X(amair_el1) X(vbar_el1) X(cpacr_el1)                \
    X(contextidr_el1) X(tpidr_el0) X(tpidrro_el0) X(par_el1) X(cntkctl_el1) X(mdscr_el1) X(csselr_el1) X(afsr0_el1)    \
    X(afsr1_el1)
enum {
#define X(name) SYSTEM_##name,
    SYSTEM(X)
#undef X
        SYSTEM_COUNT
};
static const char *const system_names[] = {
#define X(name) #name,
    SYSTEM(X)
#undef X
};

static void read_system(u64 values[SYSTEM_COUNT]) {
#define X(name) values[SYSTEM_##name] = read_sysreg(name);
    SYSTEM(X)
#undef X
}

static void print_near(const char *key, u64 value, u64 code, u64 x0) {
    if (value - code < 0x40)
        print(" %s=code+0x%lx", key, value - code);
    else if (value - x0 < 0x2000)
        print(" %s=x0+0x%lx", key, value - x0);
    else if (x0 - value < 0x2000)
        print(" %s=x0-0x%lx", key, x0 - value);
    else
        print(" %s=0x%lx", key, value);
}

/* Aborts, PC alignment and watchpoints have a FAR_EL1 (Arm ARM D24.2.42). */
static bool has_far(u64 esr) {
    u64 ec = ESR_EC(esr);
    return (ec >= 0x20 && ec <= 0x25) || ec == 0x34 || ec == 0x35;
}

static void print_changes(const struct state *before) {
    u64 sum = 0;
    bool any = false;
    for (unsigned i = 0; i < 33; i++) /* x0 to x30, SP_EL0, SP_EL1 */
        sum = (sum << 7 | sum >> 57) ^ after.x[i];
    print(" sum=0x%lx changed=", sum);
    for (unsigned i = 0; i < 33; i++) {
        if (after.x[i] == before->x[i])
            continue;
        put_string(any ? "," : "");
        any = true;
        if (i < 31)
            print("x%u", i);
        else
            put_string(i == 31 ? "sp_el0" : "sp_el1");
    }
    put_string(any ? "" : "-");
}

static void print_system(const u64 before[SYSTEM_COUNT], const u64 now[SYSTEM_COUNT]) {
    bool any = false;
    put_string(" system=");
    for (unsigned i = 0; i < SYSTEM_COUNT; i++) {
        if (before[i] == now[i])
            continue;
        print("%s%s", any ? "," : "", system_names[i]);
        any = true;
    }
    put_string(any ? "" : "kept");
}

static void print_name(const char *mode, const char *text, const struct condition *c) {
    print("%s, %s", mode, text);
    if (c->name)
        print(", %s", c->name);
}

/* The snippet at `code`, with PSTATE from `pstate` alone, and its line. */
static void run_with(const char *mode, const struct snippet *snippet, u64 code, const struct condition *c, u64 pstate) {
    struct state before;
    u64 system_before[SYSTEM_COUNT], system_after[SYSTEM_COUNT], sctlr = read_sysreg(sctlr_el1);
    for (unsigned i = 0; i < 31; i++)
        before.x[i] = 0x9e3779b97f4a7c15ul * (i + 1);
    before.x[0] = c->x0;
    before.sp_el0 = STACK_EL0 + c->sp_offset;
    before.sp_el1 = STACK_EL1 + c->sp_offset;
    before.elr = code;
    before.spsr = pstate;
    for (u64 i = 0; i < 0x200; i++) /* what is loaded is the same in each line, whatever was stored before */
        ((volatile u64 *)DATA_PA)[i] = i << 40 | 0x8000ff00 | i;
    fill_fp();
    u64 fp = fold_fp();
    write_sysreg(vbar_el1, entry_vectors);
    write_sysreg(cpacr_el1, (3ul << 20) ^ c->cpacr);
    write_sysreg(cntkctl_el1, c->cntkctl);
    write_sysreg(mdscr_el1, c->mdscr);
    write_sysreg(sctlr_el1, sctlr ^ c->sctlr);
    isb();
    read_system(system_before);
    cross(&before);
    read_system(system_after);
    write_sysreg(sctlr_el1, sctlr);
    write_sysreg(mdscr_el1, 0);
    write_sysreg(cntkctl_el1, 0);
    write_sysreg(cpacr_el1, 3ul << 20);
    write_sysreg(vbar_el1, vectors);
    if (has_pan)
        write_sysreg(S3_0_C4_C2_3, 0);
    isb();
    u64 fp_after = fold_fp();

    print_name(mode, snippet->text, c);
    print(": vector=0x%lx esr=0x%lx", after.vector, after.esr);
    print_near("elr", after.elr, code, c->x0);
    print(" spsr=0x%lx", after.spsr);
    if (has_far(after.esr))
        print_near("far", after.far, code, c->x0);
    else
        put_string(" far=-");
    print(" el=%lu spsel=%lu daif=0x%lx nzcv=0x%lx", after.el >> 2, after.spsel, after.daif, after.nzcv >> 28);
    if (has_pan)
        print(" pan=%lu", after.pan >> 22);
    else
        put_string(" pan=-");
    print_changes(&before);
    print_system(system_before, system_after);
    if (fp == fp_after)
        put_string(" fp=kept\n");
    else
        print(" fp=0x%lx\n", fp_after);
}

/* Every line has other flags and masks, and some flag is always set. */
static void run(const struct snippet *snippet, unsigned mode, const struct condition *c) {
    u64 flags = line * 4 % 15 + 1, masks = c->daif ? c->daif >> 6 : line * 7 % 16;
    line++;
    run_with(mode_name(mode), snippet, user_alias(&space, snippet->code), c, flags << 28 | masks << 6 | mode | c->spsr);
}

enum modes { AT_EL0 = 1, AT_EL1T = 2, AT_EL1H = 4, AT_EL1 = 6, EVERYWHERE = 7, AT_EL0_AND_EL1H = 5 };

static void run_one(const struct snippet *snippet, enum modes modes, struct condition c) {
    if (modes & AT_EL0)
        run(snippet, EL0t, &c);
    if (modes & AT_EL1T)
        run(snippet, EL1t, &c);
    if (modes & AT_EL1H)
        run(snippet, EL1h, &c);
}

static void run_all(const struct snippet *group, enum modes modes, struct condition c) {
    for (; group->text; group++)
        run_one(group, modes, c);
}
#define UNDER(...) ((struct condition){.name = __VA_ARGS__})

/* --- instructions -------------------------------------------------------------------------------------------- */

static void instructions(void) {
    run_all(always, EVERYWHERE, UNDER(NULL));
    run_all(not_at_el0, AT_EL0, UNDER(NULL, DATA_VA));
    run_all(not_at_el1t, AT_EL0 | AT_EL1T, UNDER(NULL));
    run_all(controlled_at_el0, AT_EL0, UNDER(NULL, DATA_VA));
    run_all(controlled_at_el0, AT_EL0,
            UNDER("allowed", DATA_VA,
                  .sctlr = SCTLR_UMA | SCTLR_DZE | SCTLR_UCT | SCTLR_NTWE | SCTLR_UCI));
    run_all(timers, AT_EL0, UNDER("CNTKCTL_EL1 0"));
    run_all(timers, AT_EL0, UNDER("CNTKCTL_EL1 EL0PCTEN", .cntkctl = 1));
    run_all(timers, AT_EL0, UNDER("CNTKCTL_EL1 EL0VCTEN", .cntkctl = 2));
    run_all(timers, AT_EL0, UNDER("CNTKCTL_EL1 EL0PTEN EL0VTEN", .cntkctl = 0x300));
    run_all(performance, AT_EL0, UNDER("PMUSERENR_EL0 0"));
}

static void floating_point(void) {
    for (u64 fpen = 0; fpen < 3; fpen++) {
        static const char *const names[] = {"FPEN 0", "FPEN 1", "FPEN 2"};
        run_all(floats, EVERYWHERE, UNDER(names[fpen], .cpacr = FPEN(fpen)));
        run_all(float_accesses, EVERYWHERE, UNDER(names[fpen], DATA_VA, .cpacr = FPEN(fpen)));
    }
    run_all(float_accesses, AT_EL0_AND_EL1H, UNDER("FPEN 0 and nothing mapped", 0x1000, .cpacr = FPEN(0)));
}

/* --- aborts -------------------------------------------------------------------------------------------------- */

#define VA_LEVEL0 0x0000700000000000ul
#define VA_LEVEL1 0x0000002000000000ul
#define VA_LEVEL2 0x0000000120000000ul
#define VA_LEVEL3 0x0000000110010000ul
#define VA_UPPER 0xffff000000000000ul /* TTBR1_EL1 is off by TCR_EL1.EPD1 */
#define VA_HOLE 0x0100000000000000ul  /* neither range */
#define VA_AF(level) (0x0000001000000000ul + ((level) << 33))
#define VA_RO(level) (0x0000002800000000ul + ((level) << 33))
#define VA_XN(level) (0x0000004800000000ul + ((level) << 33))
#define VA_SIZE(level) (0x0000006800000000ul + ((level) << 33))
#define VA_TABLE(level) (0x0000007800000000ul + ((level) << 33))
#define VA_CODE 0x0000000110020000ul    /* executable at both levels, read-only */
#define VA_UXN 0x0000000110021000ul     /* executable at EL1 only */
#define VA_PXN 0x0000000110022000ul     /* executable at EL0 only */
#define VA_WRITABLE 0x0000000110023000ul /* by EL0, so not executable at EL1 */
#define VA_EDGE 0x0000000110031000ul    /* unmapped, and the page before it is not */
#define VA_EDGE_RO 0x0000000110041000ul /* read-only, and the page before it is not */
#define VA_EXTERNAL 0x0000000110050000ul
#define VA_EXTERNAL_CODE 0x0000000110051000ul
#define TAG (0x5aul << 56)
#define NOWHERE 0x0b000000ul /* neither RAM nor a device: external aborts */
#define TOO_HIGH (1ul << 46) /* more than 44 bits, which is what TCR_EL1.IPS allows */

static void map_everything(void) {
    for (u64 level = 1; level <= 3; level++) {
        map(&space, VA_AF(level), RAM_BASE, (int)level, (NORMAL & ~AF) | AP_EL0 | AP_RO);
        map(&space, VA_RO(level), level == 1 ? RAM_BASE : DATA_PA, (int)level, NORMAL | AP_EL0 | AP_RO);
        map(&space, VA_XN(level), RAM_BASE, (int)level, NORMAL | AP_EL0 | AP_RO | PXN | UXN);
        map(&space, VA_SIZE(level), TOO_HIGH, (int)level, NORMAL | AP_EL0 | AP_RO);
    }
    map(&space, DATA_VA, DATA_PA, 3, NORMAL | AP_EL0 | PXN | UXN);
    map(&space, VA_CODE, DATA_PA + 0x1000, 3, NORMAL | AP_EL0 | AP_RO);
    map(&space, VA_UXN, DATA_PA + 0x1000, 3, NORMAL | AP_EL0 | AP_RO | UXN);
    map(&space, VA_PXN, DATA_PA + 0x1000, 3, NORMAL | AP_EL0 | AP_RO | PXN);
    map(&space, VA_WRITABLE, DATA_PA + 0x1000, 3, NORMAL | AP_EL0);
    map(&space, VA_EDGE - 0x1000, DATA_PA + 0x2000, 3, NORMAL | AP_EL0 | PXN | UXN);
    map(&space, VA_EDGE_RO - 0x1000, DATA_PA + 0x3000, 3, NORMAL | AP_EL0 | PXN | UXN);
    map(&space, VA_EDGE_RO, DATA_PA + 0x4000, 3, NORMAL | AP_EL0 | AP_RO | PXN | UXN);
    map(&space, VA_EXTERNAL, NOWHERE, 3, DEVICE | AP_EL0);
    map(&space, VA_EXTERNAL_CODE, NOWHERE, 3, AF | ATTR_DEVICE | AP_EL0 | AP_RO);
    map(&space, 0x08000000, 0x08000000, 2, DEVICE);
    for (u64 i = 0; i < 4; i++)
        ((volatile u32 *)(DATA_PA + 0x1000))[i] = 0xd41fffe1; /* SVC #0xffff */
    __asm__ volatile("ic iallu\n\tdsb ish\n\tisb" ::: "memory");
}

static const struct condition faults[] = {
    {.name = "translation level 0", VA_LEVEL0 + 0x40},
    {.name = "translation level 1", VA_LEVEL1 + 0x40},
    {.name = "translation level 2", VA_LEVEL2 + 0x40},
    {.name = "EPD1", VA_UPPER + 0x40},
    {.name = "neither range", VA_HOLE + 0x40},
    {.name = "access flag level 1", VA_AF(1ul) + 0x40},
    {.name = "access flag level 2", VA_AF(2ul) + 0x40},
    {.name = "access flag level 3", VA_AF(3ul) + 0x40},
    {.name = "read-only level 1", VA_RO(1ul) + DATA_PA - RAM_BASE + 0x40},
    {.name = "read-only level 2", VA_RO(2ul) + 0x40},
    {.name = "read-only level 3", VA_RO(3ul) + 0x40},
    {.name = "address size level 1", VA_SIZE(1ul) + 0x40},
    {.name = "address size level 2", VA_SIZE(2ul) + 0x40},
    {.name = "address size level 3", VA_SIZE(3ul) + 0x40},
    {.name = "kernel page", KERNEL_VA},
    {.name = "across into unmapped", VA_EDGE - 4},
    {.name = "across into read-only", VA_EDGE_RO - 4},
    {.name = "tagged without TBI", DATA_VA | TAG},
};

static void data_aborts(void) {
    run_all(accesses, EVERYWHERE, UNDER("translation level 3", VA_LEVEL3 + 0x40));
    run_all(accesses, AT_EL0_AND_EL1H, UNDER("read-only", VA_RO(3ul) + 0x40));
    for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++)
        run_all(load_and_store, i < 3 ? EVERYWHERE : AT_EL0_AND_EL1H, faults[i]);
    run_all(load_and_store, AT_EL0_AND_EL1H, UNDER("external", VA_EXTERNAL + 0x40));
    if (!has_pan)
        return;
    run_all(load_and_store, AT_EL1, UNDER("PAN, page of EL0", DATA_VA, .spsr = SPSR_PAN));
    run_all(load_and_store, AT_EL1, UNDER("PAN, page of EL1", KERNEL_VA, .spsr = SPSR_PAN));
    run_all(load_and_store, AT_EL1, UNDER("PAN, nothing mapped", VA_LEVEL3, .spsr = SPSR_PAN));
    run_all(always, EVERYWHERE, UNDER("SPAN 0", .sctlr = SCTLR_SPAN));
    run_all(always, AT_EL1, UNDER("SPAN 0, PAN", .sctlr = SCTLR_SPAN, .spsr = SPSR_PAN));
}

static void tagged(void) {
    mmu_on(&space, NULL, TCR_TBI0);
    run_all(load_and_store, AT_EL0_AND_EL1H, UNDER("tagged", DATA_VA | TAG));
    run_all(load_and_store, AT_EL0_AND_EL1H, UNDER("tagged, translation level 3", (VA_LEVEL3 + 0x40) | TAG));
    run_all(load_and_store, AT_EL0_AND_EL1H, UNDER("tagged, read-only", (VA_RO(3ul) + 0x40) | TAG));
    run_all(execute, AT_EL0_AND_EL1H, UNDER("tagged", VA_CODE | TAG));
    run_all(execute, AT_EL0_AND_EL1H, UNDER("tagged, translation level 3", (VA_LEVEL3 + 0x40) | TAG));
    mmu_on(&space, NULL, 0);
}

static void instruction_aborts(void) {
    for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++)
        run_all(execute, EVERYWHERE, faults[i]);
    run_all(execute, EVERYWHERE, UNDER("translation level 3", VA_LEVEL3 + 0x40));
    run_all(calls, AT_EL0_AND_EL1H, UNDER("translation level 3", VA_LEVEL3 + 0x40));
    run_all(execute, EVERYWHERE, UNDER("PXN and UXN level 1", VA_XN(1ul) + 0x40));
    run_all(execute, EVERYWHERE, UNDER("PXN and UXN level 2", VA_XN(2ul) + 0x40));
    run_all(execute, EVERYWHERE, UNDER("PXN and UXN level 3", VA_XN(3ul) + 0x40));
    run_all(execute, EVERYWHERE, UNDER("executable", VA_CODE));
    run_all(execute, EVERYWHERE, UNDER("UXN", VA_UXN));
    run_all(execute, EVERYWHERE, UNDER("PXN", VA_PXN));
    run_all(execute, EVERYWHERE, UNDER("writable by EL0", VA_WRITABLE));
    run_all(execute, EVERYWHERE, UNDER("end of the last mapped page", VA_EDGE));
    run_all(execute, AT_EL0_AND_EL1H, UNDER("external", VA_EXTERNAL_CODE + 0x40));
}

/* --- debug exceptions (Arm ARM D2) --------------------------------------------------------------------------- */

#define DBGBCR(pmc) (0xful << 5 | (pmc) << 1 | 1)
#define DBGWCR(load_store, bas) ((bas) << 5 | (load_store) << 3 | 3ul << 1 | 1)

static void steps(void) {
    struct condition c = {"step", DATA_VA, .mdscr = MDSCR_SS | MDSCR_KDE, .spsr = SPSR_SS, .daif = DAIF(0ul)};
    run_all(stepped, EVERYWHERE, c);
    run_one(svc, EVERYWHERE, c);
    run_one(brk, EVERYWHERE, c);
    run_one(udf, EVERYWHERE, c);
    run_all(spinning, AT_EL0_AND_EL1H, c);
    c.spsr = 0;
    c.name = "step pending";
    run_all(nothing, EVERYWHERE, c);
    run_one(svc, AT_EL0_AND_EL1H, c);
    run_one(udf, AT_EL0_AND_EL1H, c);
    c.spsr = SPSR_SS;
    c.name = "step, abort";
    c.x0 = VA_LEVEL3;
    run_all(load_and_store, AT_EL0_AND_EL1H, c);
    c.name = "step, PSTATE.D";
    c.daif = DAIF(8ul);
    run_all(nothing, EVERYWHERE, c);
    c.name = "step without KDE";
    c.daif = DAIF(0ul);
    c.mdscr = MDSCR_SS;
    run_all(nothing, EVERYWHERE, c);
    c.name = "SPSR.SS alone";
    c.mdscr = 0;
    run_all(nothing, EVERYWHERE, c);
}

static void breakpoints(void) {
    struct condition c = {"breakpoint", DATA_VA, .mdscr = MDSCR_MDE | MDSCR_KDE, .daif = DAIF(0ul)};
    const struct snippet *const where[] = {nothing, svc, brk, udf, load_and_store, execute};
    for (unsigned i = 0; i < sizeof where / sizeof *where; i++) {
        const struct snippet *one = where[i];
        write_sysreg(dbgbvr0_el1, user_alias(&space, one->code));
        write_sysreg(dbgbcr0_el1, DBGBCR(3ul));
        c.name = "breakpoint";
        c.x0 = where[i] == execute ? VA_CODE : DATA_VA;
        run_one(one, EVERYWHERE, c);
        if (i)
            continue;
        write_sysreg(dbgbcr0_el1, DBGBCR(1ul));
        c.name = "breakpoint for EL1";
        run_one(one, EVERYWHERE, c);
        write_sysreg(dbgbcr0_el1, DBGBCR(2ul));
        c.name = "breakpoint for EL0";
        run_one(one, EVERYWHERE, c);
        write_sysreg(dbgbvr0_el1, user_alias(&space, one->code) + 4);
        write_sysreg(dbgbcr0_el1, DBGBCR(3ul));
        c.name = "breakpoint on the next one";
        run_one(one, EVERYWHERE, c);
    }
    write_sysreg(dbgbvr0_el1, VA_CODE);
    c.name = "breakpoint on the target";
    run_all(execute, EVERYWHERE, c);
    c.name = "breakpoint, PSTATE.D";
    c.daif = DAIF(8ul);
    run_all(execute, EVERYWHERE, c);
    write_sysreg(dbgbcr0_el1, 0);
}

static void watchpoints(void) {
    struct condition c = {"watchpoint", DATA_VA + 0x100, .mdscr = MDSCR_MDE | MDSCR_KDE, .daif = DAIF(0ul)};
    write_sysreg(dbgwvr0_el1, DATA_VA + 0x100);
    write_sysreg(dbgwcr0_el1, DBGWCR(3ul, 0xfful));
    run_all(watched, EVERYWHERE, c);
    write_sysreg(dbgwcr0_el1, DBGWCR(2ul, 0xfful));
    c.name = "watchpoint on stores";
    run_all(load_and_store, AT_EL0_AND_EL1H, c);
    write_sysreg(dbgwcr0_el1, DBGWCR(3ul, 0x04ul));
    c.name = "watchpoint on one byte";
    run_all(load_and_store, AT_EL0_AND_EL1H, c);
    write_sysreg(dbgwcr0_el1, DBGWCR(3ul, 0xfful));
    c.name = "watchpoint in the second half";
    c.x0 = DATA_VA + 0xf8;
    run_all(load_and_store, AT_EL0_AND_EL1H, c);
    c.name = "watchpoint, PSTATE.D";
    c.x0 = DATA_VA + 0x100;
    c.daif = DAIF(8ul);
    run_all(load_and_store, AT_EL0_AND_EL1H, c);
    write_sysreg(dbgwcr0_el1, 0);
}

/* --- interrupts ---------------------------------------------------------------------------------------------- */

static void raise_timer(void) {
    write_sysreg(cntv_cval_el0, 0);
    write_sysreg(cntv_ctl_el0, CTL_ENABLE);
    isb();
    while (!(read_sysreg(isr_el1) & 0xc0)) {
    }
}

static void lower_timer(unsigned group) {
    u64 intid = group ? read_sysreg(icc_iar1_el1) : read_sysreg(icc_iar0_el1);
    write_sysreg(cntv_ctl_el0, 0);
    isb();
    if (group)
        write_sysreg(icc_eoir1_el1, intid);
    else
        write_sysreg(icc_eoir0_el1, intid);
    isb();
    print("acknowledged: group=%u intid=%lu\n", group, intid);
}

static void interrupts(void) {
#define PENDING(kind)                                                                                                  \
    {                                                                                                                  \
        {.name = kind " pending, DAIF 0", .daif = DAIF(0ul)},                                                          \
        {.name = kind " pending, DAIF 0xd", .daif = DAIF(0xdul)},                                                      \
        {.name = kind " pending, DAIF 0xe", .daif = DAIF(0xeul)},                                                      \
        {.name = kind " pending, DAIF 0xc", .daif = DAIF(0xcul)},                                                      \
        {.name = kind " pending, DAIF 0x3", .daif = DAIF(3ul)},                                                        \
        {.name = kind " pending, DAIF 0xf", .daif = DAIF(0xful)},                                                      \
    }
    static const struct condition conditions[2][6] = {PENDING("FIQ"), PENDING("IRQ")}; /* Group 0, Group 1 */
    static const unsigned modes[] = {EL0t, EL1t, EL1h};
    gic_init();
    gic_init_cpu();
    gic_enable(VIRTUAL_TIMER_INTID, 0x80);
    write_sysreg(icc_igrpen0_el1, 1);
    for (unsigned group = 2; group-- > 0;) {
        gic_set_group(VIRTUAL_TIMER_INTID, group);
        for (unsigned m = 0; m < 3; m++)
            for (unsigned i = 0; i < 6; i++) {
                const struct condition *c = &conditions[group][i];
                u64 masked = c->daif >> 6 & (group ? 2 : 1);
                raise_timer();
                if (!masked)
                    run(spinning, modes[m], c);
                run(svc, modes[m], c);
                if (!masked)
                    run(load_and_store, modes[m], c);
                lower_timer(group);
            }
    }
    write_sysreg(icc_igrpen0_el1, 0);
    gic_disable(VIRTUAL_TIMER_INTID);
}

/* --- what machines leave out --------------------------------------------------------------------------------- */

static void alignment(void) {
    u64 odd = user_alias(&space, user_odd);
    run_all(execute, EVERYWHERE, UNDER("PC + 2", odd + 2));
    run_all(execute, AT_EL0_AND_EL1H, UNDER("PC + 1", odd + 1));
    run_all(execute, AT_EL0_AND_EL1H, UNDER("PC + 2, nothing mapped", VA_LEVEL3 + 2));
    run_all(aligned, EVERYWHERE, UNDER("SCTLR_EL1.A", DATA_VA + 1, .sctlr = SCTLR_A));
    run_all(aligned, AT_EL0_AND_EL1H, UNDER("unaligned", DATA_VA + 1));
    run_all(aligned_acquire, EVERYWHERE, UNDER("SCTLR_EL1.A", DATA_VA + 1, .sctlr = SCTLR_A));
    run_all(aligned_acquire, EVERYWHERE, UNDER("unaligned", DATA_VA + 1));
    run_all(by_stack, EVERYWHERE, UNDER("SP + 8, SA and SA0", DATA_VA, .sctlr = SCTLR_SA | SCTLR_SA0, .sp_offset = 8));
    run_all(by_stack, EVERYWHERE, UNDER("SP + 8", DATA_VA, .sp_offset = 8));
}

static void illegal_returns(void) {
    static const struct {
        const char *name;
        u64 mode;
    } illegal[] = {{"M 0x1", 0x1}, {"M 0x2", 0x2}, {"M 0x6", 0x6}, {"M 0x7", 0x7}, {"M 0x8", 0x8},
                   {"M 0x9", 0x9}, {"M 0xc", 0xc}, {"M 0xd", 0xd}, {"M 0xf", 0xf}};
    const struct condition c = {.name = "illegal return", .x0 = DATA_VA};
    const struct condition step = {.name = "illegal return, SPSR.SS", .x0 = DATA_VA};
    u64 nop_at = user_alias(&space, nothing->code), svc_at = user_alias(&space, svc->code);
    for (unsigned i = 0; i < sizeof illegal / sizeof *illegal; i++, line++) {
        u64 pstate = (line * 4ul % 15 + 1) << 28 | (line * 7ul % 16) << 6 | illegal[i].mode;
        run_with(illegal[i].name, nothing, nop_at, &c, pstate);
        run_with(illegal[i].name, svc, svc_at, &c, pstate);
        run_with(illegal[i].name, nothing, nop_at, &step, pstate | SPSR_SS);
    }
    run_all(nothing, EVERYWHERE, UNDER("SPSR.IL", .spsr = SPSR_IL));
    run_one(svc, EVERYWHERE, UNDER("SPSR.IL", .spsr = SPSR_IL));
    run_one(udf, EVERYWHERE, UNDER("SPSR.IL", .spsr = SPSR_IL));
    run_all(load_and_store, AT_EL0_AND_EL1H, UNDER("SPSR.IL", VA_LEVEL3, .spsr = SPSR_IL));
}

static void walk_aborts(void) {
    *(volatile u64 *)entry_at(&space, VA_TABLE(2ul), 2) = NOWHERE | 3;
    *(volatile u64 *)entry_at(&space, VA_TABLE(1ul), 1) = NOWHERE | 3;
    tlbi_all();
    run_all(load_and_store, AT_EL0_AND_EL1H, UNDER("external on a walk, level 2", VA_TABLE(1ul) + 0x40));
    run_all(load_and_store, AT_EL0_AND_EL1H, UNDER("external on a walk, level 3", VA_TABLE(2ul) + 0x40));
    run_all(execute, AT_EL0_AND_EL1H, UNDER("external on a walk, level 3", VA_TABLE(2ul) + 0x40));
}

static void section(const char *name, void (*lines)(void)) {
    print("section: %s\n", name);
    lines();
}

void main(const void *fdt) {
    (void)fdt;
    has_pan = bits(read_sysreg(id_aa64mmfr1_el1), 23, 20);
    write_sysreg(oslar_el1, 0);
    write_sysreg(osdlr_el1, 0);
    space = new_space(GRANULE_4K, 48);
    map_guest(&space);
    map_everything();
    mmu_on(&space, NULL, 0);
    section("instructions", instructions);
    section("floating point", floating_point);
    section("data aborts", data_aborts);
    section("tagged addresses", tagged);
    section("instruction aborts", instruction_aborts);
    section("software step", steps);
    section("breakpoints", breakpoints);
    section("watchpoints", watchpoints);
    section("interrupts", interrupts);
    section("alignment", alignment);
    section("illegal returns", illegal_returns);
    section("external aborts on walks", walk_aborts);
    mmu_off();
    print("entry: end, %u lines\n", line);
}
