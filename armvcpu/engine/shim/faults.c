/* Exceptions that the guest has not returned from: which of them came first, and whether they have become an endless loop.
 *
 * A guest whose vectors can't be used takes a second exception in its handler, a third in that one's, and what can be seen
 * of it after is the last. So the first since an ERET is kept, with what a debugger needs of that moment. Whoever leaves
 * handlers by a jump has a long row of them; then what came before the last few is of an older story, and the exception
 * that the loop began with is told.
 *
 * An exception from inside the vector that it goes to is endless at once (STORM). Elsewhere it takes LOOP of them, all from
 * one or two addresses and without an ERET in between: a handler that is left by a jump may take as many as a test has.
 */
#include "shim.h"

enum { VECTOR_SIZE = 0x80 };

static struct fault *kept(struct engine *e, int64_t arrival)
{
    return &e->shared.faults[arrival ? 1 + (arrival - 1) % (KEPT_FAULTS - 1) : 0];
}

static bool is_at(const struct fault *known, const struct fault *now) { return known->elr == now->elr && known->esr == now->esr; }

/* A synchronous exception or an SError has been entered at EL1; `vector` is where. Is it one that never ends? */
bool note_fault(struct engine *e, const struct fault *now, uint64_t vector)
{
    struct shared *s = &e->shared;
    if (s->faulted && (uint64_t)now->elr - vector < VECTOR_SIZE) return ++s->storm >= STORM;
    s->storm = 0;
    if (s->faulted && is_at(kept(e, s->faulted - 1), now)) return ++s->loop >= LOOP;
    if (s->faulted > 1 && is_at(kept(e, s->faulted - 2), now)) {
        s->is_pair = 1;
        return ++s->loop >= LOOP;
    }
    *kept(e, s->faulted++) = *now;
    s->loop = s->is_pair = 0;
    return false;
}

/* ERET. That of an interrupt's handler leads back to where the guest was. */
void note_return(struct engine *e)
{
    struct shared *s = &e->shared;
    s->storm = s->loop = s->is_pair = 0;
    if (s->interrupts)
        s->interrupts--;
    else
        s->faulted = 0;
}

void forget_faults(struct engine *e)
{
    struct shared *s = &e->shared;
    s->storm = s->loop = s->is_pair = s->interrupts = s->faulted = 0;
}

/* Which of `faults` everything began with, -1 where the guest has returned from all. */
EXPORT int shim_first_fault(struct engine *e)
{
    const struct shared *s = &e->shared;
    int64_t back = s->loop < LOOP ? 1 : s->is_pair ? 3 : 2;
    if (!s->faulted) return -1;
    return (int)(kept(e, s->faulted <= KEPT_FAULTS ? 0 : s->faulted - back) - s->faults);
}

/* The engine's return, and one to AArch32 is illegal (D1.4.4): the engine returns to EL0 in AArch32 state, which no CPU shown
 * has; with Supervisor mode in SPSR_ELx, of EL1, it doesn't. Without EL2 it is told in Python as what is not modelled.
 */
static void return_in_aarch64(const struct engine *e, void *env, uint64_t pc)
{
    enum { MODE = 0x1F, USER = 0x10, SUPERVISOR = 0x13 };
    static const uint8_t BANK[] = {0, 1, 6, 7};
    uint64_t *spsr = &AT(uint64_t, env, ENV_BANKED_SPSR + 8 * BANK[level_of(env)]), kept = *spsr;
    bool is_aarch32 = e->shared.highest > 1 && (kept & MODE) == USER;
    if (is_aarch32) *spsr |= SUPERVISOR;
    real.helper_exception_return(env, pc);
    if (is_aarch32) *spsr = kept;
}

/* In the place of helper_exception_return. With PSTATE.IL set, by SPSR or because the return was an illegal one, the
 * instruction that is returned to is not executed: Illegal Execution state exception (D1.4.4), from the present level.
 */
void helper_return(void *env, uint64_t pc)
{
    enum { PSTATE_IL = 1 << 20, SYNDROME_ILLEGAL_STATE = 0x3A000000 };
    struct engine *e = engine_of_env(env);
    uint32_t from = level_of(env);
    note_return(e);
    return_in_aarch64(e, env, pc);
    tell_level(e, RETURNED, from);
    if (from == 3) cross_el3(e);
    if (e->shared.highest > 1) take_virtual_serror(e);
    if (!(AT(uint32_t, env, ENV_PSTATE) & PSTATE_IL) || !AT(uint32_t, env, ENV_AARCH64)) return;
    uint32_t el = level_of(env);
    e->shared.block = 0;
    e->running_record = NULL;
    real.raise_exception(env, EXCP_UDEF, SYNDROME_ILLEGAL_STATE, el ? el : 1);
}
