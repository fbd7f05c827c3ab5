/* Emitting operations of the translator's: what blocks.c, calls.c, compares.c and edges.c put into a block. */
#ifndef ARMVCPU_EMIT_H
#define ARMVCPU_EMIT_H

#include "shim.h"

static inline void *value_of(void *tcg, void *temp) { return (void *)((char *)temp - (char *)tcg); }
static inline void *temp_of(void *tcg, void *value) { return (char *)value + (uintptr_t)tcg; }
static inline uintptr_t new_temp(void *tcg, int type) { return (uintptr_t)real.tcg_temp_new_internal(tcg, type, false); }
static inline uintptr_t constant(void *tcg, const void *value)
{
    return (uintptr_t)temp_of(tcg, real.tcg_const_i64(tcg, (int64_t)(uintptr_t)value));
}
static inline void free_temp(void *tcg, uintptr_t temp) { real.tcg_temp_free_internal(tcg, (void *)temp); }

struct link {
    void *next;
    struct link *previous;
};

/* The operation that has been emitted last. */
static inline void *last_operation(void *tcg)
{
    return *(void **)AT(struct link, tcg, TCG_OPS).previous->previous;
}

/* How many operations the block has. What is emitted for those who look at a run is taken off again: where a block ends, and
 * with it where an interrupt may come, is the same whether or not somebody looks.
 */
static inline int *operations(void *tcg) { return &AT(int, tcg, TCG_NB_OPS); }

/* Emit a call of a helper, and have our function called in its place: tables of helpers stay as they are. */
static inline void call_instead(void *tcg, void *helper, void *ours, void *result, int count, void **arguments)
{
    real.tcg_gen_callN(tcg, helper, result, count, arguments);
    uintptr_t *argument = &AT(uintptr_t, last_operation(tcg), OP_ARGS);
    while (*argument != (uintptr_t)helper) argument++;
    *argument = (uintptr_t)ours;
}

/* Before the instruction at `pc` have a function of ours called, with PC up to date, which it is not inside of a block. */
static inline void emit_call(struct engine *e, uint64_t pc, void (*ours)(struct engine *, uint32_t), uint32_t word)
{
    void *tcg = e->tcg;
    int before = *operations(tcg);
    uintptr_t engine = constant(tcg, e), number = new_temp(tcg, TYPE_I32), at = constant(tcg, (void *)pc);
    uintptr_t env = (uintptr_t)temp_of(tcg, AT(void *, tcg, TCG_CPU_ENV));
    real.tcg_gen_op3(tcg, OP_ST_I64, at, env, ENV_PC);
    real.tcg_gen_op2(tcg, OP_MOVI_I32, number, word);
    void *arguments[2] = {(void *)engine, (void *)number};
    call_instead(tcg, real.helper_check_exit_request, (void *)ours, NULL, 2, arguments);
    free_temp(tcg, engine), free_temp(tcg, number), free_temp(tcg, at);
    *operations(tcg) = before;
}

#endif
