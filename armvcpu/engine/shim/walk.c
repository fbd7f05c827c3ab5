/* Addresses that are larger than the CPU's, or than TCR_EL1.IPS allows: Address size faults (DDI 0487 D8.2).
 *
 * The engine masks what a table or a register holds to 48 bits and goes on with it. So after a translation of the EL1&0
 * regime that might have met such an address its tables are looked into once more: TTBR, table and output addresses, each
 * of which faults at the level that gave it, before anything that the walk would find there.
 */
#include "shim.h"

enum {
    HELD = 48,         /* bits of an address in a descriptor */
    LARGEST_MAPPED = 40, /* bits of the addresses that stage 2 maps at most (vcpu/stage2): none beyond can have been reached */
    ID_AA64MMFR0 = 0xC038,
    SCTLR_M = 1, SCTLR_EE = 1 << 25,
    NONE = -1,
};

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

/* The level at which an access of the EL1&0 regime faults by its size, or -1. Of a walk that is not a fault yet `physical` is
 * where it leads, else null.
 */
int address_size_fault(struct engine *e, uint64_t address, int access, int index, const uint64_t *physical)
{
    if (!is_el1_regime(index)) return NONE;
    const void *env = e->env;
    unsigned bits = physical_bits(e);
    if (!(AT(uint64_t, env, ENV_SCTLR_EL + 8) & SCTLR_M) || AT(uint64_t, env, ENV_HCR_EL2) & (HCR_DC | HCR_TGE))
        return is_too_large(env, address, access, bits) ? 0 : NONE;
    unsigned allowed = bits_of(tcr_of(env) >> 32);
    if (allowed < bits) bits = allowed;
    bool may_be = bits < HELD && (!physical || bits < LARGEST_MAPPED || *physical >> bits);
    return may_be ? oversized(e, address, bits) : NONE;
}
