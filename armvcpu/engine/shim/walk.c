/* Addresses that are larger than the CPU's, or than TCR_EL1.IPS allows: Address size faults (DDI 0487 D8.2).
 *
 * The engine masks what a table or a register holds to 48 bits and goes on with it. So after a translation of the EL1&0
 * regime that might have met such an address its tables are looked into once more: TTBR, table and output addresses, each
 * of which faults at the level that gave it, before anything that the walk would find there.
 */
#include <stdlib.h>
#include "shim.h"

enum {
    HELD = 48,         /* bits of an address in a descriptor */
    LARGEST_MAPPED = 40, /* bits of the addresses that stage 2 maps at most (vcpu/stage2): none beyond can have been reached */
    ADDRESS_SIZE = 7,  /* ARMFault_AddressSize */
    EXTERNAL = 8,      /* ARMFault_SyncExternal */
    SECURE = 2,        /* of an access's attributes (MemTxAttrs) */
    ID_AA64MMFR0 = 0xC038,
    STORE = 1, FETCH = 2,          /* MMUAccessType */
    PAGE_WRITE = 2, PAGE_EXEC = 4, /* of prot */
    EXECUTED_PAGES = 1 << 20,      /* of 4 KiB: 4 GiB; what lies higher shares its bits */
    SCTLR_M = 1, SCTLR_EE = 1 << 25,
    NONE = -1,
};
static const uint64_t HCR_DC = 1 << 12, HCR_TGE = 1 << 27;

/* The EL1&0 regime: E10_0, E10_1, E10_1_PAN with stage 2, and Stage1_E0, Stage1_E1, Stage1_E1_PAN of AT. */
static bool is_el1_regime(int index)
{
    return index == 0x10 || index == 0x12 || index == 0x13 || (index >= 0x20 && index <= 0x22);
}

static unsigned bits_of(uint64_t range)
{
    static const uint8_t bits[] = {32, 36, 40, 42, 44, 48, 48, 48}; /* D17.2.64, PARange; IPS is the same */
    return bits[range & 7];
}

/* What the CPU model that the guest sees has. */
static unsigned physical_bits(const struct engine *e)
{
    const struct reginfo *info = (const struct reginfo *)e->rows[ID_AA64MMFR0]; /* a row begins with it */
    return info && info->type & CP_CONST ? bits_of(info->resetvalue) : HELD;
}

static uint64_t tcr_of(const void *env) { return AT(uint64_t, env, ENV_TCR_EL + 16); }

/* With the MMU off an address is its own translation; bits 63:56 are left out where TCR_EL1.TBI says so. */
static bool is_too_large(const void *env, uint64_t address, int access, unsigned bits)
{
    uint64_t tcr = tcr_of(env), upper = address >> 55 & 1;
    bool ignored = tcr >> (37 + upper) & 1 && !(access == FETCH && tcr >> (51 + upper) & 1);
    if (ignored) address &= (1ull << 56) - 1;
    return address >> bits != 0;
}

/* A descriptor by its intermediate physical address; false where there is no memory. */
static bool read_descriptor(struct engine *e, uint64_t ipa, uint64_t *descriptor)
{
    uint64_t physical, size;
    uint32_t attributes = 0, result = 0;
    int prot;
    struct fault_info fi = {0};
    if (real.get_phys_addr(e->env, ipa, 0, STAGE2_INDEX, &physical, &attributes, &prot, &size, &fi, NULL)) return false;
    *descriptor = real.address_space_ldq_le(e->uc, AT(void *, e->cpu, CPU_AS), physical, 0, &result);
    if (AT(uint64_t, e->env, ENV_SCTLR_EL + 8) & SCTLR_EE) *descriptor = __builtin_bswap64(*descriptor);
    return !result;
}

/* The level of the first address in the walk of `address` that has more than `bits`, or NONE. */
static int oversized(struct engine *e, uint64_t address, unsigned bits)
{
    uint64_t tcr = tcr_of(e->env);
    unsigned upper = address >> 55 & 1, tg = (unsigned)(tcr >> (upper ? 30 : 14) & 3);
    unsigned tsz = (unsigned)(tcr >> (upper ? 16 : 0) & 0x3F), granule = upper ? tg == 1 ? 14 : tg == 3 ? 16 : 12 : tg == 1 ? 16 : tg == 2 ? 14 : 12;
    if (tsz < 16) tsz = 16; /* as the engine takes them */
    if (tsz > 39) tsz = 39;
    unsigned input = 64 - tsz, stride = granule - 3, top = tcr >> (37 + upper) & 1 ? 56 : 64;
    uint64_t rest = address << (64 - top) >> (64 - top) >> input, ones = ((1ull << (top - input)) - 1);
    if (tcr >> (upper ? 23 : 7) & 1 || rest != (upper ? ones : 0)) return NONE; /* EPDn; between the two ranges */

    int level = 4 - (int)((input - 4) / stride);
    uint64_t table = AT(uint64_t, e->env, ENV_TTBR_EL + 32 * upper + 8) & ((1ull << HELD) - 1);
    uint64_t index_mask = (1ull << (input - stride * (unsigned)(4 - level))) - 1;
    table &= ~index_mask;
    if (table >> bits) return 0;
    for (;; level++) {
        uint64_t descriptor, at = (table | (address >> stride * (unsigned)(4 - level) & index_mask)) & ~7ull;
        if (!read_descriptor(e, at, &descriptor) || !(descriptor & 1) || (level == 3 && !(descriptor & 2))) return NONE;
        table = descriptor & ((1ull << HELD) - 1) & ~((1ull << granule) - 1);
        if (table >> bits) return level;
        if (level == 3 || !(descriptor & 2)) return NONE;
        index_mask = (1ull << granule) - 1;
    }
}

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
    const struct alias *alias = e && e->alias_count && !(prot & PAGE_WRITE) ? alias_of(e, physical) : NULL;
    if (alias) physical += alias->to - alias->range.begin;
    if (e) e->filled |= (uint16_t)(1 << index);
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
    if (!is_el1_regime(index)) return fault;
    int level = NONE;
    unsigned bits = physical_bits(e);
    if (!(AT(uint64_t, env, ENV_SCTLR_EL + 8) & SCTLR_M) || AT(uint64_t, env, ENV_HCR_EL2) & (HCR_DC | HCR_TGE)) {
        if (is_too_large(env, address, access, bits)) level = 0;
    } else {
        unsigned allowed = bits_of(tcr_of(env) >> 32);
        if (allowed < bits) bits = allowed;
        if (bits < HELD && (fault || bits < LARGEST_MAPPED || *physical >> bits)) level = oversized(e, address, bits);
    }
    if (level == NONE) return fault;
    *fi = (struct fault_info){.type = ADDRESS_SIZE, .level = level};
    return true;
}
