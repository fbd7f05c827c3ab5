/* Watched memory: Python is called before an access is made, at every Exception level and without stage 2.
 *
 * The engine asks two functions of its own, which are empty in Unicorn: whether a page has watchpoints, when the TLB gets
 * it, and, at each access of such a page, whether one is hit. So an access of any other page costs nothing. What is
 * watched is a range of virtual addresses, wherever they lead, or of physical ones, whatever they are called.
 */
#include <stdlib.h>
#include <string.h>
#include "tally.h"

enum { PAGE = 1 << PAGE_BITS, MOST_WIDTH = 64, IS_PHYSICAL = 4 };
struct watch {
    uint64_t begin, last, kind; /* kind: WATCH_READ, WATCH_WRITE, IS_PHYSICAL */
};
struct watches {
    bool is_off;
    unsigned count;
    struct watch watch[];
};

void forget_watches(struct engine *e)
{
    free(e->watches);
    e->watches = NULL;
}

/* What is watched from now on, three words each: first and last address, kind. 0 where the host has no memory. */
EXPORT int shim_watch(struct engine *e, const struct watch *watches, unsigned count)
{
    struct watches *now = NULL;
    if (count) {
        if (!(now = malloc(sizeof *now + count * sizeof *watches))) return 0;
        now->is_off = e->watches && e->watches->is_off;
        now->count = count;
        memcpy(now->watch, watches, count * sizeof *watches);
    }
    free(e->watches);
    e->watches = now;
    real.tlb_flush(e->cpu);
    return 1;
}

/* Accesses are made unwatched for now, or watched again. */
EXPORT void shim_suspend_watches(struct engine *e, int is_off)
{
    if (e->watches) e->watches->is_off = is_off;
}

static bool overlaps(uint64_t begin, uint64_t last, uint64_t address, uint64_t length)
{
    return address <= last && address + (length - 1) >= begin;
}

/* Of a page that the TLB gets: which accesses have to be looked at? */
int shim_cpu_watchpoint_address_matches(void *cpu, uint64_t page, uint64_t length)
{
    struct engine *e = engine_of_uc(AT(void *, cpu, CPU_UC));
    int found = 0;
    if (!e) return real.cpu_watchpoint_address_matches(cpu, page, length);
    for (unsigned i = 0; e->watches && i < e->watches->count; i++) {
        const struct watch *w = &e->watches->watch[i];
        if (overlaps(w->begin, w->last, w->kind & IS_PHYSICAL ? e->filling : page, PAGE)) found |= (int)w->kind;
    }
    return found & (WATCH_READ | WATCH_WRITE);
}

/* Where a physical address is not known, one that has its place in the page is taken for it; Python looks closer. */
static bool may_hit(const struct watch *w, uint64_t address, uint64_t length)
{
    if (!(w->kind & IS_PHYSICAL)) return overlaps(w->begin, w->last, address, length);
    uint64_t page = w->begin & -(uint64_t)PAGE;
    if (w->last - page >= PAGE) return true;
    uint64_t place = address & (PAGE - 1);
    return place + length > PAGE || overlaps(w->begin - page, w->last - page, place, length);
}

void shim_cpu_check_watchpoint(void *cpu, uint64_t address, uint64_t length, uint32_t attributes, int access,
                               uintptr_t host_pc)
{
    struct engine *e = engine_of_uc(AT(void *, cpu, CPU_UC));
    if (!e) {
        real.cpu_check_watchpoint(cpu, address, length, attributes, access, host_pc);
        return;
    }
    if (!e->watches || e->watches->is_off || !host_pc) return;
    if (length - 1 >= MOST_WIDTH) length = MOST_WIDTH; /* of the first part of an unaligned store it is none */
    bool is_hit = false;
    for (unsigned i = 0; i < e->watches->count && !is_hit; i++)
        is_hit = e->watches->watch[i].kind & (unsigned)access && may_hit(&e->watches->watch[i], address, length);
    if (!is_hit) return;
    real.cpu_restore_state(cpu, host_pc, true);
    uint64_t pc = AT(uint64_t, e->env, ENV_PC);
    if (e->replay.count && e->replay.pc == pc && e->replay.watched++ < e->replay.count) return; /* it has been told of */
    if (e->shared.block) e->shared.position = (int64_t)(pc - AT(uint64_t, (void *)e->shared.block, TB_PC)) >> 2;
    tell_watched(e, address, (uint32_t)length, access == WATCH_WRITE);
    e->shared.position = 0;
    bool is_there = AT(uint64_t, e->env, ENV_PC) == pc; /* else the guest has been given an exception */
    if (is_there && !e->shared.left) return;
    if (is_there) note_cut(e, pc);
    settle(e, pc, 0);
    AT(int, e->uc, UC_SIZE_RECUR_MEM) = 0;
    if (e->shared.left) stop_run(e);
    leave_block(e);
}
