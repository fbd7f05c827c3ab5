/* What a translation comes to, beside what the tables say: faults that the engine leaves out, Secure memory (DDI 0487 D1.3.5),
 * ranges that are read elsewhere, and which pages are executable in the TLB.
 */
#include <stdlib.h>
#include "shim.h"

enum {
    ADDRESS_SIZE = 7,              /* ARMFault_AddressSize */
    EXTERNAL = 8,                  /* ARMFault_SyncExternal */
    SECURE = 2,                    /* of an access's attributes (MemTxAttrs) */
    PAGE_WRITE = 2, PAGE_EXEC = 4, /* of prot */
    EXECUTED_PAGES = 1 << 20,      /* of 4 KiB: 4 GiB; what lies higher shares its bits */
};

static bool is_secure_memory(const struct engine *e, uint64_t physical)
{
    for (unsigned i = 0; i < e->secure_count; i++)
        if (physical >= e->secure[i].begin && physical < e->secure[i].end) return true;
    return false;
}

/* What Non-secure accesses are to abort at, as pairs of first and last address + 1; 0 where those are too many. */
EXPORT int shim_set_secure(struct engine *e, const uint64_t *ranges, unsigned count)
{
    if (count > SECURE_RANGES) return 0;
    for (unsigned i = 0; i < count; i++) e->secure[i] = (struct range){ranges[2 * i], ranges[2 * i + 1]};
    e->secure_count = count;
    real.tlb_flush(e->cpu);
    return 1;
}

static const struct alias *alias_of(const struct engine *e, uint64_t physical)
{
    for (unsigned i = 0; i < e->alias_count; i++)
        if (physical >= e->aliases[i].range.begin && physical < e->aliases[i].range.end) return &e->aliases[i];
    return NULL;
}

/* Which physical ranges are read elsewhere, three words each: first, last + 1, where; 0 where those are too many. */
EXPORT int shim_set_aliases(struct engine *e, const uint64_t *aliases, unsigned count)
{
    if (count > ALIASES) return 0;
    for (unsigned i = 0; i < count; i++, aliases += 3) e->aliases[i] = (struct alias){{aliases[0], aliases[1]}, aliases[2]};
    e->alias_count = count;
    real.tlb_flush(e->cpu);
    return 1;
}

/* In the place of tlb_set_page_with_attrs: a page that get_phys_addr has found not to be for stores is one of those. */
void shim_tlb_set_page_with_attrs(void *cpu, uint64_t address, uint64_t physical, uint32_t attributes, int prot, int index,
                                  uint64_t size)
{
    struct engine *e = engine_of_uc(AT(void *, cpu, CPU_UC));
    uint64_t page = physical & -(1ull << PAGE_BITS);
    const struct alias *alias = e && e->alias_count && !(prot & PAGE_WRITE) ? alias_of(e, physical) : NULL;
    if (alias) physical += alias->to - alias->range.begin;
    if (e) e->filled |= (uint16_t)(1 << index), e->filling = page;
    real.tlb_set_page_with_attrs(cpu, address, physical, attributes, prot, index, size);
}

void forget_executed(struct engine *e)
{
    free(e->executed);
    e->executed = NULL;
}

/* Is the page executable in the TLB: has an instruction been fetched from it, or is it now? Stores to a page that is are
 * checked against translated code, each of them, and with the MMU off or one large block every page would be. Where
 * stage 2 is Python's it does the same (machine/running/stage2.py). A bit that is set for nothing costs time only.
 */
static bool is_executed(struct engine *e, uint64_t physical, int access)
{
    if (!e->executed && !(e->executed = calloc(EXECUTED_PAGES / 64, sizeof *e->executed))) return true;
    uint64_t page = physical >> PAGE_BITS & (EXECUTED_PAGES - 1), bit = 1ull << (page & 63);
    if (access == FETCH) e->executed[page >> 6] |= bit;
    return e->executed[page >> 6] & bit;
}

/* In the place of get_phys_addr, by which the TLB is filled and AT answered; is it a fault? */
bool shim_get_phys_addr(void *env, uint64_t address, int access, int index, uint64_t *physical, void *attributes, int *prot,
                        uint64_t *size, struct fault_info *fi, void *cache)
{
    struct engine *e = engine_of_env(env);
    if (e && e->shared.highest > 1) index = regime_under_tge(env, index);
    bool fault = real.get_phys_addr(env, address, access, index, physical, attributes, prot, size, fi, cache);
    if (!e) return fault;
    if (fault && fi->s1ptw && e->shared.highest > 1) fault_of_walk(e, fi);
    if (!fault && e->secure_count && !(*(uint32_t *)attributes & SECURE) && is_secure_memory(e, *physical)) {
        *fi = (struct fault_info){.type = EXTERNAL};
        return true;
    }
    if (!fault && e->alias_count && alias_of(e, *physical)) {
        *prot &= access == STORE ? PAGE_WRITE : ~PAGE_WRITE;
        *size = 1 << PAGE_BITS;
    }
    if (!fault && e->shared.highest > 1 && *prot & PAGE_EXEC && !is_executed(e, *physical, access)) *prot &= ~PAGE_EXEC;
    int level = address_size_fault(e, address, access, index, fault ? NULL : physical);
    if (level < 0) return fault;
    *fi = (struct fault_info){.type = ADDRESS_SIZE, .level = level};
    return true;
}
