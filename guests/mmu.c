/* mmu: stage 1 translation at EL1&0 (Arm ARM D8): granules, levels, permissions, TLB maintenance, ASIDs, AT. */
#include "mmu.h"
#include "user.h"

#define TEST_VA 0x0000000180000000ul
#define A FREE_RAM /* two places in RAM, each the start of a page of any granule */
#define B (FREE_RAM + 0x200000)
#define MARK_A 0xaaaaaaaa11111111ul
#define MARK_B 0xbbbbbbbb22222222ul
#define RET 0xd65f03c0u

static const char *granule_name;

static void check_here(const char *name, bool good, u64 got) {
    if (good)
        pass("%s, %s", name, granule_name);
    else
        fail(name, "%s, got 0x%lx", granule_name, got);
}

static u64 load(u64 va) { return *(volatile u64 *)va; }
static void store(u64 va, u64 value) { *(volatile u64 *)va = value; }

static bool load_faults(u64 va, u64 *status) {
    struct frame f = attempt(user_load, va, 0);
    *status = bits(f.esr, 5, 0);
    return !returned(&f);
}

/* Table-driven permissions (D8.4 "Memory access control"): what each mode may do at each setting. */
#define R 1u
#define W 2u
#define X 4u
struct permission_case {
    const char *name;
    u64 attributes;
    unsigned el0, el1;
};
static const struct permission_case permissions[] = {
    {"EL1 RWX", 0, X, R | W | X}, /* AP leaves out EL0, but UXN does not: EL0 may execute what it can't read */
    {"EL1 RW", PXN | UXN, 0, R | W},
    {"EL1 RX", AP_RO | UXN, 0, R | X},
    {"EL1 R", AP_RO | PXN | UXN, 0, R},
    {"EL0 RWX", AP_EL0, R | W | X, R | W}, /* writable at EL0 is never executable at EL1 */
    {"EL0 RW", AP_EL0 | PXN | UXN, R | W, R | W},
    {"EL0 RX", AP_EL0 | AP_RO | PXN, R | X, R},
    {"EL0 R", AP_EL0 | AP_RO | PXN | UXN, R, R},
    {"EL0 RX and EL1 RX", AP_EL0 | AP_RO, R | X, R | X},
};

static unsigned allowed(const struct space *space, u64 va, u64 spsr) {
    unsigned result = 0;
    struct frame f = run_at(spsr, (void *)user_alias(space, user_load), 0, va + 8, 0);
    result |= returned(&f) ? R : 0;
    f = run_at(spsr, (void *)user_alias(space, user_store), 0, va + 8, 0);
    result |= returned(&f) ? W : 0;
    f = run_at(spsr, (void *)user_alias(space, user_jump), 0, va, 0);
    result |= returned(&f) ? X : 0;
    return result;
}

static void permission(const struct space *space, const struct permission_case *c, int level) {
    u64 *entry = entry_at(space, TEST_VA, level), kept = *entry;
    u64 size = 1ul << level_shift(space->granule, level), pa = A & -size, offset = A - pa;
    store((u64)entry, 0);
    tlbi_all();
    map(space, TEST_VA, pa, level, NORMAL | c->attributes);
    *(volatile u32 *)A = RET;
    __asm__ volatile("dc cvau, %0\n\tdsb ish\n\tic iallu\n\tdsb ish\n\tisb" ::"r"(A) : "memory");
    unsigned el0 = allowed(space, TEST_VA + offset, SPSR_DAIF | EL0t);
    unsigned el1 = allowed(space, TEST_VA + offset, SPSR_DAIF | EL1h);
    if (el0 == c->el0 && el1 == c->el1)
        pass("%s level %d, %s", c->name, level, granule_name);
    else
        fail(c->name, "level %d, %s: EL0 may 0x%x, expected 0x%x; EL1 may 0x%x, expected 0x%x (R 1, W 2, X 4)", level,
             granule_name, el0, c->el0, el1, c->el1);
    store((u64)entry, kept);
    tlbi_all();
}

static void all_permissions(const struct space *space) {
    for (unsigned i = 0; i < sizeof permissions / sizeof *permissions; i++) {
        permission(space, &permissions[i], 3);
        permission(space, &permissions[i], 2);
    }
    if (space->granule == GRANULE_4K) /* 1 GiB blocks: only with this granule */
        for (unsigned i = 0; i < sizeof permissions / sizeof *permissions; i++)
            permission(space, &permissions[i], 1);
}

/* Limits set in a table descriptor bind all entries below it (D8.4.4 "Hierarchical permissions"). */
static void hierarchical(const struct space *space) {
    static const struct permission_case limits[] = {
        {"APTable no EL0", AP_TABLE_NO_EL0, X, R | W | X},
        {"APTable read-only", AP_TABLE_RO, R | X, R | X},
        {"PXNTable", PXN_TABLE, R | W | X, R | W},
        {"UXNTable", UXN_TABLE, R | W, R | W},
    };
    map(space, TEST_VA, A, 3, NORMAL | AP_EL0);
    u64 *table = entry_at(space, TEST_VA, 2), plain = *table;
    for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++) {
        *(volatile u32 *)A = RET;
        __asm__ volatile("dc cvau, %0\n\tdsb ish\n\tic iallu\n\tdsb ish\n\tisb" ::"r"(A) : "memory");
        store((u64)table, plain | limits[i].attributes);
        tlbi_all();
        unsigned el0 = allowed(space, TEST_VA, SPSR_DAIF | EL0t), el1 = allowed(space, TEST_VA, SPSR_DAIF | EL1h);
        check_here(limits[i].name, el0 == limits[i].el0 && el1 == limits[i].el1, el0 << 4 | el1);
    }
    store((u64)table, plain);
    store((u64)entry_at(space, TEST_VA, 3), 0);
    tlbi_all();
}

/* A page and a block show the memory behind them, in both directions. */
static void mappings(const struct space *space) {
    u64 page = 1ul << space->granule;
    map(space, TEST_VA, A, 3, NORMAL);
    map(space, TEST_VA + page, B, 3, NORMAL);
    store(A, MARK_A), store(B, MARK_B);
    check_here("page", load(TEST_VA) == MARK_A && load(TEST_VA + page) == MARK_B, load(TEST_VA));
    store(TEST_VA + page - 8, 0x5151), store(TEST_VA + page, 0x5252);
    check_here("neighbouring pages", load(A + page - 8) == 0x5151 && load(B) == 0x5252, load(B));
    store(TEST_VA + page - 4, 0x1234567890abcdef); /* unaligned, across two pages far apart in RAM */
    check_here("store across pages", load(A + page - 8) == 0x90abcdef00005151 && load(B) == 0x12345678, load(B));
    u64 size = 1ul << level_shift(space->granule, 2), pa = A & -size;
    u64 block = TEST_VA + 16 * size + (A - pa);
    map(space, TEST_VA + 16 * size, pa, 2, NORMAL);
    store(block + 0x10008, MARK_B);
    check_here("block", load(block) == MARK_A && load(A + 0x10008) == MARK_B, load(block));
}

/* Break-before-make (D8.14.1) with each TLBI; after it the new page must show. The operand is VA[55:12], with the ASID
 * (zero here) in bits 63 to 48; ASIDE1 takes the ASID alone. */
#define TLBI(op) __asm__ volatile("dsb ishst\n\ttlbi " op ", %0\n\tdsb ish\n\tisb" ::"r"(operand) : "memory")
static void tlbi_by(unsigned which, u64 operand) {
    switch (which) {
    case 0: TLBI("vae1"); break;
    case 1: TLBI("vae1is"); break;
    case 2: TLBI("vaae1"); break;
    case 3: TLBI("vaae1is"); break;
    case 4: TLBI("vale1"); break;
    case 5: TLBI("vale1is"); break;
    case 6: TLBI("vaale1"); break;
    case 7: TLBI("vaale1is"); break;
    case 8: operand = 0; TLBI("aside1"); break;
    case 9: operand = 0; TLBI("aside1is"); break;
    case 10: __asm__ volatile("dsb ishst\n\ttlbi vmalle1\n\tdsb ish\n\tisb" ::: "memory"); break;
    default: tlbi_all();
    }
}

static void tlb_maintenance(const struct space *space) {
    static const char *const names[] = {"tlbi vae1",    "tlbi vae1is",    "tlbi vaae1",  "tlbi vaae1is",
                                        "tlbi vale1",   "tlbi vale1is",   "tlbi vaale1", "tlbi vaale1is",
                                        "tlbi aside1",  "tlbi aside1is",  "tlbi vmalle1", "tlbi vmalle1is"};
    store(A, MARK_A), store(B, MARK_B);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        u64 va = TEST_VA + 0x40000000 + ((u64)i << space->granule), *entry = entry_at(space, va, 3), status;
        map(space, va, A, 3, NORMAL | NG);
        bool before = load(va) == MARK_A;
        store((u64)entry, 0);
        tlbi_by(i, va >> 12);
        bool broken = load_faults(va, &status) && status == 0x07;
        map(space, va, B, 3, NORMAL | NG);
        check_here(names[i], before && broken && load(va) == MARK_B, load(va));
    }
}

/* Two address spaces that differ in one page, switched by TTBR0_EL1 and ASID without any TLBI (D8.14). */
static void set_ttbr0(const struct space *space, u64 asid) {
    write_sysreg(ttbr0_el1, (u64)space->root | asid << 48);
    isb();
}

static void asids(const struct space *one) {
    struct space two = new_space(one->granule, one->va_bits);
    u64 va = TEST_VA + 0x80000000, seen[4], shared = 0;
    map_guest(&two);
    store(A, MARK_A), store(B, MARK_B);
    map(one, va, A, 3, NORMAL | NG);
    map(&two, va, B, 3, NORMAL | NG);
    for (unsigned i = 0; i < 4; i++) {
        set_ttbr0(i % 2 ? &two : one, 1 + i % 2);
        seen[i] = load(va);
    }
    set_ttbr0(one, 0);
    shared = seen[0] == MARK_A && seen[1] == MARK_B && seen[2] == MARK_A && seen[3] == MARK_B;
    check_here("ASIDs switch without TLBI", shared, seen[1]);
}

/* TTBR1_EL1: the upper range, with its own granule, and its own descriptors for the same low address bits. */
static void upper_range(const struct space *lower, enum granule granule) {
    struct space upper = new_space(granule, 39 + (granule - 12) / 2);
    u64 base = -(1ul << upper.va_bits), status;
    map(&upper, base, A, 3, NORMAL);
    map(&upper, -0x10000ul & -(1ul << granule), B, 3, NORMAL);
    store(A, MARK_A), store(B, MARK_B);
    mmu_on(lower, &upper, 0);
    check_here("TTBR1_EL1 first page", load(base) == MARK_A, load(base));
    u64 last = -0x10000ul & -(1ul << granule);
    check_here("TTBR1_EL1 last pages", load(last) == MARK_B, load(last));
    check_here("below TTBR1_EL1", load_faults(base - 8, &status) && status == 0x04, status);
    mmu_on(lower, NULL, 0);
}

/* AT and PAR_EL1 (D24.2.109): the physical page, or the fault that the access would take. */
static void translations(const struct space *space) {
    u64 va = TEST_VA + 0xc0000000, page = 1ul << space->granule, par;
#define AT(op, address)                                                                                                \
    __asm__ volatile("at " op ", %1\n\tisb\n\tmrs %0, par_el1" : "=r"(par) : "r"(address) : "memory")
    map(space, va, A, 3, NORMAL | AP_EL0);
    map(space, va + page, B, 3, NORMAL | AP_RO);
    AT("s1e1r", va + 0x123);
    check_here("at s1e1r", (par & 1) == 0 && bits(par, 47, 12) << 12 == A, par);
    check_here("PAR_EL1 attributes", bits(par, 63, 56) == 0xff && bits(par, 8, 7) == 3, par);
    AT("s1e0w", va);
    check_here("at s1e0w", (par & 1) == 0 && bits(par, 47, 12) << 12 == A, par);
    AT("s1e1w", va + page);
    check_here("at s1e1w read-only", (par & 1) == 1 && bits(par, 6, 1) == 0x0f, par);
    AT("s1e0r", va + page);
    check_here("at s1e0r for EL1 only", (par & 1) == 1 && bits(par, 6, 1) == 0x0f, par);
    AT("s1e1r", va + 2 * page);
    check_here("at s1e1r unmapped", (par & 1) == 1 && bits(par, 6, 1) == 0x07, par);
    AT("s1e1r", UART_BASE);
    check_here("PAR_EL1 device", (par & 1) == 0 && bits(par, 63, 56) == 0x00, par);
}

static void whole_granule(enum granule granule, const char *name) {
    granule_name = name;
    if (!granule_supported(granule)) {
        skip(name, "not in ID_AA64MMFR0_EL1");
        return;
    }
    new_tables();
    struct space space = new_space(granule, 48);
    map_guest(&space);
    mmu_on(&space, NULL, 0);
    check_here("MMU on", read_sysreg(sctlr_el1) & SCTLR_M, read_sysreg(sctlr_el1));
    mappings(&space);
    all_permissions(&space);
    hierarchical(&space);
    tlb_maintenance(&space);
    asids(&space);
    translations(&space);
    upper_range(&space, granule);
    mmu_off();
}

/* Settings of SCTLR_EL1 and TCR_EL1 that change how addresses are read. */
static void control_bits(void) {
    granule_name = "4 KiB";
    new_tables();
    struct space space = new_space(GRANULE_4K, 39); /* walks start at level 1 */
    map_guest(&space);
    map(&space, TEST_VA, A, 3, NORMAL);
    store(A, MARK_A);
    mmu_on(&space, NULL, TCR_TBI0);
    u64 tagged = TEST_VA | 0x5aul << 56, status;
    check_here("TBI0 ignores the top byte", load(tagged) == MARK_A, load(tagged));
    check_here("39-bit addresses", load_faults(1ul << 39, &status) && status == 0x04 + 0, status);
    mmu_on(&space, NULL, 0);
    check_here("without TBI0 it faults", load_faults(tagged, &status) && status == 0x04, status);
    mmu_off();
}

/* SCTLR_EL1.WXN: writable is not executable. The guest's own code must be read-only first. */
extern char __image_start[], __user_start[];
static void write_xor_execute(void) {
    new_tables();
    struct space space = new_space(GRANULE_4K, 48);
    map_guest(&space);
    *entry_at(&space, RAM_BASE, 2) = 0;
    for (u64 va = RAM_BASE; va < RAM_BASE + 0x200000; va += 0x1000)
        map(&space, va, va, 3, NORMAL | UXN | (va >= (u64)__image_start && va < (u64)__user_start ? AP_RO : 0));
    map(&space, TEST_VA, A, 3, NORMAL);
    map(&space, TEST_VA + 0x1000, A, 3, NORMAL | AP_RO);
    *(volatile u32 *)A = RET;
    mmu_on(&space, NULL, 0);
    write_sysreg(sctlr_el1, SCTLR_RES1 | SCTLR_M | SCTLR_C | SCTLR_I | SCTLR_WXN);
    isb();
    tlbi_all(); /* WXN may be cached in a TLB */
    struct frame f = attempt((void *)TEST_VA, 0, 0);
    check_equal("WXN: writable page", f.esr, 0x8600000f);
    f = attempt((void *)(TEST_VA + 0x1000), 0, 0);
    check("WXN: read-only page", returned(&f));
    mmu_off();
}

/* FEAT_PAN: with PSTATE.PAN EL1 may not touch what EL0 may, except by LDTR (D8.4.5). */
void set_pan(void);
void clear_pan(void);
extern const char user_ldtr[];
static void privileged_access_never(void) {
    if (bits(read_sysreg(id_aa64mmfr1_el1), 23, 20) == 0) {
        skip("pan", "not in ID_AA64MMFR1_EL1");
        return;
    }
    u64 spsr = SPSR_DAIF | EL1h, pan = 1ul << 22;
    new_tables();
    struct space space = new_space(GRANULE_4K, 48);
    map_guest(&space);
    map(&space, TEST_VA, A, 3, NORMAL | AP_EL0);
    map(&space, TEST_VA + 0x1000, A, 3, NORMAL);
    mmu_on(&space, NULL, 0);
    struct frame f = run_at(spsr | pan, user_load, 0, TEST_VA, 0);
    check_equal("PAN: EL1 load of EL0 page", f.esr, 0x9600000f);
    check_equal("PAN: in SPSR_EL1", f.spsr & pan, pan);
    f = run_at(spsr | pan, user_store, 0, TEST_VA, 0);
    check_equal("PAN: EL1 store to EL0 page", f.esr, 0x9600004f);
    f = run_at(spsr | pan, user_load, 0, TEST_VA + 0x1000, 0);
    check("PAN: EL1 page", returned(&f));
    f = run_at(spsr | pan, user_ldtr, 0, TEST_VA, 0);
    check("PAN: ldtr", returned(&f));
    f = run_at(spsr, user_load, 0, TEST_VA, 0);
    check("no PAN: EL1 load of EL0 page", returned(&f));
    clear_pan();
    write_sysreg(sctlr_el1, read_sysreg(sctlr_el1) & ~SCTLR_SPAN);
    isb();
    f = run_at(SPSR_DAIF | EL0t, (void *)user_alias(&space, user_load), 0, TEST_VA, 0);
    check_equal("SPAN clear: an exception sets PAN", read_sysreg(S3_0_C4_C2_3), pan);
    check_equal("SPAN clear: SPSR_EL1.PAN is the old one", f.spsr & pan, 0);
    clear_pan();
    check_equal("msr pan, #0", read_sysreg(S3_0_C4_C2_3), 0);
    set_pan();
    check_equal("msr pan, #1", read_sysreg(S3_0_C4_C2_3), pan);
    clear_pan();
    mmu_off();
}

/* FEAT_LSE: the atomic instructions give back the old value and leave the new one. */
struct atomic_case {
    const char *name, *code;
    u64 before, operand, after;
};
extern const char user_ldadd[], user_ldclr[], user_ldeor[], user_ldset[], user_ldsmax[], user_ldumin[], user_swp[],
    user_cas[];
static void atomics(void) {
    static const struct atomic_case cases[] = {
        {"ldaddal", user_ldadd, 5, ~0ul, 4},
        {"ldclral", user_ldclr, 0xff, 0x0f, 0xf0},
        {"ldeoral", user_ldeor, 0xff, 0x0ff, 0},
        {"ldsetal", user_ldset, 0xf0, 0x0f, 0xff},
        {"ldsmaxal", user_ldsmax, ~0ul, 1, 1},
        {"lduminal", user_ldumin, ~0ul, 1, 1},
        {"swpal", user_swp, 7, 8, 8},
        {"casal equal", user_cas, 7, 7, 42},
        {"casal different", user_cas, 7, 6, 7},
    };
    if (bits(read_sysreg(id_aa64isar0_el1), 23, 20) == 0) {
        skip("lse", "not in ID_AA64ISAR0_EL1");
        return;
    }
    new_tables();
    struct space space = new_space(GRANULE_4K, 48);
    map_guest(&space);
    mmu_on(&space, NULL, 0);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        store(A, cases[i].before);
        struct frame f = attempt(cases[i].code, A, cases[i].operand);
        if (returned(&f) && f.x[0] == cases[i].before && load(A) == cases[i].after)
            pass("%s", cases[i].name);
        else
            fail(cases[i].name, "ESR_EL1 0x%lx, old 0x%lx, new 0x%lx", f.esr, f.x[0], load(A));
    }
    mmu_off();
}

void main(const void *fdt) {
    (void)fdt;
    whole_granule(GRANULE_4K, "4 KiB");
    whole_granule(GRANULE_64K, "64 KiB");
    whole_granule(GRANULE_16K, "16 KiB");
    control_bits();
    write_xor_execute();
    privileged_access_never();
    atomics();
    summary("mmu");
}
