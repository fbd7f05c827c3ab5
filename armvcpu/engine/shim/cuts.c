/* Stops in the middle of a block, which change nothing of a run that repeats.
 *
 * A guest is asked between two blocks only: whether a count has been reached, whether an interrupt is pending. A stop at a
 * probe, a watchpoint or an exact count leaves it inside of a block, and where it goes on a block begins that would not
 * have begun: an interrupt would come earlier than without the stop. So what is left of the block is executed first, as a
 * block of its own, in which nobody is asked.
 */
#include "emit.h"

enum { PAGE_MASK = (1 << PAGE_BITS) - 1, NEXT = 0 }; /* NEXT: DISAS_NEXT, the block goes on behind this instruction */

/* In the place of translator_loop_temp_check, behind each instruction: does the block end with it? */
void shim_translator_loop_temp_check(void *context)
{
    struct engine *e = translating;
    if (!e) {
        real.translator_loop_temp_check(context);
        return;
    }
    e->is_open = AT(int, context, CONTEXT_IS_JMP) == NEXT;
}

static uint64_t begin_of(const void *block) { return AT(uint64_t, block, TB_PC); }

/* In a block of exact length: where it ends only because of that is known once it has been translated. */
void emit_open(struct engine *e, void *tcg)
{
    uintptr_t base = constant(tcg, &e->open), end = new_temp(tcg, TYPE_I64);
    real.tcg_gen_op2(tcg, OP_MOVI_I64, end, 0);
    e->opens = last_operation(tcg);
    real.tcg_gen_op3(tcg, OP_ST_I64, end, base, 0);
    free_temp(tcg, base), free_temp(tcg, end);
}

/* The block has been translated. At the end of a page every block ends. */
void settle_open(struct engine *e, const void *block)
{
    if (!e->opens) return;
    uint64_t end = begin_of(block) + 4 * (uint64_t)AT(uint16_t, block, TB_ICOUNT);
    AT(uintptr_t, e->opens, OP_ARGS + 8) = e->is_open && end & PAGE_MASK ? end : 0;
}

static void cut(struct engine *e, uint64_t pc, uint64_t executed, uint64_t allowed)
{
    e->rest_pc = pc;
    e->rest = executed < allowed ? (unsigned)(allowed - executed) : 0;
}

/* A block is left at `pc`, which is one of its instructions, and not for an exception. */
void note_cut(struct engine *e, uint64_t pc)
{
    const void *block = (const void *)e->shared.block;
    if (!block) return;
    uint64_t executed = (pc - begin_of(block)) >> 2, allowed = LONGEST;
    if (AT(uint32_t, block, TB_CFLAGS) & TB_COUNT_MASK) allowed = e->allowed;
    if (executed || allowed < LONGEST) cut(e, pc, executed, allowed);
}

/* A block of exact length has been executed. */
void note_end(struct engine *e)
{
    const void *block = (const void *)e->shared.block;
    uint64_t pc = AT(uint64_t, e->env, ENV_PC);
    if (block && e->open && e->open == pc) cut(e, pc, (pc - begin_of(block)) >> 2, e->allowed);
    e->open = 0;
}

void forget_cut(struct engine *e)
{
    e->rest = 0;
    e->open = 0;
}

/* The next block is one of exact length: is it the rest of one? Then an interrupt that is pending comes behind it. */
void begin_rest(struct engine *e)
{
    uint32_t *request = &AT(uint32_t, e->cpu, CPU_INTERRUPT_REQUEST);
    if (AT(uint64_t, e->env, ENV_PC) != e->rest_pc) e->rest = 0;
    e->allowed = e->rest ? e->rest : LONGEST;
    if (!e->rest) return;
    e->held |= *request;
    *request = 0;
}

/* It has begun, or does not begin. */
void end_rest(struct engine *e)
{
    AT(uint32_t, e->cpu, CPU_INTERRUPT_REQUEST) |= e->held;
    e->held = 0;
}

/* How many instructions are left, at most, of the block in which the guest stands; 0 between two blocks. */
EXPORT unsigned shim_rest(const struct engine *e)
{
    return AT(uint64_t, e->env, ENV_PC) == e->rest_pc ? e->rest : 0;
}

/* The state that has just been loaded is one of a guest in a block of which so many are left. */
EXPORT void shim_set_rest(struct engine *e, unsigned rest)
{
    e->rest_pc = AT(uint64_t, e->env, ENV_PC);
    e->rest = rest < LONGEST ? rest : 0;
}
