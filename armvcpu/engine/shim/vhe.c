/* The other names that registers have under HCR_EL2.E2H (DDI 0487 D17.2.48), which Unicorn leaves out.
 *
 * At EL2 a name of EL1 is then EL2's register of that kind (SCTLR_EL1 is SCTLR_EL2), and so are the timers' at EL0 where TGE
 * is set too; EL1's own are SCTLR_EL12 and so on, at EL2 and EL3. Which one an instruction means is decided while it is
 * translated: blocks of EL2 and EL0 are told apart by E2H and TGE, as the translation regime is. Blocks of EL3 are not, so
 * there the aliases look at it when they are accessed.
 */
#include "shim.h"

#define SAME(crn, crm, op2) {SYSREG(3, 0, crn, crm, op2), SYSREG(3, 4, crn, crm, op2)}
#define TIMER(crm, op2) {SYSREG(3, 3, 14, crm, op2), SYSREG(3, 4, 14, crm, op2)}

static const struct pair {
    uint16_t el1, el2;
} PAIRS[] = {
    {SYSREG(3, 0, 1, 0, 2), SYSREG(3, 4, 1, 1, 2)}, /* CPACR_EL1, CPTR_EL2 */
    SAME(1, 0, 0), SAME(2, 0, 0), SAME(2, 0, 1), SAME(2, 0, 2), /* SCTLR, TTBR0, TTBR1, TCR */
    SAME(4, 0, 0), SAME(4, 0, 1), SAME(5, 1, 0), SAME(5, 1, 1), SAME(5, 2, 0), /* SPSR, ELR, AFSR0, AFSR1, ESR */
    SAME(6, 0, 0), SAME(10, 2, 0), SAME(10, 3, 0), SAME(12, 0, 0), /* FAR, MAIR, AMAIR, VBAR */
    SAME(13, 0, 1), SAME(14, 1, 0), /* CONTEXTIDR; CNTKCTL_EL1, CNTHCTL_EL2 */
    TIMER(2, 0), TIMER(2, 1), TIMER(2, 2), TIMER(3, 0), TIMER(3, 1), TIMER(3, 2), /* CNTP and CNTHP, CNTV and CNTHV */
};
enum {
    PAIR_COUNT = sizeof PAIRS / sizeof *PAIRS,
    OP1 = 7 << 11,
    OF_EL12 = 5 << 11,
    OF_EL3 = 0xC0, /* of `access` */
};

static int access_under_e2h(void *env, const struct reginfo *info, int is_read)
{
    (void)info, (void)is_read;
    return real.arm_hcr_el2_eff(env) & HCR_E2H ? CP_ACCESS_OK : CP_ACCESS_TRAP_UNCATEGORIZED;
}

/* SCTLR_EL12 and its like: the register of EL1, whoever answers for it; a row for the alias itself comes first. */
static const struct reginfo *of_el1(struct engine *e, void *table, uint32_t encoding, uint32_t el1, uint32_t el, bool e2h)
{
    if (el < 2 || (el == 2 && !e2h)) return NULL;
    const struct reginfo *own = row_or_own(e, table, encoding); /* the engine has the timers' */
    const struct reginfo *to = own && (e->rows[encoding] || !e->rows[el1]) ? own : row_or_own(e, table, el1);
    struct reginfo *found = to && el == 3 ? through(e, OF_EL1, encoding, to) : NULL;
    if (!found) return el == 3 ? NULL : to;
    found->access &= OF_EL3;
    found->accessfn = access_under_e2h;
    return found;
}

static bool is_timer(uint32_t encoding) { return (encoding >> 7 & 15) == 14 && (encoding >> 3 & 15) != 1; }

static const struct reginfo *named(struct engine *e, void *table, uint32_t encoding, uint32_t el)
{
    uint32_t el1 = encoding;
    bool is_alias = (encoding & OP1) == OF_EL12;
    if (el == 1 || encoding >> 14 != 3 || (el == 3 && !is_alias)) return row_or_own(e, table, encoding);
    if (is_alias) el1 = (encoding & ~(uint32_t)OP1) | (is_timer(encoding) ? 3 << 11 : 0);
    int n = 0;
    while (n < PAIR_COUNT && PAIRS[n].el1 != el1) n++;
    if (n == PAIR_COUNT) return row_or_own(e, table, encoding);
    uint64_t hcr = real.arm_hcr_el2_eff(e->env);
    if (is_alias) return of_el1(e, table, encoding, el1, el, hcr & HCR_E2H);
    const struct reginfo *own = row_or_own(e, table, encoding);
    if (!(hcr & HCR_E2H) || (el == 0 && !(hcr & HCR_TGE))) return own;
    const struct reginfo *to = row_or_own(e, table, PAIRS[n].el2);
    if (el == 2 || !to || !own) return to;
    struct reginfo *found = through(e, OF_EL2, encoding, to);
    if (!found) return NULL;
    found->access = own->access;
    found->accessfn = own->accessfn;
    return found;
}

/* What an instruction that names a register accesses, as the CPU is now; null where that is UNDEFINED. */
const struct reginfo *named_register(struct engine *e, void *table, uint32_t encoding)
{
    uint32_t el = level_of(e->env);
    return corrected(e, encoding, el, named(e, table, encoding, el));
}
