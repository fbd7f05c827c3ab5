/* Pages that have been written: a log of RAM, exact at every Exception level, with stage 2 or without.
 *
 * The TLB marks a page that the guest may write as "not dirty" until a store has come by Unicorn's slow path, which then
 * forgets what was translated from those bytes, by a function that is answered here: so a store is heard of at its first
 * time, and costs nothing from then on. Taking the log marks the pages anew. What the host writes, it says itself.
 */
#include <stdlib.h>
#include <string.h>
#include "shim.h"

enum { BLOCK_ALIGNMENT = 256 << 10 };

struct dirty {
    uint64_t base, size; /* as Unicorn numbers RAM: the place in all of its blocks */
    char *host;
    uint64_t bits[]; /* of pages */
};

static atomic_uint logs; /* in the process: a store asks this before anything else */

static void mark(struct dirty *log, uint64_t start, uint64_t end)
{
    if (end <= log->base || start >= log->base + log->size) return;
    start = start > log->base ? start - log->base : 0;
    end = end < log->base + log->size ? end - log->base : log->size;
    for (uint64_t page = start >> PAGE_BITS; page <= (end - 1) >> PAGE_BITS; page++)
        log->bits[page >> 6] |= 1ull << (page & 63);
}

/* The host has written `size` bytes at a place in Unicorn's blocks of RAM. */
void mark_written(struct engine *e, uint64_t start, uint64_t end)
{
    if (e->dirty) mark(e->dirty, start, end);
}

/* A store has come by the slow path. */
void shim_tb_invalidate_phys_page_fast(void *uc, void *pages, uint64_t start, int size, uintptr_t host_pc)
{
    if (atomic_load_explicit(&logs, memory_order_relaxed)) {
        struct engine *e = engine_of_uc(uc);
        if (e && e->dirty) mark(e->dirty, start, start + (unsigned)size);
    }
    real.tb_invalidate_phys_page_fast(uc, pages, start, size, host_pc);
}

/* Stores to a virtual page need not be heard of any more. Unicorn's function says so for every translation regime that has
 * the page, though it may be another page there. With a log, just those are meant that lead where the store has gone.
 */
void shim_tlb_set_dirty(void *cpu, uint64_t address)
{
    struct engine *e = atomic_load_explicit(&logs, memory_order_relaxed) ? engine_of_uc(AT(void *, cpu, CPU_UC)) : NULL;
    if (!e || !e->dirty) {
        real.tlb_set_dirty(cpu, address);
        return;
    }
    uint64_t page = address & -(1ull << PAGE_BITS);
    for (int regime = 0; regime < TLB_REGIMES; regime++) {
        const struct tlb *tlb = &((const struct tlb *)((char *)e->env + ENV_TLB))[regime];
        struct tlb_entry *entry = tlb->entries + (address >> PAGE_BITS & tlb->mask / sizeof *entry);
        if (entry->write != (page | TLB_NOT_DIRTY)) continue;
        uint64_t at = (uint64_t)((char *)(page + entry->host) - e->dirty->host);
        bool is_heard = at >= e->dirty->size || e->dirty->bits[at >> PAGE_BITS >> 6] >> (at >> PAGE_BITS & 63) & 1;
        if (is_heard) entry->write = page;
    }
}

/* Where RAM at a physical address is: its place in Unicorn's blocks, and on the host; false where it is none. */
bool find_ram(struct engine *e, uint64_t address, uint64_t *base, char **host)
{
    void **regions = AT(void **, e->uc, UC_MAPPED_BLOCKS);
    uint32_t count = AT(uint32_t, e->uc, UC_MAPPED_BLOCK_COUNT);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = address - AT(uint64_t, regions[i], REGION_ADDRESS), length = AT(uint64_t, regions[i], REGION_SIZE);
        void *block = AT(void *, regions[i], REGION_BLOCK);
        if (!block || at >= length) continue;
        *base = AT(uint64_t, block, BLOCK_OFFSET) + at;
        *host = AT(char *, block, BLOCK_HOST) + at;
        return true;
    }
    return false;
}

/* Give the RAM that has just been mapped at a physical address a place of its own in Unicorn's blocks.
 *
 * Unicorn numbers RAM as QEMU does, but lets a block begin where the smallest one ends, inside of larger ones. What was
 * translated, and what has been written, is known by these numbers: code of one piece of RAM would be executed for
 * another's where a virtual address has led to both. The new block goes behind all others, from a multiple of 256 KiB on.
 */
EXPORT void shim_number_ram(struct engine *e, uint64_t address)
{
    void **regions = AT(void **, e->uc, UC_MAPPED_BLOCKS), *made = NULL;
    uint32_t count = AT(uint32_t, e->uc, UC_MAPPED_BLOCK_COUNT);
    uint64_t free_from = 0;
    for (uint32_t i = 0; i < count; i++) {
        void *block = AT(void *, regions[i], REGION_BLOCK);
        if (!block) continue;
        if (AT(uint64_t, regions[i], REGION_ADDRESS) == address) {
            made = block;
            continue;
        }
        uint64_t end = AT(uint64_t, block, BLOCK_OFFSET) + AT(uint64_t, regions[i], REGION_SIZE);
        if (end > free_from) free_from = end;
    }
    if (made) AT(uint64_t, made, BLOCK_OFFSET) = (free_from + BLOCK_ALIGNMENT - 1) & -(uint64_t)BLOCK_ALIGNMENT;
}

/* Are all of Unicorn's blocks in this range side by side on the host as they are there, and is its last byte in one? */
static bool is_one_piece(struct engine *e, uint64_t base, uint64_t size, const char *host)
{
    void **regions = AT(void **, e->uc, UC_MAPPED_BLOCKS);
    uint32_t count = AT(uint32_t, e->uc, UC_MAPPED_BLOCK_COUNT);
    bool reaches_end = false;
    for (uint32_t i = 0; i < count; i++) {
        void *block = AT(void *, regions[i], REGION_BLOCK);
        if (!block) continue;
        uint64_t start = AT(uint64_t, block, BLOCK_OFFSET), end = start + AT(uint64_t, regions[i], REGION_SIZE);
        if (end <= base || start >= base + size) continue;
        if (AT(char *, block, BLOCK_HOST) - start != host - base) return false;
        reaches_end |= start < base + size && base + size <= end;
    }
    return reaches_end;
}

/* Begin a log of RAM, `size` bytes in Unicorn's blocks, from what is mapped at a physical address on; the log before is over.
 * It may be several blocks, which were mapped one after the other. 0 where that is no RAM, or no memory.
 */
EXPORT int shim_track_dirty(struct engine *e, uint64_t address, uint64_t size)
{
    uint64_t base;
    char *host;
    if (!find_ram(e, address, &base, &host) || !is_one_piece(e, base, size, host)) return 0;
    struct dirty *log = calloc(1, sizeof *log + ((size >> PAGE_BITS) + 63) / 64 * 8);
    if (!log) return 0;
    *log = (struct dirty){.base = base, .size = size, .host = host};
    shim_untrack_dirty(e);
    e->dirty = log;
    atomic_fetch_add(&logs, 1);
    real.tlb_flush(e->cpu);
    return 1;
}

/* End the log. */
EXPORT void shim_untrack_dirty(struct engine *e)
{
    if (!e->dirty) return;
    atomic_fetch_sub(&logs, 1);
    free(e->dirty);
    e->dirty = NULL;
}

/* Copy the log's bitmap to `bits` as far as there is something in it, which is so many words, and begin anew; on the engine's
 * own thread, in a callback as outside a run.
 */
EXPORT size_t shim_take_dirty(struct engine *e, uint64_t *bits)
{
    struct dirty *log = e->dirty;
    size_t words = ((log->size >> PAGE_BITS) + 63) / 64;
    while (words && !log->bits[words - 1]) words--;
    memcpy(bits, log->bits, words * sizeof *bits);
    memset(log->bits, 0, words * sizeof *bits);
    real.tlb_reset_dirty(e->cpu, (uintptr_t)log->host, log->size);
    return words;
}

/* Where a page of the log's RAM differs from another: its lines are copied, and what was translated from just those is
 * forgotten. Code on a page beside data that is put back stays.
 */
static void copy_page(struct engine *e, uint64_t at, const char *source)
{
    enum { LINE = 64, PAGE = 1 << PAGE_BITS };
    struct dirty *log = e->dirty;
    char *to = log->host + at;
    for (unsigned line = 0; line < PAGE; line += LINE) {
        if (!memcmp(to + line, source + line, LINE)) continue;
        unsigned begin = line;
        do line += LINE;
        while (line < PAGE && memcmp(to + line, source + line, LINE));
        memcpy(to + begin, source + begin, line - begin);
        real.tb_invalidate_phys_range(e->uc, log->base + at + begin, log->base + at + line);
    }
}

/* Have those pages of the log's RAM that are in a bitmap, of so many words, hold what `source` has, a copy of all of it.
 * Not while it runs.
 */
EXPORT void shim_copy_pages(struct engine *e, const uint64_t *pages, size_t words, const char *source)
{
    for (size_t i = 0; i < words; i++)
        for (uint64_t left = pages[i]; left; left &= left - 1) {
            uint64_t at = (i * 64 + (unsigned)__builtin_ctzll(left)) << PAGE_BITS;
            copy_page(e, at, source + at);
        }
}
