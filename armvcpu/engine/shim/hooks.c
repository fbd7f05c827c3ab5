/* Hooks on instructions: the handler sees the registers as they are before it, may change them and PC, and may leave. */
#include <stdlib.h>
#include "tally.h"

struct hook {
    struct engine *engine;
    uint32_t number;
};

/* What Unicorn hands to `shim_code`: for the life of the process, since translated code may have it. */
EXPORT void *shim_new_hook(struct engine *e, uint32_t number)
{
    struct hook *hook = malloc(sizeof *hook);
    if (hook) *hook = (struct hook){e, number};
    return hook;
}

/* Unicorn's hook on an instruction; PC is on it, and it has not been executed. */
EXPORT void shim_code(void *uc, uint64_t address, uint32_t size, void *data)
{
    const struct hook *hook = data;
    struct engine *e = hook->engine;
    (void)uc, (void)size;
    if (e->replay.count && !e->replay.has_begun && e->replay.pc == address) return; /* it has been heard of */
    if (e->shared.block) e->shared.position = (int64_t)(address - AT(uint64_t, (void *)e->shared.block, TB_PC)) >> 2;
    AT(uint64_t, e->env, ENV_PC) = address;
    ask_code(e, hook->number, address);
    e->shared.position = 0;
    if (AT(uint64_t, e->env, ENV_PC) == address && !e->shared.left) return;
    if (AT(uint64_t, e->env, ENV_PC) == address) note_cut(e, address);
    settle(e, address, 0);
    if (e->shared.left) stop_run(e);
    leave_block(e);
}
