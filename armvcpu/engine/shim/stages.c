/* What the engine's walks leave out where EL2 is the guest's: the kind and level of a stage 2 fault in a walk of stage 1, and
 * which regime HCR_EL2.TGE leaves of EL1&0 (DDI 0487 D8.2, D17.2.48).
 */
#include "shim.h"

/* A fault of stage 2 in a walk of stage 1, of which the engine keeps only where it was: its kind, and its level in stage 2's
 * tables. Without such a fault it was a walk through Device memory with HCR_EL2.PTW, a Permission fault.
 */
void fault_of_walk(struct engine *e, struct fault_info *fi)
{
    enum { PERMISSION = 5, EXTERNAL_ON_WALK = 9, LARGEST_PAGE = 1 << 16, LARGEST_LEVEL2 = 1 << 29 };
    struct fault_info of_stage2 = {0};
    uint64_t physical, size = 0;
    uint32_t attributes = 0;
    int prot;
    if (real.get_phys_addr(e->env, fi->s2addr, 0, STAGE2_INDEX, &physical, &attributes, &prot, &size, &of_stage2, NULL)) {
        fi->type = of_stage2.type, fi->level = of_stage2.level;
    } else if (fi->type != EXTERNAL_ON_WALK) {
        fi->type = PERMISSION;
        fi->level = size <= LARGEST_PAGE ? 3 : size <= LARGEST_LEVEL2 ? 2 : 1;
    }
}

/* The regime that takes the place of EL1&0 under HCR_EL2.TGE, where the engine goes by tables that have no effect then
 * (D17.2.48): EL2&0 with E2H, else one without stage 2, and stage 1 is off there.
 */
int regime_under_tge(const void *env, int index)
{
    enum { E10_0 = 0x10, E20_0, E10_1, E10_1_PAN, E20_2 = 0x15, E20_2_PAN, STAGE1_E0 = 0x20, STAGE1_E1, STAGE1_E1_PAN };
    uint64_t hcr = AT(uint64_t, env, ENV_HCR_EL2);
    if (!(hcr & HCR_TGE) || !is_nonsecure(env)) return index;
    bool e2h = hcr & HCR_E2H;
    switch (index) {
    case E10_0: case STAGE1_E0: return e2h ? E20_0 : STAGE1_E0;
    case E10_1: case STAGE1_E1: return e2h ? E20_2 : STAGE1_E1;
    case E10_1_PAN: case STAGE1_E1_PAN: return e2h ? E20_2_PAN : STAGE1_E1_PAN;
    default: return index;
    }
}
