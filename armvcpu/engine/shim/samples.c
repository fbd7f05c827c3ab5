/* Samples: at moments of the guest's time Python is called, and looks where the guest is; the guest hears nothing of it.
 *
 * By instructions the moment is a count. The block in which the count falls is refused once, as for a request, and Python is
 * called while it has not begun: so each block comes up as often as its instructions are, and nothing of the run is another.
 * By the host's clock the thread of alarms.c asks; the engine leaves the guest before the next block, and goes on.
 */
#define _GNU_SOURCE
#include <time.h>
#include "tally.h"

enum { READ = 1, MOST_DOWNS = 2 }; /* steps of a chain that may go down: from an interrupt's stack to what it has interrupted */

/* Call Python at every `instructions`, or at every `ns` of the host's clock; both 0: no more. What was translated must be
 * forgotten.
 */
EXPORT void shim_sample(struct engine *e, int64_t instructions, uint64_t ns)
{
    e->sample_step = instructions;
    begin_samples(e, shim_instructions(e));
    sample_by_clock(e, ns);
}

/* The next sample by instructions, where so many have been executed. */
void begin_samples(struct engine *e, int64_t executed)
{
    e->sample_at = executed + e->sample_step;
    e->sample_below = e->shared.stop_at - e->sample_at;
}

static void take_sample(struct engine *e)
{
    int64_t began = tally_begin(e);
    e->python.sample();
    tally_end(e, TALLY_SAMPLES, began);
    if (e->shared.left) stop_run(e);
}

/* A block that counts has not begun, and the count is what it was before: does a sample fall into it? */
void sample_block(struct engine *e, const void *block, int64_t length)
{
    if (!e->sample_step || e->shared.countdown - length >= e->sample_below) return;
    AT(uint64_t, e->env, ENV_PC) = AT(uint64_t, block, TB_PC);
    int64_t behind = shim_instructions(e) + length;
    while (e->sample_at < behind) e->sample_at += e->sample_step;
    e->sample_below = e->shared.stop_at - e->sample_at;
    take_sample(e);
}

/* The engine has left the guest: was it for a sample? */
bool sample_between(struct engine *e)
{
    if (!atomic_exchange(&e->is_sample_due, 0)) return false;
    take_sample(e);
    return true;
}

/* The return addresses of the frame records from x29 up (IHI 0055, "The Frame Pointer"), `most` at most; how many there are.
 * `last` becomes where the last record was that has none. Addresses are those of the present level.
 */
EXPORT unsigned shim_frames(struct engine *e, uint64_t x29, uint64_t *frames, unsigned most, uint64_t *last)
{
    uint64_t page = UINT64_MAX, unused, physical, below = 0;
    char *host = NULL;
    unsigned count = 0, downs = 0;
    *last = 0;
    while (count < most && x29 && x29 % 8 == 0) {
        if (x29 <= below && ++downs > MOST_DOWNS) break;
        below = x29;
        if (x29 >> PAGE_BITS != page) {
            page = x29 >> PAGE_BITS;
            if (real.uc_vmem_translate(e->uc, page << PAGE_BITS, READ, &physical)
                || !find_ram(e, physical, &unused, &host))
                break;
        }
        uint64_t at = x29 & ((1 << PAGE_BITS) - 1);
        if (at > (1 << PAGE_BITS) - 16) break; /* an AAPCS64 stack has 16 bytes' alignment, and so have its records */
        const uint64_t *record = (const uint64_t *)(host + at);
        *last = x29;
        x29 = record[0];
        if (record[1] < 4 || record[1] % 4) break;
        frames[count++] = record[1];
        *last = 0;
    }
    return count;
}

int64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* With a tally: ns that runs have taken, the present one too, without the samples. */
EXPORT int64_t shim_run_ns(const struct engine *e)
{
    int64_t present = e->run_began ? monotonic_ns() - e->run_began : 0;
    return e->tally ? e->tally[TALLY_RUNS + 1] + present - e->tally[TALLY_SAMPLES + 1] : 0;
}

/* Tally what there is from now on, in TALLY_WORDS words; null: no more. Not while it runs. */
EXPORT void shim_tally(struct engine *e, int64_t *words) { e->tally = words; }
