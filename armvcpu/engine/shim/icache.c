/* IC IALLU and IALLUIS (DDI 0487 C6.2.119): code that has changed is translated anew; where none has, nothing is done.
 *
 * A hypervisor that hands out memory, as Xen when it builds a guest, has the whole cache forgotten for each page. So from
 * the first of these on a copy is kept of what blocks are translated from, as long as they are few: the next one compares.
 */
#include <stdlib.h>
#include <string.h>
#include "shim.h"

enum { BLOCKS = 512, BYTES = 32 << 10, READ = 1 };

struct fetched {
    bool is_complete; /* are these all blocks that there are? */
    unsigned count, used;
    struct {
        uint64_t physical;
        uint32_t at, size;
    } blocks[BLOCKS];
    uint8_t copies[BYTES];
};

/* A block has been translated. */
void note_fetched(struct engine *e, const void *block)
{
    struct fetched *f = e->fetched;
    if (!f->is_complete) return;
    enum { PAGE = 1 << PAGE_BITS };
    uint32_t size = 4 * AT(uint16_t, block, TB_ICOUNT);
    uint64_t physical, unused, pc = AT(uint64_t, block, TB_PC);
    char *host;
    bool is_in_page = pc % PAGE + size <= PAGE; /* else its end may be anywhere */
    f->is_complete = is_in_page && f->count < BLOCKS && f->used + size <= BYTES &&
                     !real.uc_vmem_translate(e->uc, pc, READ, &physical) &&
                     find_ram(e, physical, &unused, &host);
    if (!f->is_complete) return;
    f->blocks[f->count].physical = physical;
    f->blocks[f->count].at = f->used;
    f->blocks[f->count++].size = size;
    memcpy(f->copies + f->used, host, size);
    f->used += size;
}

static bool is_unchanged(struct engine *e)
{
    const struct fetched *f = e->fetched;
    if (!f || !f->is_complete) return false;
    uint64_t page = ~UINT64_C(0), unused; /* a block lies in one page, and mostly the next one in the same */
    char *host = NULL;
    for (unsigned i = 0; i < f->count; i++) {
        uint64_t physical = f->blocks[i].physical;
        if (physical >> PAGE_BITS != page) {
            page = physical >> PAGE_BITS;
            if (!find_ram(e, page << PAGE_BITS, &unused, &host)) return false;
        }
        const char *now = host + (physical & ((1 << PAGE_BITS) - 1));
        if (memcmp(now, f->copies + f->blocks[i].at, f->blocks[i].size)) return false;
    }
    return true;
}

/* The block that runs ends here, and its code stays in memory until something is translated. */
void forget_changed_code(struct engine *e)
{
    if (is_unchanged(e)) return;
    real.tb_flush(e->cpu);
    if (!e->fetched) e->fetched = calloc(1, sizeof *e->fetched);
    if (!e->fetched) return;
    e->fetched->is_complete = true;
    e->fetched->count = e->fetched->used = 0;
}

void forget_fetched(struct engine *e)
{
    free(e->fetched);
    e->fetched = NULL;
}
