/* Where a function that Python has called returns to.
 *
 * Blocks that begin at its return address ask whether it is there: the stack pointer is what it was then, so a deeper call
 * of the same code is another one. The run ends before the instruction there. The question stays in the block, which then
 * costs one call more, until another return address is asked for: nothing is translated anew for the next call.
 */
#include "emit.h"

static void helper_returned(void *uc, uint32_t unused)
{
    struct engine *e = engine_of_uc(uc);
    (void)unused;
    if (e->shared.returns != 1 || AT(uint64_t, e->env, ENV_PC) != (uint64_t)e->shared.return_pc
        || AT(int64_t, e->env, ENV_XREGS + 8 * 31) != e->shared.return_sp)
        return;
    e->shared.returns = 2;
    e->shared.left = 1;
    stop_run(e);
    leave_block(e);
}

/* `arguments` are those of helper_check_exit_request, which is called at this place. */
void emit_return(struct engine *e, void *tcg, void *result, int count, void **arguments)
{
    uint64_t begin = AT(uint64_t, e->translated_block, TB_PC);
    if (begin != e->return_block) return;
    uintptr_t pc = constant(tcg, (void *)begin), env = (uintptr_t)temp_of(tcg, AT(void *, tcg, TCG_CPU_ENV));
    real.tcg_gen_op3(tcg, OP_ST_I64, pc, env, ENV_PC); /* it is not up to date where blocks are chained */
    free_temp(tcg, pc);
    call_instead(tcg, real.helper_check_exit_request, (void *)helper_returned, result, count, arguments);
}

/* The next run is a call that returns to `pc`, whose physical address is `physical`, with this stack pointer. */
EXPORT void shim_call(struct engine *e, uint64_t pc, uint64_t physical, uint64_t sp)
{
    e->shared.return_pc = (int64_t)pc;
    e->shared.return_sp = (int64_t)sp;
    e->shared.returns = 1;
    if (e->return_block == pc && e->return_at == physical) return;
    e->return_block = pc;
    e->return_at = physical;
    forget_code(e, physical, 4);
}
