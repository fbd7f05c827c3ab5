/* Interrupt lines, waiting (WFE, YIELD), and requests to stop.
 *
 * WFE: DDI 0487 D1.6.1 and the traps of nTWE and TWE (D17.2.118, D17.2.48); a wait that nothing traps is a hint, and may
 * end the turn of a CPU that others could use. WFI likewise, but that its waits are Python's.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "tally.h"

enum { PRIVATE_EXPEDITED = 8, REGISTER_PRIVATE_EXPEDITED = 16 }; /* membarrier(2) */

enum { SYNDROME_WFI = 0x07E00000 }; /* EC 1, IL, CV, COND AL; TI is 1 of WFE */

/* The controls of WFI and of WFE: SCTLR_EL1.nTWx, HCR_EL2.TWx, SCR_EL3.TWx. */
struct controls {
    uint64_t not_sctlr, hcr, scr;
    uint32_t ti;
};
static const struct controls OF_WFI = {1 << 16, 1 << 13, 1 << 12, 0}, OF_WFE = {1 << 18, 1 << 14, 1 << 13, 1};

/* The level that a wait at the present level traps to, or 0 (D1.6.1, D1.6.2). */
static uint32_t trap_target(const struct engine *e, const struct controls *of)
{
    uint32_t el = level_of(e->env);
    uint64_t scr = AT(uint64_t, e->env, ENV_SCR_EL3), hcr = scr & SCR_NS ? real.arm_hcr_el2_eff(e->env) : 0;
    uint32_t of_el0 = (hcr & HCR_HOST) == HCR_HOST ? 2 : 1; /* whose SCTLR is EL0's */
    if (el == 0 && !(AT(uint64_t, e->env, ENV_SCTLR_EL + 8 * of_el0) & of->not_sctlr)) return hcr & HCR_TGE ? 2 : 1;
    if (el < 2 && hcr & of->hcr) return 2;
    return el < 3 && scr & of->scr ? 3 : 0;
}

/* PC is behind the instruction. */
static void trap_wait(struct engine *e, const struct controls *of)
{
    uint32_t target = trap_target(e, of);
    if (!target) return;
    AT(uint64_t, e->env, ENV_PC) -= 4;
    real.raise_exception(e->env, EXCP_UDEF, SYNDROME_WFI | of->ti, target);
}

static void wait(struct engine *e)
{
    e->shared.block = 0;
    if (e->shared.yields) {
        e->shared.yielded = 1;
        stop_run(e);
    }
    leave_block(e);
}

/* In the place of helper_wfe: the block ends here. */
void helper_wait_for_event(void *env)
{
    struct engine *e = engine_of_env(env);
    trap_wait(e, &OF_WFE);
    wait(e);
}

/* In the place of helper_wfi: likewise. An interrupt that is pending, masked or not, leaves nothing to wait for. */
void helper_wait_for_interrupt(void *env, uint32_t length)
{
    enum { ANY = INTERRUPT_HARD | INTERRUPT_FIQ | INTERRUPT_VIRQ | INTERRUPT_VFIQ };
    struct engine *e = engine_of_env(env);
    (void)length;
    if (AT(uint32_t, e->cpu, CPU_INTERRUPT_REQUEST) & ANY) return;
    if (e->shared.highest > 1 && has_virtual_serror(env)) return;
    trap_wait(e, &OF_WFI);
    e->shared.block = 0;
    ask_trap(e, TARGET_WAIT, SYNDROME_WFI, 0);
    if (e->shared.left) stop_run(e);
    leave_block(e);
}

void helper_yield_turn(void *env) { wait(engine_of_env(env)); }

/* The levels of the virtual interrupt lines, beside HCR_EL2.VI and VF (D1.3.6); likewise. */
EXPORT void shim_set_virtual_lines(struct engine *e, uint32_t levels)
{
    AT(uint32_t, e->env, ENV_LINES) = levels;
    real.arm_cpu_update_virq(e->cpu);
    real.arm_cpu_update_vfiq(e->cpu);
    e->replay.interrupts &= ~(uint32_t)(INTERRUPT_VIRQ | INTERRUPT_VFIQ);
    if (levels) __atomic_store_n(&AT(int16_t, e->env, ENV_ICOUNT_DECR + 2), -1, __ATOMIC_RELEASE);
}

/* The levels of the physical interrupt lines, INTERRUPT_HARD (IRQ) and INTERRUPT_FIQ; on the engine's own thread. */
EXPORT void shim_set_lines(struct engine *e, uint32_t levels)
{
    uint32_t *request = &AT(uint32_t, e->cpu, CPU_INTERRUPT_REQUEST), before = *request;
    *request = (before & ~(uint32_t)(INTERRUPT_HARD | INTERRUPT_FIQ)) | levels;
    e->replay.interrupts &= ~(uint32_t)(INTERRUPT_HARD | INTERRUPT_FIQ);
    if (levels & ~before) __atomic_store_n(&AT(int16_t, e->env, ENV_ICOUNT_DECR + 2), -1, __ATOMIC_RELEASE);
}

/* A full barrier on every thread of the process (membarrier(2), Linux 4.14), or, where that is forbidden, what an unmapped
 * page costs them: the processors that run it are interrupted.
 */
static void fence_everywhere(void)
{
    static atomic_int registered;
    if (!atomic_load(&registered))
        atomic_store(&registered, syscall(SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0) ? -1 : 1);
    if (atomic_load(&registered) > 0 && !syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0)) return;
    void *page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return;
    *(volatile char *)page = 1;
    munmap(page, 1);
}

/* From any thread: have the run end before the next block; one that has not begun ends at once.
 *
 * The engine's loop clears one word and then looks at another, without a barrier between: a request could be cleared by a
 * store that was under way while the look that should have found it was over. So after the first try everybody's stores
 * are made to be done, and then all is said again.
 */
EXPORT void shim_request_stop(struct engine *e)
{
    atomic_store(&e->stop, 1);
    stop_run(e);
    if (e->has_runner && pthread_equal(e->runner, pthread_self())) return;
    fence_everywhere();
    if (atomic_load(&e->stop)) stop_run(e);
}

/* From a callback that Unicorn calls by itself: have the run end before the next block. */
EXPORT void shim_end_run(struct engine *e) { stop_run(e); }

/* Was there a request since this was asked last? */
EXPORT int shim_take_stop(struct engine *e) { return atomic_exchange(&e->stop, 0); }

/* uc_emu_start forgets requests that came before it; this is behind that. */
int shim_cpu_exec(void *uc, void *cpu)
{
    struct engine *e = engine_of_uc(uc);
    if (e) {
        e->runner = pthread_self();
        e->has_runner = true;
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load(&e->stop)) stop_run(e);
        ask_again(e);
        forget_replay(e);
        e->running_record = NULL;
    }
    return real.cpu_exec(uc, cpu);
}
