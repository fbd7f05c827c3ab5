/* traps: the price of one trap of each kind, for `make bench`. Ticks are of CNTVCT_EL0 at CNTFRQ_EL0.
 *
 * The hypercalls, the device at 0x0B000000 and, in one of its runs, ID_AA64AFR0_EL1 belong to the benchmark; without
 * them a trap is reported as unanswered. The interrupt wants a GICv3. */
#include "interrupts/gic.h"

#define COUNT 200000ul
#define INTERRUPTS 20000ul

extern const char trap_hvc_hook[], trap_hvc_exit[], trap_mmio[], trap_sysreg[], trap_register[], trap_svc[],
    trap_timer[], returning_vectors[], timer_vectors[], vectors[];

static void set_vectors(const char *table) {
    write_sysreg(vbar_el1, table);
    isb();
}

static u64 now(void) {
    isb();
    return read_sysreg(cntvct_el0);
}

static void measure(const char *name, const char *loop, const char *table, u64 count) {
    struct frame once = {.esr = 0x5600fffful};
    if (table == vectors)
        once = attempt(loop, 1, 0);
    if (!returned(&once)) {
        print("TRAP %s unanswered ESR_EL1 0x%lx\n", name, once.esr);
        return;
    }
    set_vectors(table);
    u64 start = now();
    ((void (*)(u64))loop)(count);
    u64 ticks = now() - start;
    set_vectors(vectors);
    print("TRAP %s count=%lu ticks=%lu\n", name, count, ticks);
    pass("%s", name);
}

void main(const void *fdt) {
    (void)fdt;
    print("FREQUENCY %lu\n", read_sysreg(cntfrq_el0));
    measure("hvc-hook", trap_hvc_hook, vectors, COUNT);
    measure("hvc-exit", trap_hvc_exit, vectors, COUNT);
    measure("mmio", trap_mmio, vectors, COUNT);
    measure("sysreg", trap_sysreg, vectors, COUNT);
    measure("register", trap_register, vectors, COUNT);
    measure("svc", trap_svc, returning_vectors, COUNT);
    gic_init();
    gic_init_cpu();
    gic_enable(VIRTUAL_TIMER_INTID, 0x80);
    measure("timer", trap_timer, timer_vectors, INTERRUPTS);
    gic_disable(VIRTUAL_TIMER_INTID);
    irq_mask();
    summary("traps");
}
