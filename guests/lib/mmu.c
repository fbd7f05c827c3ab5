/* Building translation tables and switching the MMU on and off; see mmu.h. */
#include "mmu.h"

#define TABLE_POOL 0x41000000ul
#define MAIR 0xff00ul /* 0: Device-nGnRnE, 1: Normal write-back */

static u64 pool = TABLE_POOL;

void new_tables(void) { pool = TABLE_POOL; }

static u64 *new_table(enum granule granule) {
    u64 size = 1ul << granule;
    pool = (pool + size - 1) & -size;
    u64 *table = (u64 *)pool;
    pool += size;
    for (u64 i = 0; i < size / 8; i++)
        ((volatile u64 *)table)[i] = 0;
    return table;
}

unsigned level_shift(enum granule granule, int level) { return granule + (3 - (unsigned)level) * (granule - 3); }

static int first_level(const struct space *space) {
    int level = 3;
    while (level_shift(space->granule, level) + space->granule - 3 < space->va_bits)
        level--;
    return level;
}

struct space new_space(enum granule granule, unsigned va_bits) {
    return (struct space){granule, va_bits, new_table(granule)};
}

static u64 *entry_in(const struct space *space, u64 *table, u64 va, int level) {
    u64 index = va << (64 - space->va_bits) >> (64 - space->va_bits) >> level_shift(space->granule, level);
    return table + index % (1ul << (space->granule - 3));
}

u64 *entry_at(const struct space *space, u64 va, int level) {
    u64 *table = space->root;
    for (int at = first_level(space);; at++) {
        u64 *entry = entry_in(space, table, va, at);
        if (at == level)
            return entry;
        if (!(*entry & VALID))
            *(volatile u64 *)entry = (u64)new_table(space->granule) | 3;
        table = (u64 *)(bits(*entry, 47, space->granule) << space->granule);
    }
}

void map(const struct space *space, u64 va, u64 pa, int level, u64 attributes) {
    u64 *entry = entry_at(space, va, level);
    *(volatile u64 *)entry = pa | attributes | (level == 3 ? 3 : 1);
    __asm__ volatile("dsb ishst\n\tisb" ::: "memory");
}

extern char __user_start[];

void map_guest(const struct space *space) {
    u64 page = 1ul << space->granule, step = 1ul << level_shift(space->granule, 2);
    map(space, UART_BASE & -page, UART_BASE & -page, 3, DEVICE);
    for (u64 pa = RAM_BASE; pa < RAM_BASE + 0x20000000; pa += step)
        map(space, pa, pa, 2, NORMAL | UXN);
    map(space, USER_VA, (u64)__user_start & -page, 3, NORMAL | AP_EL0 | AP_RO);
}

u64 user_alias(const struct space *space, const void *function) {
    return USER_VA + (u64)function - ((u64)__user_start & -(1ul << space->granule));
}

/* TCR_EL1.TG0 and TG1 encode the granules differently (D23.2). */
static u64 tg0(enum granule granule) { return granule == GRANULE_4K ? 0 : granule == GRANULE_64K ? 1 : 2; }
static u64 tg1(enum granule granule) { return granule == GRANULE_4K ? 2 : granule == GRANULE_64K ? 3 : 1; }

static u64 tcr_half(const struct space *space, u64 tg) {
    return (64 - space->va_bits) | 1ul << 8 | 1ul << 10 | 3ul << 12 | tg << 14; /* write-back, inner shareable */
}

void mmu_on(const struct space *lower, const struct space *upper, u64 extra) {
    u64 range = bits(read_sysreg(id_aa64mmfr0_el1), 3, 0);
    u64 tcr = tcr_half(lower, tg0(lower->granule)) | (range > 5 ? 5 : range) << 32 | extra;
    tcr |= upper ? tcr_half(upper, tg1(upper->granule)) << 16 : TCR_EPD1;
    write_sysreg(mair_el1, MAIR);
    write_sysreg(tcr_el1, tcr);
    write_sysreg(ttbr0_el1, lower->root);
    write_sysreg(ttbr1_el1, upper ? upper->root : 0);
    isb();
    tlbi_all();
    write_sysreg(sctlr_el1, SCTLR_RES1 | SCTLR_M | SCTLR_C | SCTLR_I);
    isb();
    return_address = user_alias(lower, user_return);
}

void mmu_off(void) {
    write_sysreg(sctlr_el1, SCTLR_RES1);
    isb();
    tlbi_all();
    return_address = 0;
}

bool granule_supported(enum granule granule) {
    u64 mmfr0 = read_sysreg(id_aa64mmfr0_el1);
    switch (granule) {
    case GRANULE_4K:
        return bits(mmfr0, 31, 28) != 15;
    case GRANULE_64K:
        return bits(mmfr0, 27, 24) != 15;
    default:
        return bits(mmfr0, 23, 20) != 0;
    }
}
