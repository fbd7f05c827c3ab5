/* Which level a floating-point or Advanced SIMD instruction traps to; Unicorn says none, always.
 *
 * DDI 0487 J1.1, AArch64.CheckFPAdvSIMDEnabled: CPACR_EL1.FPEN (not under HCR_EL2.{E2H,TGE} = {1,1}), then CPTR_EL2 (TFP,
 * or FPEN under E2H), then CPTR_EL3.TFP.
 */
#include "shim.h"

enum { TFP = 1 << 10 };

static bool is_off(uint64_t fpen, int el) { return fpen != 3 && !(fpen == 1 && el > 0); }

int shim_fp_exception_el(void *env, int el)
{
    if (!engine_of_env(env)) return real.fp_exception_el(env, el);
    uint64_t cpacr = AT(uint64_t, env, ENV_CPACR_EL1), hcr = 0;
    bool secure = !is_nonsecure(env);
    if (el < 3 && !secure) hcr = real.arm_hcr_el2_eff(env);
    /* Under TGE the engine makes an UNDEFINED instruction at EL2 of what goes to EL1. */
    if (el <= 1 && (hcr & HCR_HOST) != HCR_HOST && is_off(cpacr >> 20 & 3, el)) return 1;
    if (el <= 2 && !secure) {
        uint64_t cptr = AT(uint64_t, env, ENV_CPTR_EL + 16);
        if (hcr & HCR_E2H ? is_off(cptr >> 20 & 3, el || !(hcr & HCR_TGE)) : (cptr & TFP) != 0) return 2;
    }
    return AT(uint64_t, env, ENV_CPTR_EL + 24) & TFP ? 3 : 0;
}
