/* Flushes of the TLB that a guest's own EL2 asks for, just of what its writes are about.
 *
 * Unicorn flushes everything where a register of EL1&0's translation is written, and forgets where each block is to be found.
 * A hypervisor writes half a dozen of them at each switch of its guests, and has to look for its own code and data anew
 * after each. Here such a write flushes what is of EL1&0, and what has not been filled since the last flush is not flushed
 * again: blocks are found by way of the TLB, so that where it has nothing, nothing is known of blocks either.
 */
#include "shim.h"

/* By ARMMMUIdx: E10_0, E10_1 and E10_1_PAN, the same three in Secure state, Stage2. */
enum { EL1_INDICES = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 11 };

void shim_tlb_flush_by_mmuidx(void *cpu, uint16_t indices)
{
    struct engine *e = engine_of_uc(AT(void *, cpu, CPU_UC));
    if (e && e->has_regimes) {
        if (!(e->filled & indices)) return;
        e->filled &= (uint16_t)~indices;
    }
    real.tlb_flush_by_mmuidx(cpu, indices);
}

void shim_tlb_flush(void *cpu)
{
    const struct engine *e = engine_of_uc(AT(void *, cpu, CPU_UC));
    if (e && e->writes_regime) shim_tlb_flush_by_mmuidx(cpu, EL1_INDICES);
    else real.tlb_flush(cpu);
}
