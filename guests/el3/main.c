/* el3: a secure monitor that starts at EL3, a payload at Secure EL1 and one at Non-secure EL2 with its own EL1. GICv3
 * with two Security states. It switches worlds by SMC and by FIQ, and powers off by the Secure GPIO. */
#include "monitor.h"
#include "interrupts/gic.h"
#include "interrupts/timer.h"
#include "mmu.h"

#define GICD_CTLR_SECURE 0x37u /* Groups 0, 1 Non-secure, 1 Secure; ARE in both Security states */
#define GICR_IGRPMODR 0xd00
#define DESCRIPTOR_NS (1ul << 5)
#define SECURE_RAM_AS_NORMAL 0x200000000ul /* in EL3's stage 1: Secure RAM at its Non-secure address */
#define EC_WNR_DFSC 0xfc00007ful
#define PL061_DIR 0x400
#define PL061_PIN_0 0x004 /* GPIODATA with a mask of this pin only: power off */

void semihosting_exit(const u64 reason[2]);
static u64 taken; /* ESR_EL3 of the last exception from EL3 itself */

/* Where there is no Secure GPIO, by semihosting; a machine that has one may take its time. */
void power_off(void) {
    static const u64 application_exit[] = {0x20026, 0};
    write32(SECURE_GPIO + PL061_DIR, 1);
    write32(SECURE_GPIO + PL061_PIN_0, 0);
    write32(SECURE_GPIO + PL061_PIN_0, 1);
    for (u64 start = physical_count(); physical_count() - start < ticks_of_us(1000000);) {
    }
    semihosting_exit(application_exit);
    for (;;)
        __asm__ volatile("wfi");
}

void own_exception(struct frame *frame) {
    taken = frame->esr;
    frame->elr += 4;
    if (ESR_EC(frame->esr) != 0x25) {
        fail("exception", "vector 0x%lx ESR_EL3 0x%lx ELR_EL3 0x%lx FAR_EL3 0x%lx", frame->vector, frame->esr,
             frame->elr, frame->far);
        summary("el3");
        power_off();
    }
}

void wrong_level(void) {
    fail("start", "this monitor starts at EL3: armvcpu run --el 3, QEMU -M virt,virtualization=on,secure=on");
    summary("el3");
    if (read_sysreg(CurrentEL) >> 2 == 1)
        hvc(PSCI_SYSTEM_OFF, 0, 0, 0);
    else
        smc(PSCI_SYSTEM_OFF, 0, 0, 0);
    for (;;)
        __asm__ volatile("wfi");
}

static void translation(void) {
    struct space space = new_space(GRANULE_4K, 39);
    map(&space, 0, 0, 1, DEVICE | AP_EL0);
    map(&space, RAM_BASE, RAM_BASE, 1, NORMAL | AP_EL0);
    map(&space, SECURE_RAM_AS_NORMAL, SECURE_RAM, 3, NORMAL | AP_EL0 | DESCRIPTOR_NS | UXN);
    u64 range = bits(read_sysreg(id_aa64mmfr0_el1), 3, 0);
    write_sysreg(mair_el3, 0xff00);
    write_sysreg(tcr_el3, 1ul << 31 | 1ul << 23 | 25ul | 1ul << 8 | 1ul << 10 | 3ul << 12 | (range > 5 ? 5 : range) << 16);
    write_sysreg(ttbr0_el3, space.root);
    isb();
    __asm__ volatile("tlbi alle3\n\tdsb sy\n\tisb" ::: "memory");
    write_sysreg(sctlr_el3, 0x30c50830ul | SCTLR_M | SCTLR_C | SCTLR_I);
    isb();
    write32(SECURE_RAM + 16, 0xabcd);
    check_equal("EL3: Secure RAM", read32(SECURE_RAM + 16), 0xabcd);
    read32(SECURE_RAM_AS_NORMAL);
    check_equal("EL3: a Non-secure address", taken & EC_WNR_DFSC, 0x94000010ul);
    read32(0x400000000ul);
    check_equal("EL3: a load from nowhere", taken & EC_WNR_DFSC, 0x94000005ul);
}

/* Every interrupt is of Group 0 after reset. */
static void interrupt_controller(void) {
    check_equal("GIC: two Security states", read32(GICD_BASE + GICD_CTLR) & GICD_CTLR_DS, 0);
    write32(GICD_BASE + GICD_CTLR, 0x30);
    write32(GICD_BASE + GICD_CTLR, GICD_CTLR_SECURE);
    write_sysreg(icc_sre_el3, 0xf);
    isb();
    u64 base = gic_redistributor(affinity());
    write32(base + GICR_WAKER, read32(base + GICR_WAKER) & ~GICR_WAKER_PROCESSOR_SLEEP);
    while (read32(base + GICR_WAKER) & GICR_WAKER_CHILDREN_ASLEEP) {
    }
    u64 sgis = base + GICR_SGI_BASE;
    u32 normal = 1u << NORMAL_SGI | 1u << PHYSICAL_TIMER_INTID | 1u << HYPERVISOR_TIMER_INTID;
    write32(sgis + GICD_IGROUPR, normal);
    write32(sgis + GICR_IGRPMODR, 1u << SECURE_SGI);
    write32(sgis + GICD_IPRIORITYR + 0, 0xc0c0c0c0);
    write32(sgis + GICD_IPRIORITYR + 8, 0x40404040);
    write32(sgis + GICD_IPRIORITYR + 28, 0xc0c020c0); /* 29 before all, 30 as Non-secure has it */
    write32(sgis + GICD_ISENABLER, normal | 1u << SECURE_SGI | 1u << SECURE_TIMER_INTID);
    check_equal("GIC: Secure sees every bit", read32(sgis + GICD_ISENABLER) >> SECURE_TIMER_INTID & 1, 1);
    write_sysreg(scr_el3, read_sysreg(scr_el3) | SCR_NS);
    isb();
    write_sysreg(icc_sre_el2, 0xf);
    write_sysreg(icc_sre_el1, 7);
    write_sysreg(scr_el3, read_sysreg(scr_el3) & ~SCR_NS);
    isb();
    write_sysreg(icc_sre_el1, 7);
    isb();
    write_sysreg(icc_pmr_el1, 0xff);
    write_sysreg(icc_igrpen0_el1, 1);
    write_sysreg(icc_igrpen1_el3, 3);
    isb();
}

void main(const void *fdt) {
    (void)fdt;
    if (bits(read_sysreg(id_aa64pfr0_el1), 27, 24) == 0) {
        fail("start", "this monitor wants a GICv3: armvcpu run --gic 3, QEMU -M virt,gic-version=3");
        summary("el3");
        power_off();
    }
    print("el3: a monitor and two worlds\n");
    check_equal("EL3: CurrentEL", read_sysreg(CurrentEL) >> 2, 3);
    check_equal("EL3: Secure", read_sysreg(scr_el3) & SCR_NS, 0);
    translation();
    interrupt_controller();
    run_worlds();
    summary("el3");
    power_off();
}
