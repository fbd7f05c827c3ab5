/* A run: one call of uc_emu_start and what it ended for, again where that was nothing. */
#include "tally.h"

enum end { LEFT, YIELDED, LIMIT, STOPPED, ENGINE_ERROR }; /* Python's `ENDS` (unicorn_engine.py) has the same order */

static int run(struct engine *e)
{
    uint32_t exact = (uint32_t)e->shared.exact;
    bool is_exact = exact != 0;
    atomic_store(&e->is_sample_due, 0); /* what was due while the guest did not run is none of its samples */
    if (!is_exact) forget_cut(e);
    if (AT(uint64_t, e->env, ENV_PC) != e->passed) e->passed = NO_ADDRESS;
    if (AT(uint64_t, e->env, ENV_PC) != e->again) e->again = NO_ADDRESS;
    for (;;) {
        int error = real.uc_emu_start(e->uc, AT(uint64_t, e->env, ENV_PC), 0, 0, 0);
        bool has_begun = is_exact && !e->shared.exact;
        translating = NULL;
        end_rest(e);
        if (has_begun) note_end(e);
        e->shared.block = e->shared.position = e->shared.exact = 0;
        AT(uint32_t, e->cpu, CPU_CFLAGS_NEXT_TB) = UINT32_MAX;
        if (error) return ENGINE_ERROR + error;
        if (e->shared.left) return LEFT;
        if (e->shared.yielded) return YIELDED;
        if (has_begun) return LIMIT;
        if (atomic_exchange(&e->stop, 0)) return STOPPED;
        if (e->samples_by_clock && sample_between(e)) {
            if (e->shared.left) return LEFT;
            if (exact) shim_next_block(e, exact);
            continue;
        }
        if (is_exact || (e->shared.counting && e->shared.countdown <= 0)) return LIMIT;
    }
}

/* Runs from PC until one of `enum end`; an error of the engine's is added to ENGINE_ERROR. LIMIT is for a count that has been
 * reached, and for the end of a block that was to be the last.
 */
EXPORT int shim_run(struct engine *e)
{
    int64_t began = e->run_began = tally_begin(e);
    int end = run(e);
    tally_end(e, TALLY_RUNS, began);
    e->run_began = 0;
    return end;
}
