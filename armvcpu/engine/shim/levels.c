/* What EL2 and EL3 of the guest's own control, and the engine leaves out.
 *
 * HVC where there is no EL3 to enable it (DDI 0487 C6.2.116, HCR_EL2.HCD) or no EL2 (Secure state), virtual SErrors
 * (HCR_EL2.VSE, D1.3.6), syndromes of stage 2 faults (D17.2.37), and what guarded registers are trapped by (guards.c).
 */
#include "shim.h"

static const uint64_t AMO = 1 << 5, VSE = 1 << 8, TGE = 1ull << 27, HCD = 1 << 29;
enum { NS = 1, PSTATE_A = 1 << 8, SYNDROME_UNKNOWN = 1 << 25, SYNDROME_SERROR = (int)0xBE000000 };

static uint32_t level(const void *env) { return AT(uint32_t, env, ENV_PSTATE) >> 2 & 3; }

/* In the place of helper_pre_hvc, which goes by SCR_EL3.HCE alone. */
void helper_hypervisor_call(void *env)
{
    struct engine *e = engine_of_env(env);
    uint32_t el = level(env);
    bool is_secure = !(AT(uint64_t, env, ENV_SCR_EL3) & NS);
    if ((e->shared.highest == 2 && AT(uint64_t, env, ENV_HCR_EL2) & HCD) || (is_secure && el == 1))
        real.raise_exception(env, EXCP_UDEF, SYNDROME_UNKNOWN, el);
    real.helper_pre_hvc(env);
}

/* A virtual SError that is pending and not masked. */
static bool takes_virtual_serror(const void *env)
{
    uint64_t hcr = AT(uint64_t, env, ENV_HCR_EL2);
    if ((hcr & (VSE | AMO)) != (VSE | AMO) || hcr & TGE || level(env) > 1) return false;
    return AT(uint64_t, env, ENV_SCR_EL3) & NS && !(AT(uint32_t, env, ENV_DAIF) & PSTATE_A);
}

/* Where PSTATE.A may have become 0 and PC is the next instruction's: enter one, and give the block up. */
void take_virtual_serror(struct engine *e)
{
    if (!takes_virtual_serror(e->env)) return;
    AT(uint64_t, e->env, ENV_HCR_EL2) &= ~VSE;
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

/* The syndrome of a stage 2 abort that the guest's own EL2 gets: instructions with write-back are not described in it. */
uint32_t syndrome_for_el2(struct engine *e, uint32_t syndrome)
{
    enum { EC_DABT_LOWER = 0x24, ISV = 1 << 24, DESCRIPTION = 0x01FFC000, WRITE_BACK = 0x38000400, CLASS = 0x3F200400 };
    if (syndrome >> 26 != EC_DABT_LOWER || !(syndrome & ISV)) return syndrome;
    uint32_t word = real.cpu_ldl_code(e->env, AT(uint64_t, e->env, ENV_PC)); /* LDR, STR: C4.1.94, pre- and post-indexed */
    return (word & CLASS) == WRITE_BACK ? syndrome & ~(uint32_t)DESCRIPTION : syndrome;
}
