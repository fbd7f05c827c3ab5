/* Registers as instructions of the guest access them, where that is not as the engine's table has it.
 *
 * The engine's CPU has EL3, so what the highest level may do is EL3's there; a guest that starts at EL2 writes CNTFRQ_EL0 by
 * itself (DDI 0487 D17.11.16) and disables HVC by HCR_EL2.HCD (D17.2.48). HCR_EL2.RW and SCR_EL3.RW are RAO/WI, as no level
 * has AArch32. Some registers trap where they are UNDEFINED, and HCR_EL2.TIDCP and MDCR_EL2.TPMCR have no effect. Guests
 * without EL2 need nothing of this.
 */
#include <stdlib.h>
#include "shim.h"

enum {
    LORSA_EL1 = SYSREG(3, 0, 10, 4, 0), LORC_EL1 = SYSREG(3, 0, 10, 4, 3),
    CNTPS_TVAL_EL1 = SYSREG(3, 7, 14, 2, 0), CNTPS_CVAL_EL1 = SYSREG(3, 7, 14, 2, 2),
    CNTFRQ_EL0 = SYSREG(3, 3, 14, 0, 0), CNTPCT_EL0 = SYSREG(3, 3, 14, 0, 1), CNTHCTL_EL2 = SYSREG(3, 4, 14, 1, 0),
    PMCR_EL0 = SYSREG(3, 3, 9, 12, 0), MDCR_EL2 = SYSREG(3, 4, 1, 1, 1), HCR_EL2 = SYSREG(3, 4, 1, 1, 0),
    SCR_EL3 = SYSREG(3, 6, 1, 1, 0),
    DAIF = SYSREG(3, 3, 4, 2, 1), FPEXC32_EL2 = SYSREG(3, 4, 5, 3, 0), LORID_EL1 = SYSREG(3, 0, 10, 4, 7),
};
enum { ANY_LEVEL = 0xFF, TPMCR = 1 << 5 };
static const uint64_t OF_MTE = 0x7Full << 37, OF_MTE_AT_EL3 = 0x59ull << 37; /* of SCTLR_ELx: RES0 without FEAT_MTE2 */

/* A register as another instruction, or another level, accesses it: who may is decided here. */
struct through {
    struct reginfo info; /* first: the engine has its address */
    const struct reginfo *to;
    struct engine *engine;
    uint32_t name;
    struct through *next;
};

static const struct reginfo *to_of(const struct reginfo *info) { return ((const struct through *)info)->to; }

static uint64_t read_through(void *env, const struct reginfo *info)
{
    const struct reginfo *to = to_of(info);
    if (to->type & CP_CONST) return to->resetvalue;
    return to->readfn ? to->readfn(env, to) : AT(uint64_t, env, to->fieldoffset);
}

static void write_through(void *env, const struct reginfo *info, uint64_t value)
{
    const struct reginfo *to = to_of(info);
    if (to->type & CP_CONST) return;
    if (to->writefn) to->writefn(env, to, value);
    else AT(uint64_t, env, to->fieldoffset) = value;
}

/* The register `to` by a name of `kind`: an object of its own, as translated code has its address; null without memory. */
struct reginfo *through(struct engine *e, uint32_t kind, uint32_t encoding, const struct reginfo *to)
{
    uint32_t name = kind << 16 | encoding;
    struct through *t = e->throughs;
    while (t && (t->name != name || t->to != to)) t = t->next;
    if (!t) {
        if (!(t = calloc(1, sizeof *t))) return NULL;
        *t = (struct through){.engine = e, .name = name, .next = e->throughs};
        e->throughs = t;
    }
    t->info = *to;
    t->info.type = CP_NO_RAW | CP_IO | CP_RAISES_EXC;
    bool is_field = !to->readfn && !(to->type & CP_CONST);
    t->info.readfn = is_field ? NULL : read_through, t->info.writefn = write_through;
    t->to = to;
    return &t->info;
}

void free_throughs(struct engine *e)
{
    while (e->throughs) {
        struct through *t = e->throughs;
        e->throughs = t->next;
        free(t);
    }
}

static int access_of(void *env, const struct reginfo *to, int is_read)
{
    return to->accessfn ? to->accessfn(env, to, is_read) : CP_ACCESS_OK;
}

static int access_or_undefined(void *env, const struct reginfo *info, int is_read)
{
    int found = access_of(env, to_of(info), is_read);
    return found == CP_ACCESS_TRAP ? CP_ACCESS_TRAP_UNCATEGORIZED : found;
}

static bool is_el2_highest(const struct reginfo *info) { return ((const struct through *)info)->engine->shared.highest == 2; }

static int access_frequency(void *env, const struct reginfo *info, int is_read)
{
    return is_el2_highest(info) ? CP_ACCESS_OK : access_of(env, to_of(info), is_read);
}

/* CNTPCT_EL0 from EL0 (D17.11.19): without E2H the engine takes EL1PCEN, of the timer, for CNTHCTL_EL2.EL1PCTEN. */
static int access_count(void *env, const struct reginfo *info, int is_read)
{
    enum { EL1PCTEN = 1, EL1PCEN = 2 };
    struct engine *e = ((const struct through *)info)->engine;
    const struct reginfo *control = real.get_arm_cp_reginfo(AT(void *, e->cpu, CPU_CP_REGS), CP_KEY | CNTHCTL_EL2);
    uint64_t *value = &AT(uint64_t, env, control->fieldoffset), kept = *value;
    if (!is_nonsecure(env) || real.arm_hcr_el2_eff(env) & HCR_E2H) return access_of(env, to_of(info), is_read);
    *value = kept & EL1PCTEN ? kept | EL1PCEN : kept & ~(uint64_t)EL1PCEN;
    int found = access_of(env, to_of(info), is_read);
    *value = kept;
    return found;
}

/* MDCR_EL2.TPMCR, beside the traps of all Performance Monitors (D17.3.17). */
static int access_pmcr(void *env, const struct reginfo *info, int is_read)
{
    const struct engine *e = ((const struct through *)info)->engine;
    const struct reginfo *mdcr = real.get_arm_cp_reginfo(AT(void *, e->cpu, CPU_CP_REGS), CP_KEY | MDCR_EL2);
    bool traps = is_nonsecure(env) && AT(uint64_t, env, mdcr->fieldoffset) & TPMCR;
    int found = access_of(env, to_of(info), is_read);
    return found == CP_ACCESS_OK && traps ? CP_ACCESS_TRAP_EL2 : found;
}

static void write_hcr(void *env, const struct reginfo *info, uint64_t value)
{
    write_through(env, info, value | HCR_RW);
    if (is_el2_highest(info)) AT(uint64_t, env, ENV_HCR_EL2) |= value & HCR_HCD;
}

/* RW as 0 would have the engine look for AArch32's fault status at a level that has none, and it ends the process over it. */
static void write_scr(void *env, const struct reginfo *info, uint64_t value) { write_through(env, info, value | SCR_RW); }

/* MSR DAIF may let a virtual SError in; PC is the instruction's. */
static void write_daif(void *env, const struct reginfo *info, uint64_t value)
{
    struct engine *e = ((const struct through *)info)->engine;
    write_through(env, info, value);
    if (!takes_virtual_serror(env)) return;
    AT(uint64_t, env, ENV_PC) += 4;
    take_virtual_serror(e);
}

static void write_sctlr(void *env, const struct reginfo *info, uint64_t value)
{
    write_through(env, info, value & ~(to_of(info)->opc1 == 6 ? OF_MTE_AT_EL3 : OF_MTE));
}

/* HVC is UNDEFINED: by HCR_EL2.HCD where there is no EL3, and at EL1 in Secure state, which has no EL2. */
bool is_hvc_disabled(const struct engine *e)
{
    bool is_secure_el1 = level_of(e->env) == 1 && !is_nonsecure(e->env);
    return is_secure_el1 || (e->shared.highest == 2 && AT(uint64_t, e->env, ENV_HCR_EL2) & HCR_HCD);
}

/* By CRn (C5.1.2). */
static bool is_implementation_defined(uint32_t encoding)
{
    uint32_t op0 = encoding >> 14, crn = encoding >> 7 & 15;
    return (op0 == 1 || op0 == 3) && (crn == 11 || crn == 15);
}

static int access_implementation_defined(void *env, const struct reginfo *info, int is_read)
{
    return real.arm_hcr_el2_eff(env) & HCR_TIDCP ? CP_ACCESS_TRAP_EL2 : access_of(env, to_of(info), is_read);
}

static int access_unclaimed(void *env, const struct reginfo *info, int is_read)
{
    (void)info, (void)is_read;
    return real.arm_hcr_el2_eff(env) & HCR_TIDCP ? CP_ACCESS_TRAP_EL2 : CP_ACCESS_TRAP_UNCATEGORIZED;
}

static int access_by_mdcr(void *env, const struct reginfo *info, int is_read)
{
    const struct through *t = (const struct through *)info;
    int found = access_of(env, t->to, is_read);
    return found == CP_ACCESS_OK ? trap_by_mdcr(t->engine, t->name & 0xFFFF) : found;
}

/* FPEXC32_EL2, as floating point at the present level traps: by CPTR_EL2.FPEN under E2H. */
static int access_fpexc32(void *env, const struct reginfo *info, int is_read)
{
    (void)info, (void)is_read;
    int target = shim_fp_exception_el(env, (int)level_of(env));
    return target == 3 ? CP_ACCESS_TRAP_FP_EL3 : target == 2 ? CP_ACCESS_TRAP_FP_EL2 : CP_ACCESS_OK;
}

/* LORID_EL1: SCR_EL3.TLOR traps it in Secure state too. */
static int access_lorid(void *env, const struct reginfo *info, int is_read)
{
    enum { TLOR = 1 << 14 };
    int found = access_of(env, to_of(info), is_read);
    return found == CP_ACCESS_OK && AT(uint64_t, env, ENV_SCR_EL3) & TLOR ? CP_ACCESS_TRAP_EL3 : found;
}

static const struct reginfo UNCLAIMED = {
    .name = "unclaimed", .state = CP_STATE_AA64, .type = CP_CONST | CP_NO_RAW, .access = ANY_LEVEL,
    .accessfn = access_unclaimed,
};

/* SCTLR_EL1, EL2 or EL3, by whichever name. */
static bool is_sctlr(const struct reginfo *found)
{
    return found->opc0 == 3 && found->crn == 1 && found->crm == 0 && found->opc2 == 0 && found->opc1 % 2 == 0;
}

/* By name: for which levels, and what is done in place of the engine's check or write. */
static const struct correction {
    uint16_t first, last;
    uint8_t levels; /* a bit for each */
    int (*accessfn)(void *env, const struct reginfo *, int is_read);
    void (*writefn)(void *env, const struct reginfo *, uint64_t value);
} CORRECTIONS[] = {
    {LORSA_EL1, LORC_EL1, 0xF, access_or_undefined, NULL},           /* UNDEFINED in Secure state */
    {CNTPS_TVAL_EL1, CNTPS_CVAL_EL1, 0xF, access_or_undefined, NULL}, /* but at EL3 and Secure EL1 */
    {CNTPCT_EL0, CNTPCT_EL0, 1 << 0, access_count, NULL},
    {PMCR_EL0, PMCR_EL0, 1 << 0 | 1 << 1, access_pmcr, NULL},
    {CNTFRQ_EL0, CNTFRQ_EL0, 1 << 2, access_frequency, NULL},
    {HCR_EL2, HCR_EL2, 1 << 2 | 1 << 3, NULL, write_hcr},
    {SCR_EL3, SCR_EL3, 1 << 3, NULL, write_scr},
    {FPEXC32_EL2, FPEXC32_EL2, 1 << 2 | 1 << 3, access_fpexc32, NULL},
    {LORID_EL1, LORID_EL1, 1 << 1 | 1 << 2, access_lorid, NULL},
    {DAIF, DAIF, 1 << 0 | 1 << 1, NULL, write_daif},
};

/* What an instruction of `el` accesses where a row or the engine's table has `found`, or null. */
const struct reginfo *corrected(struct engine *e, uint32_t encoding, uint32_t el, const struct reginfo *found)
{
    if (e->shared.highest == 1) return found;
    struct correction c = {.accessfn = el == 1 && is_implementation_defined(encoding) ? access_implementation_defined : NULL};
    if (!found) return c.accessfn ? &UNCLAIMED : NULL;
    if (is_sctlr(found)) c.writefn = write_sctlr;
    for (unsigned i = 0; i < sizeof CORRECTIONS / sizeof *CORRECTIONS; i++)
        if (encoding >= CORRECTIONS[i].first && encoding <= CORRECTIONS[i].last && CORRECTIONS[i].levels >> el & 1)
            c = CORRECTIONS[i];
    if (is_trapped_by_mdcr(encoding)) c.accessfn = access_by_mdcr;
    if (!c.accessfn && !c.writefn) return found;
    struct reginfo *info = through(e, OF_ITSELF, encoding, found);
    if (info && c.accessfn) info->accessfn = c.accessfn;
    if (info && c.writefn) info->writefn = c.writefn;
    return info;
}
