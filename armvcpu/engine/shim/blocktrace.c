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
    uint32_t *next; /* the entry that is filled next; Python sets it to the first one */
    uint32_t entries[ENTRIES];
};

static void clear(struct block_trace *t) { t->next = t->entries; }

/* The buffer is full. */
static void helper_full(struct engine *e, uint32_t unused)
{
    (void)unused;
    if (!e->trace) return;
    e->python.traced();
    clear(e->trace);
}

static void put(struct engine *e, uint32_t entry)
{
    struct block_trace *t = e->trace;
    *t->next++ = entry;
    if (t->next == t->entries + ENTRIES) helper_full(e, 0);
}

static void emit_full(struct engine *e, void *tcg)
{
    uintptr_t engine = constant(tcg, e), zero = new_temp(tcg, TYPE_I32);
    real.tcg_gen_op2(tcg, OP_MOVI_I32, zero, 0);
    void *arguments[2] = {(void *)engine, (void *)zero};
    call_instead(tcg, real.helper_check_exit_request, (void *)helper_full, NULL, 2, arguments);
    free_temp(tcg, engine), free_temp(tcg, zero);
}

/* A block has begun. The number of its record, which is known when it has been translated, is put there inline. */
void emit_traced(struct engine *e, void *tcg)
{
    struct block_trace *t = e->trace;
    void *label = real.gen_new_label(tcg);
    uintptr_t base = constant(tcg, t), four = constant(tcg, (void *)4), next = new_temp(tcg, TYPE_I64);
    uintptr_t number = new_temp(tcg, TYPE_I64);
    real.tcg_gen_op3(tcg, OP_LD_I64, next, base, offsetof(struct block_trace, next));
    real.tcg_gen_op2(tcg, OP_MOVI_I64, number, 0);
    e->traced_number = last_operation(tcg);
    real.tcg_gen_op3(tcg, OP_ST32_I64, number, next, 0);
    real.tcg_gen_op3(tcg, OP_ADD_I64, next, next, four);
    real.tcg_gen_op3(tcg, OP_ST_I64, next, base, offsetof(struct block_trace, next));
    real.tcg_gen_brcondi_i64(tcg, COND_NE, value_of(tcg, (void *)next), (int64_t)(t->entries + ENTRIES), label);
    free_temp(tcg, base), free_temp(tcg, four), free_temp(tcg, next), free_temp(tcg, number);
    emit_full(e, tcg);
    *(unsigned char *)label |= 1; /* present */
    real.tcg_gen_op1(tcg, OP_SET_LABEL, (uintptr_t)label);
}

/* The block that runs is left behind so many of its instructions. */
void note_traced_cut(struct engine *e, uint32_t executed) { put(e, CUT | executed); }

/* Trace from the next run on, or, 0, no more; what was translated must be forgotten. Gives the buffer: the address of the
 * entry that is filled next, and the entries; null where the host has no memory.
 */
EXPORT void *shim_trace_blocks(struct engine *e, int wanted)
{
    if (!wanted) forget_trace(e);
    else if (!e->trace && (e->trace = calloc(1, sizeof *e->trace))) clear(e->trace);
    return e->trace;
}

void forget_trace(struct engine *e)
{
    free(e->trace);
    e->trace = NULL;
}
