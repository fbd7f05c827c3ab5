/* Translated code: forgotten by physical address, and words that the translator fails on.
 *
 * The engine notices a store to code only through the mapping that the code is executed by. All else is told: IC by the
 * guest (DDI 0487 C6.2.121), host writes and DMA by the machine.
 */
#include <stdarg.h>
#include "shim.h"

enum { LINE = 512, READ = 1, EXECUTE = 4, IL = 1 << 25 }; /* LINE: what CTR_EL0.IminLine tells the guest */

/* For each piece of RAM in a range of physical addresses: where it begins and ends in Unicorn's blocks. */
static void for_ram(struct engine *e, uint64_t address, uint64_t size, void (*act)(struct engine *, uint64_t, uint64_t))
{
    void **regions = AT(void **, e->uc, UC_MAPPED_BLOCKS);
    uint32_t count = AT(uint32_t, e->uc, UC_MAPPED_BLOCK_COUNT);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t base = AT(uint64_t, regions[i], REGION_ADDRESS), length = AT(uint64_t, regions[i], REGION_SIZE);
        void *block = AT(void *, regions[i], REGION_BLOCK);
        if (!block || address + size <= base || address >= base + length) continue;
        uint64_t start = address > base ? address : base, end = address + size < base + length ? address + size : base + length;
        uint64_t ram = AT(uint64_t, block, BLOCK_OFFSET) - base;
        act(e, ram + start, ram + end);
    }
}

static void forget(struct engine *e, uint64_t start, uint64_t end) { real.tb_invalidate_phys_range(e->uc, start, end); }

/* The host has written `size` bytes of RAM at a physical address: what was translated from them is forgotten. */
EXPORT void shim_written(struct engine *e, uint64_t address, uint64_t size)
{
    for_ram(e, address, size, forget);
    if (e->dirty) for_ram(e, address, size, mark_written);
}

/* Likewise, where nothing has been written: what is to be translated anew. */
void forget_code(struct engine *e, uint64_t address, uint64_t size) { for_ram(e, address, size, forget); }

/* Forget all translations; not in a callback of a device or a hook, whose block would be overwritten. */
EXPORT void shim_forget_all(struct engine *e) { real.tb_flush(e->cpu); }

EXPORT void shim_flush_tlb(struct engine *e) { real.tlb_flush(e->cpu); }

/* IC IVAU of a virtual address. A line that is gone already is forgotten once, while nothing has been translated since:
 * a kernel that patches itself names the same one again and again.
 */
void forget_line(struct engine *e, uint64_t address)
{
    uint64_t line = address & -(uint64_t)LINE, physical;
    if (real.uc_vmem_translate(e->uc, line, READ, &physical) && real.uc_vmem_translate(e->uc, line, EXECUTE, &physical))
        return;
    if (e->gone_line == physical && e->gone_at == (uint64_t)e->shared.translations) return;
    for_ram(e, physical, LINE, forget);
    e->gone_line = physical;
    e->gone_at = (uint64_t)e->shared.translations;
}

uint32_t shim_cpu_ldl_code(void *env, uint64_t address)
{
    struct engine *e = translating;
    if (!e) return real.cpu_ldl_code(env, address);
    e->word_at = address;
    uint32_t word = real.cpu_ldl_code(env, address);
    if (e->hears_code) emit_code(e, address);
    if (e->probes) emit_probe(e, address);
    if (e->branches) emit_branch(e, address, word);
    if (e->compares) emit_compare(e, word);
    if (e->keeps_records) note_word(e, word);
    return word;
}

/* A translator has met a word that it can't deal with. The instructions before it are a block of their own; where it is
 * the first one, it is UNDEFINED (C2.2: UNALLOCATED).
 */
void shim_abort(void)
{
    struct engine *e = translating;
    if (!e) {
        real.abort();
        return;
    }
    translating = NULL;
    uint64_t begin = AT(uint64_t, e->translated_block, TB_PC), before = (e->word_at - begin) >> 2;
    e->shared.block = 0;
    e->running_record = NULL;
    if (before == 0) {
        if (is_at_stop(e)) {
            stop_run(e);
            leave_block(e);
        }
        if (e->shared.counting) e->shared.countdown--; /* an instruction that traps counts as one */
        end_exact(e);
        uint32_t el = level_of(e->env);
        AT(uint64_t, e->env, ENV_PC) = begin;
        real.raise_exception(e->env, EXCP_UDEF, IL, el ? el : 1);
    }
    AT(uint32_t, e->cpu, CPU_CFLAGS_NEXT_TB) = (uint32_t)before;
    leave_block(e);
}

/* What a translator has to say of a guest's word, to stderr or stdout, is for Unicorn's developers. */
int shim_fprintf(FILE *stream, const char *format, ...)
{
    va_list arguments;
    if (translating) return 0;
    va_start(arguments, format);
    int written = vfprintf(stream, format, arguments);
    va_end(arguments);
    return written;
}

int shim_printf(const char *format, ...)
{
    va_list arguments;
    if (translating) return 0;
    va_start(arguments, format);
    int written = vprintf(format, arguments);
    va_end(arguments);
    return written;
}

/* After each translation Unicorn looks through its TLB for the page's entries, to notice stores to it from then on. Stores
 * through the mapping that code is executed by are noticed anyway, and all others need IC.
 */
void shim_tlb_reset_dirty_by_vaddr(void *cpu, uint64_t start, uint64_t length)
{
    if (!engine_of_uc(AT(void *, cpu, CPU_UC))) real.tlb_reset_dirty_by_vaddr(cpu, start, length);
}
