/* loops: CPU-bound loops, MMU off and on, for `make bench`. Ticks are of CNTVCT_EL0 at CNTFRQ_EL0. */
#include "mmu.h"

struct loop {
    const char *name;
    void (*run)(u64 buffer, u64 iterations);
    u64 iterations;
};
void loop_load(u64 buffer, u64 iterations);
void loop_store(u64 buffer, u64 iterations);
void loop_multiply(u64 buffer, u64 iterations);
void loop_call(u64 buffer, u64 iterations);
void loop_float(u64 buffer, u64 iterations);
void loop_blocks(u64 buffer, u64 iterations);

static const struct loop loops[] = {
    {"load", loop_load, 24000000}, {"store", loop_store, 24000000}, {"multiply", loop_multiply, 50000000},
    {"call", loop_call, 3000000}, {"float", loop_float, 2000000}, {"blocks", loop_blocks, 4000000},
};

static u64 now(void) {
    isb();
    return read_sysreg(cntvct_el0);
}

static void run_all(const char *mmu) {
    for (unsigned i = 0; i < sizeof loops / sizeof *loops; i++) {
        loops[i].run(FREE_RAM, 1000); /* first use: an emulator translates, a CPU fills its caches */
        u64 start = now();
        loops[i].run(FREE_RAM, loops[i].iterations);
        print("LOOP %s mmu=%s iterations=%lu ticks=%lu\n", loops[i].name, mmu, loops[i].iterations, now() - start);
    }
}

void main(const void *fdt) {
    (void)fdt;
    print("FREQUENCY %lu\n", read_sysreg(cntfrq_el0));
    run_all("off");
    struct space space = new_space(GRANULE_4K, 48);
    map_guest(&space);
    map(&space, FREE_RAM, FREE_RAM, 2, NORMAL | PXN | UXN); /* as every kernel maps its data */
    mmu_on(&space, NULL, 0);
    run_all("on");
    mmu_off();
    pass("loops");
    summary("loops");
}
