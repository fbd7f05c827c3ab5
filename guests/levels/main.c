/* levels: the price of going from EL1 to a hypervisor at the guest's own EL2 and back, for `make bench`. Ticks are of
 * CNTVCT_EL0 at CNTFRQ_EL0. Starts at EL2; no hypercall and no trap leaves the guest. */
#include "guest.h"
#include "mmu.h"

#define PSCI_SYSTEM_OFF 0x84000008u
#define HCR_VM (1ul << 0)
#define HCR_RW (1ul << 31)
#define COUNT 200000ul
#define UNMAPPED 0x0b000000ul
#define S2_NORMAL (0xful << 2 | SH_INNER | AF | 3ul << 6)
/* 39 bits from level 1, 4 KiB granule, write-back, inner shareable */
#define VTCR (1ul << 31 | 25ul | 1ul << 6 | 1ul << 8 | 1ul << 10 | 3ul << 12)

u64 smc(u64 x0);
u64 run_el1(const char *loop, u64 count, u64 x20);
extern const char loop_hvc[], loop_load[], returning[], exiting[];

void power_off(void) {
    smc(PSCI_SYSTEM_OFF);
    for (;;)
        __asm__ volatile("wfi");
}

void wrong_level(void) {
    fail("start", "this guest starts at EL2: armvcpu run --el 2, QEMU -M virt,virtualization=on");
    summary("levels");
    if (read_sysreg(CurrentEL) >> 2 == 1)
        hvc(PSCI_SYSTEM_OFF, 0, 0, 0);
    for (;;)
        __asm__ volatile("wfi");
}

/* EL1 sees RAM as it is, and nothing else. */
static void stage_2(void) {
    struct space space = new_space(GRANULE_4K, 39);
    map(&space, RAM_BASE, RAM_BASE, 1, S2_NORMAL);
    u64 range = bits(read_sysreg(id_aa64mmfr0_el1), 3, 0);
    write_sysreg(vtcr_el2, VTCR | (range > 5 ? 5 : range) << 16);
    write_sysreg(vttbr_el2, space.root);
    write_sysreg(hcr_el2, HCR_RW | HCR_VM);
    write_sysreg(sctlr_el1, SCTLR_RES1);
    isb();
    __asm__ volatile("tlbi vmalls12e1\n\tdsb ish\n\tisb" ::: "memory");
}

static void measure(const char *name, const char *loop, const char *vectors) {
    write_sysreg(vbar_el2, vectors);
    isb();
    u64 ticks = run_el1(loop, COUNT, UNMAPPED);
    print("TRAP %s count=%lu ticks=%lu\n", name, COUNT, ticks);
    pass("%s", name);
}

void main(const void *fdt) {
    (void)fdt;
    print("FREQUENCY %lu\n", read_sysreg(cntfrq_el0));
    stage_2();
    measure("el2-hvc", loop_hvc, returning);
    measure("el2-exit", loop_hvc, exiting);
    measure("el2-abort", loop_load, exiting);
    summary("levels");
}
