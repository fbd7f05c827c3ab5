/* The calls of Python, and their tally: how often there were some, and how long they took, while somebody wants to know.
 *
 * Without a tally each costs one test more.
 */
#ifndef ARMVCPU_TALLY_H
#define ARMVCPU_TALLY_H

#include "shim.h"

/* Pairs of (how often, ns) but where it says so; `native.py` has the same places. */
enum {
    TALLY_RUNS = 0,                        /* of the engine */
    TALLY_READS = 2,                       /* of registers that Python answers */
    TALLY_WRITES = 4,
    TALLY_ENTERED = 6,                     /* Python has heard of exceptions */
    TALLY_CODE = 8,                        /* handlers at instructions */
    TALLY_SAMPLES = 10,
    TALLY_WAITS = 12,                      /* WFI */
    TALLY_ACCESSES = 14,                   /* Python has heard of accesses of memory that it watches */
    TALLY_INTERRUPTS = 16,                 /* how often only: IRQ and FIQ that the guest has taken */
    TALLY_TRAPS = 18,                      /* by exception class */
    TALLY_EXCEPTIONS = TALLY_TRAPS + 128,  /* how often only, by class: those that the guest has taken at its own levels */
    TALLY_DEVICES = TALLY_EXCEPTIONS + 64, /* loads, stores, ns, by the number that Python gives a device, and its part */
    TALLIED_DEVICES = 64,                  /* the last one is for all from there on */
    PARTS = 8, PART_BITS = 9,              /* as many virtio-mmio slots are in a page, of 512 bytes; the last is the rest */
    TALLY_WORDS = TALLY_DEVICES + 3 * PARTS * TALLIED_DEVICES,
};

int64_t monotonic_ns(void);

static inline int64_t tally_begin(const struct engine *e) { return e->tally ? monotonic_ns() : 0; }

/* A tally that has begun meanwhile has not heard of the beginning. */
static inline void tally_end(struct engine *e, unsigned at, int64_t began)
{
    if (!e->tally || !began) return;
    e->tally[at]++;
    e->tally[at + 1] += monotonic_ns() - began;
}

static inline void tally_device(struct engine *e, void *device, uint64_t offset, bool is_write, int64_t began)
{
    if (!e->tally || !began) return;
    uint64_t number = (uintptr_t)device, part = offset >> PART_BITS;
    if (number >= TALLIED_DEVICES) number = TALLIED_DEVICES - 1;
    if (part >= PARTS) part = PARTS - 1;
    uint64_t at = TALLY_DEVICES + 3 * (PARTS * number + part);
    e->tally[at + is_write]++;
    e->tally[at + 2] += monotonic_ns() - began;
}

static inline void ask_trap(struct engine *e, uint32_t target, uint32_t syndrome, uint64_t far)
{
    int64_t began = tally_begin(e);
    e->python.trap(target, syndrome, far);
    tally_end(e, target == TARGET_WAIT ? TALLY_WAITS : TALLY_TRAPS + 2 * (syndrome >> 26), began);
}

static inline uint64_t ask_read(struct engine *e, uint32_t encoding)
{
    int64_t began = tally_begin(e);
    uint64_t value = e->python.read(encoding);
    tally_end(e, TALLY_READS, began);
    return value;
}

static inline uint64_t ask_write(struct engine *e, uint32_t encoding, uint64_t value)
{
    int64_t began = tally_begin(e);
    uint64_t written = e->python.write(encoding, value);
    tally_end(e, TALLY_WRITES, began);
    return written;
}

static inline uint64_t ask_io_read(struct engine *e, void *device, uint64_t offset, uint32_t width)
{
    int64_t began = tally_begin(e);
    uint64_t value = e->python.io_read(device, offset, width);
    tally_device(e, device, offset, false, began);
    return value;
}

static inline void ask_io_write(struct engine *e, void *device, uint64_t offset, uint32_t width, uint64_t value)
{
    int64_t began = tally_begin(e);
    e->python.io_write(device, offset, width, value);
    tally_device(e, device, offset, true, began);
}

static inline void tell_entered(struct engine *e, uint32_t syndrome)
{
    int64_t began = tally_begin(e);
    e->python.entered(syndrome);
    tally_end(e, TALLY_ENTERED, began);
}

static inline void ask_probe(struct engine *e, uint64_t pc)
{
    int64_t began = tally_begin(e);
    e->python.probe(pc);
    tally_end(e, TALLY_CODE, began);
}

static inline void ask_branch(struct engine *e, uint64_t pc, uint32_t word)
{
    int64_t began = tally_begin(e);
    e->python.branch(pc, word);
    tally_end(e, TALLY_CODE, began);
}

static inline void ask_level(struct engine *e, uint32_t what, uint32_t from)
{
    int64_t began = tally_begin(e);
    e->python.level(what, from);
    tally_end(e, TALLY_ENTERED, began);
}

static inline void tell_watched(struct engine *e, uint64_t address, uint32_t width, bool is_write)
{
    int64_t began = tally_begin(e);
    e->python.watched(address, width, is_write);
    tally_end(e, TALLY_ACCESSES, began);
}

static inline void ask_code(struct engine *e, uint64_t pc)
{
    int64_t began = tally_begin(e);
    e->python.code(pc);
    tally_end(e, TALLY_CODE, began);
}

#endif
