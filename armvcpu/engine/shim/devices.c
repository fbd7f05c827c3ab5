/* Accesses of devices: one callback of the access's own width, with registers and PC where they are asked for.
 *
 * A callback that changes registers or PC changes what the rest of the block goes by. So the block is left there: at a new
 * PC at once; otherwise at the instruction itself, which is executed again with the device's answers that are kept here.
 * It may have several (pairs, vectors, unaligned accesses), any of which may change registers again. Until it has been
 * executed, no interrupt is taken and no run ends.
 *
 * A callback that fails ends the run at its instruction, so that nothing of the guest is lost behind it.
 */
#include <string.h>
#include "tally.h"

enum { FRAME = 33 * 8 };

/* The read callback of a region that is ours; its data is what Python knows the device by. */
EXPORT uint64_t shim_device(void *uc, uint64_t offset, unsigned size, void *device)
{
    (void)uc, (void)offset, (void)size, (void)device;
    return 0;
}

static const struct mmio *ours(const struct engine *e, void *region)
{
    const struct mmio *mmio = AT(const struct mmio *, region, REGION_OPAQUE);
    bool is_io = e && mmio && !AT(bool, region, REGION_RAM);
    return is_io && mmio->read == (void *)shim_device ? mmio : NULL;
}

/* MemTxAttrs. */
static bool is_secure(uint32_t attributes) { return attributes >> 1 & 1; }

static uint64_t swap(uint64_t value, uint32_t width) { return __builtin_bswap64(value) >> (64 - 8 * width); }

/* In a callback of a device: bring the registers and PC up to date; 0 where none is under way. */
EXPORT int shim_look(struct engine *e)
{
    uintptr_t host_pc = AT(uintptr_t, e->cpu, CPU_MEM_IO_PC);
    if (!host_pc) return 0;
    if (e->io_pc) return 1;
    real.cpu_restore_state(e->cpu, host_pc, true);
    memcpy(e->io_frame, &AT(char, e->env, ENV_XREGS), FRAME);
    e->io_pc = (void *)host_pc;
    if (e->shared.block)
        e->shared.position = (int64_t)(AT(uint64_t, e->env, ENV_PC) - AT(uint64_t, (void *)e->shared.block, TB_PC)) >> 2;
    return 1;
}

/* The instruction is executed again: interrupts and stops that have waited for it come behind its block. */
void end_replay(struct engine *e)
{
    struct replay *r = &e->replay;
    if (!r->count) return;
    AT(uint32_t, e->cpu, CPU_INTERRUPT_REQUEST) |= r->interrupts;
    if (r->stops) stop_run(e);
    r->interrupts = 0;
    r->stops = false;
    r->has_begun = true;
    leave_chain(e);
}

/* The block of an instruction that was executed again is over. */
void forget_replay(struct engine *e)
{
    if (e->replay.has_begun) e->replay.count = 0;
    e->replay.has_begun = false;
}

/* Have the instruction at `pc` executed again, with this answer and those that it has already. */
static void begin_replay(struct engine *e, uint64_t pc, struct answer answer)
{
    struct replay *r = &e->replay;
    uint32_t *interrupts = &AT(uint32_t, e->cpu, CPU_INTERRUPT_REQUEST);
    if (r->pc != pc) r->count = 0;
    for (unsigned i = 0; i < r->count; i++) r->answers[i].is_used = false;
    r->pc = pc;
    r->answers[r->count++] = answer;
    r->has_begun = false;
    r->watched = 0;
    r->interrupts |= *interrupts;
    *interrupts = 0;
    if (__atomic_exchange_n(&AT(uint8_t, e->uc, UC_STOP_REQUEST), 0, __ATOMIC_ACQ_REL)) r->stops = true;
    __atomic_store_n(&AT(uint8_t, e->cpu, CPU_EXIT_REQUEST), 0, __ATOMIC_RELEASE);
    AT(uint32_t, e->cpu, CPU_CFLAGS_NEXT_TB) = 1;
}

/* The callback has failed. Who sees the guest is a user's device, of which the access is to be made again; a store of
 * another device's has been made. A load of one has no value, and goes on to the end of its block.
 */
static void give_up(struct engine *e, bool is_write)
{
    struct replay *r = &e->replay;
    bool looked = e->io_pc != NULL;
    if (!looked && (!is_write || !shim_look(e))) return;
    e->io_pc = NULL;
    AT(uintptr_t, e->cpu, CPU_MEM_IO_PC) = 0;
    AT(uint32_t, e->cpu, CPU_INTERRUPT_REQUEST) |= r->interrupts;
    r->interrupts = r->count = 0;
    r->stops = r->has_begun = false;
    e->shared.position = 0;
    settle(e, AT(uint64_t, e->env, ENV_PC), !looked);
    if (!looked) AT(uint64_t, e->env, ENV_PC) += 4;
    leave_block(e);
}

/* The callback has returned: was anything changed? */
static void go_on(struct engine *e, struct answer answer)
{
    if (e->shared.left == FAILED) give_up(e, answer.is_write);
    bool looked = e->io_pc != NULL;
    e->io_pc = NULL;
    AT(uintptr_t, e->cpu, CPU_MEM_IO_PC) = 0;
    if (!looked) return;
    uint64_t pc = e->io_frame[32], now = AT(uint64_t, e->env, ENV_PC);
    e->shared.position = 0;
    if (now == pc && !memcmp(e->io_frame, &AT(char, e->env, ENV_XREGS), FRAME)) return;
    if (now == pc && e->replay.pc == pc && e->replay.count == MOST_ANSWERS) return;
    settle(e, pc, now != pc);
    if (now == pc) begin_replay(e, pc, answer);
    leave_block(e);
}

/* The answer to an access that has been made already, or null. */
static const struct answer *answer_of(struct engine *e, bool is_write, uint64_t address, uint32_t width)
{
    struct replay *r = &e->replay;
    uintptr_t host_pc = AT(uintptr_t, e->cpu, CPU_MEM_IO_PC);
    if (!r->count || !host_pc) return NULL;
    real.cpu_restore_state(e->cpu, host_pc, true);
    if (AT(uint64_t, e->env, ENV_PC) != r->pc) return NULL;
    end_replay(e);
    for (unsigned i = 0; i < r->count; i++) {
        struct answer *a = &r->answers[i];
        if (a->is_used || a->is_write != is_write || a->address != address || a->width != width) continue;
        a->is_used = true;
        AT(uintptr_t, e->cpu, CPU_MEM_IO_PC) = 0;
        return a;
    }
    return NULL;
}

uint32_t shim_read_device(void *uc, void *region, uint64_t address, uint64_t *value, int memop, uint32_t attributes)
{
    struct engine *e = engine_of_uc(uc);
    const struct mmio *mmio = ours(e, region);
    if (!mmio) return real.read_device(uc, region, address, value, memop, attributes);
    uint32_t width = 1u << (memop & MO_SIZE);
    const struct answer *answer = answer_of(e, false, address, width);
    if (answer) {
        *value = answer->value;
    } else {
        e->shared.secure = is_secure(attributes);
        *value = ask_io_read(e, mmio->read_data, address, width);
        if (memop & MO_BSWAP) *value = swap(*value, width);
        if (e->shared.left) stop_run(e);
        go_on(e, (struct answer){address, *value, width, false, false});
    }
    return 0;
}

uint32_t shim_write_device(void *uc, void *region, uint64_t address, uint64_t value, int memop, uint32_t attributes)
{
    struct engine *e = engine_of_uc(uc);
    const struct mmio *mmio = ours(e, region);
    if (!mmio) return real.write_device(uc, region, address, value, memop, attributes);
    uint32_t width = 1u << (memop & MO_SIZE);
    if (answer_of(e, true, address, width)) return 0;
    if (width < 8) value &= (1ull << 8 * width) - 1;
    e->shared.secure = is_secure(attributes);
    ask_io_write(e, mmio->read_data, address, width, memop & MO_BSWAP ? swap(value, width) : value);
    if (e->shared.left) stop_run(e);
    go_on(e, (struct answer){address, 0, width, true, false});
    return 0;
}
