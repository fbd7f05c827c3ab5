/* Translation tables for the EL1&0 regime (Arm ARM D8), for any granule.
 *
 * Tables come from a pool in RAM above the image and are never given back; new_tables() starts afresh. */
#pragma once
#include "guest.h"

enum granule { GRANULE_4K = 12, GRANULE_16K = 14, GRANULE_64K = 16 };

struct space {
    enum granule granule;
    unsigned va_bits;
    u64 *root;
};

/* Descriptor fields, D8.3 "Translation table descriptor formats" */
#define VALID 1ul
#define ATTR_DEVICE (0ul << 2) /* MAIR_EL1 as mmu_on() sets it */
#define ATTR_NORMAL (1ul << 2)
#define AP_EL0 (1ul << 6) /* EL0 has access too */
#define AP_RO (1ul << 7)
#define SH_INNER (3ul << 8)
#define AF (1ul << 10)
#define NG (1ul << 11)
#define PXN (1ul << 53)
#define UXN (1ul << 54)
#define PXN_TABLE (1ul << 59)
#define UXN_TABLE (1ul << 60)
#define AP_TABLE_NO_EL0 (1ul << 61)
#define AP_TABLE_RO (1ul << 62)

#define NORMAL (AF | SH_INNER | ATTR_NORMAL)
#define DEVICE (AF | ATTR_DEVICE | PXN | UXN)

#define SCTLR_RES1 0x30d00800ul
#define SCTLR_M (1ul << 0)
#define SCTLR_C (1ul << 2)
#define SCTLR_I (1ul << 12)
#define SCTLR_WXN (1ul << 19)
#define SCTLR_UMA (1ul << 9)
#define SCTLR_SPAN (1ul << 23)

#define TCR_EPD1 (1ul << 23)
#define TCR_A1 (1ul << 22)
#define TCR_TBI0 (1ul << 37)

#define FREE_RAM 0x42000000ul /* above the table pool: for test pages */

void new_tables(void);
struct space new_space(enum granule granule, unsigned va_bits);
unsigned level_shift(enum granule granule, int level);
/* The entry for va at a level, with every table above it made where missing. */
u64 *entry_at(const struct space *space, u64 va, int level);
/* One block or page descriptor at a level; the page level is 3. */
void map(const struct space *space, u64 va, u64 pa, int level, u64 attributes);
/* UART and 512 MiB of RAM at their own addresses, for EL1 only, and the page of .user for EL0 at USER_VA. */
void map_guest(const struct space *space);
#define USER_VA 0x0000000100000000ul
/* Where EL0 sees a function of .user in a space that map_guest() filled. */
u64 user_alias(const struct space *space, const void *function);

/* Both on with tables of the same granule or of different ones; upper may be NULL (EPD1). `extra` is or-ed into TCR_EL1. */
void mmu_on(const struct space *lower, const struct space *upper, u64 extra);
void mmu_off(void);
bool granule_supported(enum granule granule);

static inline void tlbi_all(void) {
    __asm__ volatile("dsb ishst\n\ttlbi vmalle1is\n\tdsb ish\n\tisb" ::: "memory");
}
