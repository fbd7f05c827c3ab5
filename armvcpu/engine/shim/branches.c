/* Branches and changes of the Exception level, which Python hears of while it traces them.
 *
 * Before a branch of a kind that somebody wants a helper is called, emitted with the branch. Interrupts that the engine has
 * taken, and returns from exceptions, are told behind them, with PC where the guest goes on.
 */
#include "emit.h"
#include "tally.h"

enum { CALLS = 1, RETURNS = 2, JUMPS = 4, CONDITIONAL = 8 };

/* DDI 0487 C4.1.65. */
static unsigned kind_of(uint32_t word)
{
    if ((word & 0xFC000000) == 0x94000000 || (word & 0xFEFFF000) == 0xD63F0000) return CALLS;
    if ((word & 0xFFFFF000) == 0xD65F0000) return RETURNS;
    if ((word & 0xFC000000) == 0x14000000 || (word & 0xFEFFF000) == 0xD61F0000) return JUMPS;
    bool is_conditional = (word & 0xFF000010) == 0x54000000 || (word & 0x7C000000) == 0x34000000;
    return is_conditional ? CONDITIONAL : 0;
}

static void helper_branch(struct engine *e, uint32_t word)
{
    uint64_t pc = AT(uint64_t, e->env, ENV_PC);
    if (!e->branches) return;
    if (e->shared.block) e->shared.position = (int64_t)(pc - AT(uint64_t, (void *)e->shared.block, TB_PC)) >> 2;
    ask_branch(e, pc, word);
    e->shared.position = 0;
    if (!e->shared.left) return; /* else it has failed, and is told of the branch again */
    note_cut(e, pc);
    settle(e, pc, 0);
    stop_run(e);
    leave_block(e);
}

/* The word at `pc` has been read, and is about to be translated. */
void emit_branch(struct engine *e, uint64_t pc, uint32_t word)
{
    if (kind_of(word) & e->branches) emit_call(e, pc, helper_branch, word);
}

/* Which kinds Python hears of from the next translation on; what was translated must be forgotten. */
EXPORT void shim_hear_branches(struct engine *e, uint32_t kinds) { e->branches = kinds; }

/* Does Python hear of interrupts that have been taken, and of returns? */
EXPORT void shim_hear_levels(struct engine *e, int wanted) { e->hears_levels = wanted; }

/* One has been taken, or the guest has returned; from which level. */
void tell_level(struct engine *e, uint32_t what, uint32_t from)
{
    if (e->hears_levels) ask_level(e, what, from);
}
