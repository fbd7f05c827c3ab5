/* Probes: Python is called before the instruction at an address, and pays nothing anywhere else.
 *
 * The call is emitted where the translator reads a word at one of the addresses, at every Exception level and in every
 * address space. The handler sees the registers as they are there, may change them and PC, and may leave. A run that is
 * left there goes on with the instruction itself, without calling again.
 *
 * An address stays in the table when its probe is removed: whoever sets breakpoints, removes and sets them at each stop.
 */
#include <stdlib.h>
#include "emit.h"
#include "tally.h"

enum { FIRST_SIZE = 64 };
struct probe {
    uint64_t pc;
    bool is_used, is_armed;
};
/* A hash table with open addressing; its size is a power of two, and twice what is in it. */
struct probes {
    uint32_t size, count;
    struct probe table[];
};

static struct probe *place_of(struct probes *p, uint64_t pc)
{
    uint32_t at = (uint32_t)((pc >> 2) * 0x9E3779B97F4A7C15u >> 32);
    struct probe *probe;
    do probe = &p->table[at++ & (p->size - 1)];
    while (probe->is_used && probe->pc != pc);
    return probe;
}

static struct probes *table_of(uint32_t size)
{
    struct probes *p = calloc(1, sizeof *p + size * sizeof *p->table);
    if (p) p->size = size;
    return p;
}

static bool make_room(struct engine *e)
{
    struct probes *before = e->probes;
    if (before && 2 * before->count < before->size) return true;
    struct probes *p = table_of(before ? 2 * before->size : FIRST_SIZE);
    if (!p) return false;
    for (uint32_t i = 0; before && i < before->size; i++)
        if (before->table[i].is_used) *place_of(p, before->table[i].pc) = before->table[i];
    p->count = before ? before->count : 0;
    free(before);
    e->probes = p;
    return true;
}

void forget_probes(struct engine *e)
{
    free(e->probes);
    e->probes = NULL;
}

struct place {
    struct engine *engine;
    uint64_t pc;
};

/* GTraverseFunc: 0 goes on. */
static int forget_if_there(void *key, void *block, void *data)
{
    const struct place *place = data;
    (void)key;
    uint64_t begin = AT(uint64_t, block, TB_PC), end = begin + 4 * (uint64_t)AT(uint16_t, block, TB_ICOUNT);
    if (place->pc >= begin && place->pc < end) real.tb_phys_invalidate(place->engine->tcg, block, UINT64_MAX);
    return 0;
}

/* Have Python called, or no longer, before the instruction at `pc`, by any physical address; 0 where the host has no memory. */
EXPORT int shim_probe(struct engine *e, uint64_t pc, int wanted)
{
    if (!make_room(e)) return 0;
    struct probe *probe = place_of(e->probes, pc);
    if (!probe->is_used) {
        struct place place = {e, pc};
        *probe = (struct probe){.pc = pc, .is_used = true};
        e->probes->count++;
        real.tcg_tb_foreach(e->tcg, forget_if_there, &place);
    }
    probe->is_armed = wanted;
    return 1;
}

static void helper_probe(struct engine *e, uint32_t unused)
{
    (void)unused;
    uint64_t pc = AT(uint64_t, e->env, ENV_PC);
    bool goes_on = e->passed == pc;
    e->passed = NO_ADDRESS;
    if (goes_on || !e->probes || !place_of(e->probes, pc)->is_armed) return;
    if (e->replay.count && !e->replay.has_begun && e->replay.pc == pc) return; /* it has been heard of */
    if (e->shared.block) e->shared.position = (int64_t)(pc - AT(uint64_t, (void *)e->shared.block, TB_PC)) >> 2;
    ask_probe(e, pc);
    e->shared.position = 0;
    if (AT(uint64_t, e->env, ENV_PC) == pc && !e->shared.left) return;
    if (AT(uint64_t, e->env, ENV_PC) == pc) {
        if (e->shared.left != FAILED) e->passed = pc;
        note_cut(e, pc);
    }
    settle(e, pc, 0);
    if (e->shared.left) stop_run(e);
    leave_block(e);
}

/* The instruction at `pc` has not been executed, and will be, of which hooks and probes have heard. */
void note_again(struct engine *e, uint64_t pc)
{
    e->again = e->hears_code ? pc : NO_ADDRESS;
    if (e->probes && place_of(e->probes, pc)->is_armed) e->passed = pc;
}

/* The word at `pc` has been read, and is about to be translated. */
void emit_probe(struct engine *e, uint64_t pc)
{
    if (place_of(e->probes, pc)->is_used) emit_call(e, pc, helper_probe, 0);
}
