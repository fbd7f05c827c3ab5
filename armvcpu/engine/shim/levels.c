/* What EL2 and EL3 of the guest's own control, and the engine leaves out: virtual SErrors (HCR_EL2.VSE, DDI 0487 D1.3.6),
 * syndromes of stage 2 faults (D17.2.37), and traps of registers by MDCR_EL2 and MDCR_EL3 (D17.3.17, D17.3.18).
 */
#include "shim.h"

enum { PSTATE_A = 1 << 8, SYNDROME_SERROR = (int)0xBE000000 };

/* A virtual SError that is pending at EL1 or EL0, masked or not. */
bool has_virtual_serror(const void *env)
{
    uint64_t hcr = AT(uint64_t, env, ENV_HCR_EL2);
    if ((hcr & (HCR_VSE | HCR_AMO)) != (HCR_VSE | HCR_AMO) || hcr & HCR_TGE) return false;
    return level_of(env) < 2 && is_nonsecure(env);
}

/* One that is not masked. */
bool takes_virtual_serror(const void *env)
{
    return has_virtual_serror(env) && !(AT(uint32_t, env, ENV_DAIF) & PSTATE_A);
}

/* Where PSTATE.A may have become 0 and PC is the next instruction's: enter one, and give the block up. */
void take_virtual_serror(struct engine *e)
{
    if (!takes_virtual_serror(e->env)) return;
    AT(uint64_t, e->env, ENV_HCR_EL2) &= ~HCR_VSE;
    e->shared.block = 0;
    shim_take_exception(e, 1, (uint32_t)SYNDROME_SERROR, 0, 1);
    leave_block(e);
}

/* In the place of helper_msr_i_daifclear. */
void helper_unmask(void *env, uint32_t mask)
{
    struct engine *e = engine_of_env(env);
    real.helper_msr_i_daifclear(env, mask);
    if (!takes_virtual_serror(env)) return;
    real.cpu_restore_state(e->cpu, (uintptr_t)__builtin_return_address(0), true);
    AT(uint64_t, env, ENV_PC) += 4;
    take_virtual_serror(e);
}

/* Of the interrupt that the engine is about to enter: EL0 of a host (HCR_EL2.{E2H, TGE} = {1, 1}) masks those to EL2 as EL2
 * itself does (D1.3.6); the engine takes them.
 */
bool is_masked_for_host(const struct engine *e)
{
    enum { EXCP_IRQ = 5, PSTATE_F = 1 << 6, PSTATE_I = 1 << 7 };
    if (level_of(e->env) || AT(uint32_t, e->env, ENV_TARGET_EL) != 2) return false;
    if ((AT(uint64_t, e->env, ENV_HCR_EL2) & HCR_HOST) != HCR_HOST) return false;
    int number = AT(int, e->cpu, CPU_EXCEPTION_INDEX);
    uint32_t mask = number == EXCP_IRQ ? PSTATE_I : number == EXCP_FIQ ? PSTATE_F : 0;
    return AT(uint32_t, e->env, ENV_DAIF) & mask;
}

/* The syndrome of a stage 2 abort that the guest's own EL2 gets: instructions with write-back are not described in it. */
uint32_t syndrome_for_el2(struct engine *e, uint32_t syndrome)
{
    enum { EC_DABT_LOWER = 0x24, ISV = 1 << 24, DESCRIPTION = 0x01FFC000, WRITE_BACK = 0x38000400, CLASS = 0x3F200400 };
    if (syndrome >> 26 != EC_DABT_LOWER || !(syndrome & ISV)) return syndrome;
    uint32_t word = real.cpu_ldl_code(e->env, AT(uint64_t, e->env, ENV_PC)); /* LDR, STR: C4.1.94, pre- and post-indexed */
    return (word & CLASS) == WRITE_BACK ? syndrome & ~(uint32_t)DESCRIPTION : syndrome;
}

/* Registers that a bit of MDCR_EL2 or MDCR_EL3 traps, where the engine does not look at it or has no such register. */
enum { TDE = 1 << 8, TDA = 1 << 9, TDOSA = 1 << 10 };
static const struct {
    uint16_t encoding, trap;
} TRAPPED[] = {
    {SYSREG(2, 3, 0, 1, 0), TDA}, {SYSREG(2, 3, 0, 4, 0), TDA}, {SYSREG(2, 3, 0, 5, 0), TDA}, /* MDCCSR, DBGDTR, DBGDTR[RT]X */
    {SYSREG(2, 0, 0, 0, 2), TDA}, {SYSREG(2, 0, 0, 3, 2), TDA}, {SYSREG(2, 0, 0, 6, 2), TDA}, /* OSDTRRX, OSDTRTX, OSECCR */
    {SYSREG(2, 0, 7, 8, 6), TDA}, {SYSREG(2, 0, 7, 9, 6), TDA}, {SYSREG(2, 0, 7, 14, 6), TDA}, /* DBGCLAIM-, DBGAUTHSTATUS */
    {SYSREG(2, 0, 1, 4, 4), TDOSA}, /* DBGPRCR */
};
enum { TRAPPED_COUNT = sizeof TRAPPED / sizeof *TRAPPED };

static int place_in_table(uint32_t encoding)
{
    int n = TRAPPED_COUNT - 1;
    while (n >= 0 && TRAPPED[n].encoding != encoding) n--;
    return n;
}

bool is_trapped_by_mdcr(uint32_t encoding) { return place_in_table(encoding) >= 0; }

static uint64_t mdcr(struct engine *e, uint32_t op1, uint32_t crm)
{
    uint32_t encoding = SYSREG(3, op1, 1, crm, 1);
    const struct reginfo *info = real.get_arm_cp_reginfo(AT(void *, e->cpu, CPU_CP_REGS), CP_KEY | encoding);
    return info ? AT(uint64_t, e->env, info->fieldoffset) : 0;
}

/* The trap of such a register at the present level, as an access function says it; MDCR_EL2.TDE and HCR_EL2.TGE have TDA and
 * TDOSA behave as 1.
 */
int trap_by_mdcr(struct engine *e, uint32_t encoding)
{
    int n = place_in_table(encoding);
    uint32_t el = level_of(e->env);
    if (el < 2 && is_nonsecure(e->env)) {
        uint64_t set = mdcr(e, 4, 1);
        if (set & TDE || AT(uint64_t, e->env, ENV_HCR_EL2) & HCR_TGE) set |= TDA | TDOSA;
        if (set & TRAPPED[n].trap) return CP_ACCESS_TRAP_EL2;
    }
    return el < 3 && mdcr(e, 6, 3) & TRAPPED[n].trap ? CP_ACCESS_TRAP_EL3 : CP_ACCESS_OK;
}
