/* Block traces: which blocks have been executed, in their order, for a file that a whole boot fits into.
 *
 * A block that begins puts the number of its record (records.c) into a buffer, which Python writes away when it is full.
 * Where a block is left in the middle, by an exception or by whoever stops the guest there, the buffer says how many of its
 * instructions had been executed. So every instruction is told, at four bytes for each block.
 */
#include <stdlib.h>
#include "emit.h"

enum { ENTRIES = 1 << 16 };
#define CUT 0x80000000u /* with the number of instructions: the block before has been left behind so many */

struct block_trace {
    uint32_t count; /* of the entries; Python sets it to 0 */
    uint32_t unused;
    uint32_t entries[ENTRIES];
};

static void put(struct engine *e, uint32_t entry)
{
    struct block_trace *t = e->trace;
    t->entries[t->count++] = entry;
    if (t->count == ENTRIES) {
        e->python.traced();
        t->count = 0;
    }
}

static void helper_traced(struct engine *e, uint32_t unused)
{
    (void)unused;
    if (e->trace && e->running_record) put(e, record_number(e->running_record));
}

/* A block has begun, and its record is the one that runs. */
void emit_traced(struct engine *e, void *tcg)
{
    uintptr_t engine = constant(tcg, e), zero = new_temp(tcg, TYPE_I32);
    real.tcg_gen_op2(tcg, OP_MOVI_I32, zero, 0);
    void *arguments[2] = {(void *)engine, (void *)zero};
    call_instead(tcg, real.helper_check_exit_request, (void *)helper_traced, NULL, 2, arguments);
    free_temp(tcg, engine), free_temp(tcg, zero);
}

/* The block that runs is left behind so many of its instructions. */
void note_traced_cut(struct engine *e, uint32_t executed) { put(e, CUT | executed); }

/* Trace from the next run on, or, 0, no more; what was translated must be forgotten. Gives the buffer: the count of its
 * entries, a word that is not used, and the entries; null where the host has no memory.
 */
EXPORT void *shim_trace_blocks(struct engine *e, int wanted)
{
    if (!wanted) forget_trace(e);
    else if (!e->trace) e->trace = calloc(1, sizeof *e->trace);
    return e->trace;
}

void forget_trace(struct engine *e)
{
    free(e->trace);
    e->trace = NULL;
}
