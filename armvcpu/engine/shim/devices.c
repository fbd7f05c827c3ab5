/* Accesses of devices: one callback of the access's own width, with registers and PC where they are asked for.
 *
 * A callback that changes registers or PC changes what the rest of the block goes by. So the block is left there: at a new
 * PC at once; otherwise at the instruction itself, which is executed again with the device's answer that is kept here.
 */
#include <string.h>
#include "shim.h"

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

/* The callback has returned: was anything changed? */
static void go_on(struct engine *e, bool is_write, uint64_t address, uint32_t width, uint64_t value)
{
    bool looked = e->io_pc != NULL;
    e->io_pc = NULL;
    AT(uintptr_t, e->cpu, CPU_MEM_IO_PC) = 0;
    if (!looked) return;
    uint64_t pc = e->io_frame[32], now = AT(uint64_t, e->env, ENV_PC);
    e->shared.position = 0;
    if (now == pc && !memcmp(e->io_frame, &AT(char, e->env, ENV_XREGS), FRAME)) return;
    settle(e, pc, now != pc);
    if (now == pc) e->replay = (struct replay){true, is_write, width, pc, address, value};
    leave_block(e);
}

static bool is_replay(struct engine *e, bool is_write, uint64_t address, uint32_t width)
{
    struct replay *r = &e->replay;
    if (!r->valid || r->is_write != is_write || r->address != address || r->width != width) return false;
    real.cpu_restore_state(e->cpu, AT(uintptr_t, e->cpu, CPU_MEM_IO_PC), true);
    if (AT(uint64_t, e->env, ENV_PC) != r->pc) return false;
    r->valid = false;
    return true;
}

uint32_t shim_read_device(void *uc, void *region, uint64_t address, uint64_t *value, int memop, uint32_t attributes)
{
    struct engine *e = engine_of_uc(uc);
    const struct mmio *mmio = ours(e, region);
    if (!mmio) return real.read_device(uc, region, address, value, memop, attributes);
    uint32_t width = 1u << (memop & MO_SIZE);
    if (is_replay(e, false, address, width)) {
        *value = e->replay.value;
    } else {
        *value = e->python.io_read(mmio->read_data, address, width);
        if (memop & MO_BSWAP) *value = swap(*value, width);
        if (e->shared.left) stop_run(e);
        go_on(e, false, address, width, *value);
    }
    return 0;
}

uint32_t shim_write_device(void *uc, void *region, uint64_t address, uint64_t value, int memop, uint32_t attributes)
{
    struct engine *e = engine_of_uc(uc);
    const struct mmio *mmio = ours(e, region);
    if (!mmio) return real.write_device(uc, region, address, value, memop, attributes);
    uint32_t width = 1u << (memop & MO_SIZE);
    if (is_replay(e, true, address, width)) return 0;
    if (width < 8) value &= (1ull << 8 * width) - 1;
    e->python.io_write(mmio->read_data, address, width, memop & MO_BSWAP ? swap(value, width) : value);
    if (e->shared.left) stop_run(e);
    go_on(e, true, address, width, 0);
    return 0;
}
