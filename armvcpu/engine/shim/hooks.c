/* Hooks on instructions: Python is called before each, while somebody wants that, and pays nothing before and after.
 *
 * It sees the registers as they are there, may change them and PC, and may leave.
 */
#include "emit.h"
#include "tally.h"

static void helper_code(struct engine *e, uint32_t unused)
{
    uint64_t pc = AT(uint64_t, e->env, ENV_PC);
    (void)unused;
    bool is_again = e->again == pc;
    e->again = NO_ADDRESS;
    if (is_again || !e->hears_code) return;
    if (e->replay.count && !e->replay.has_begun && e->replay.pc == pc) return; /* it has been heard of */
    if (e->shared.block) e->shared.position = (int64_t)(pc - AT(uint64_t, (void *)e->shared.block, TB_PC)) >> 2;
    ask_code(e, pc);
    e->shared.position = 0;
    if (AT(uint64_t, e->env, ENV_PC) == pc && !e->shared.left) return;
    if (AT(uint64_t, e->env, ENV_PC) == pc) note_cut(e, pc);
    settle(e, pc, 0);
    if (e->shared.left) stop_run(e);
    leave_block(e);
}

/* The word at `pc` has been read, and is about to be translated. */
void emit_code(struct engine *e, uint64_t pc) { emit_call(e, pc, helper_code, 0); }

/* Does Python hear of instructions from the next translation on? What was translated must be forgotten. */
EXPORT void shim_hear_code(struct engine *e, int wanted) { e->hears_code = wanted; }
