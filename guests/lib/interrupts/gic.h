/* GICv3 by memory-mapped Distributor and Redistributors and by system registers (Arm IHI 0069).
 *
 * For one Security state, as on a machine without EL3 or one that keeps it to itself (GICD_CTLR.DS = 1). A function
 * that takes an INTID finds the register in the Distributor or in the Redistributor of the CPU that calls. */
#pragma once
#include "guest.h"

#define GICD_BASE 0x08000000ul
#define GICR_BASE 0x080a0000ul
#define GICR_STRIDE 0x20000ul
#define GICR_SGI_BASE 0x10000ul

enum gicd {
    GICD_CTLR = 0x0000,
    GICD_TYPER = 0x0004,
    GICD_IGROUPR = 0x0080,
    GICD_ISENABLER = 0x0100,
    GICD_ICENABLER = 0x0180,
    GICD_ISPENDR = 0x0200,
    GICD_ICPENDR = 0x0280,
    GICD_ISACTIVER = 0x0300,
    GICD_ICACTIVER = 0x0380,
    GICD_IPRIORITYR = 0x0400,
    GICD_ICFGR = 0x0c00,
    GICD_IROUTER = 0x6000,
};
#define GICD_CTLR_GROUPS 3u
#define GICD_CTLR_ARE (1u << 4)
#define GICD_CTLR_DS (1u << 6)
#define GICD_CTLR_RWP (1u << 31)
#define GICD_IROUTER_ANY (1ul << 31) /* Interrupt_Routing_Mode: any one participating CPU */

enum gicr { GICR_TYPER = 0x0008, GICR_WAKER = 0x0014 };
#define GICR_TYPER_LAST (1ul << 4)
#define GICR_WAKER_PROCESSOR_SLEEP (1u << 1)
#define GICR_WAKER_CHILDREN_ASLEEP (1u << 2)

#define ICC_CTLR_CBPR 1ul
#define ICC_CTLR_EOIMODE 2ul
#define SGI_ALL_OTHERS (1ul << 40) /* ICC_SGI1R_EL1.IRM */

#define SPURIOUS 1023u
#define IDLE_PRIORITY 0xffu
#define UART_INTID 33u
#define VIRTUAL_TIMER_INTID 27u
#define PHYSICAL_TIMER_INTID 30u
#define IRQ_VECTOR 0x280u /* from EL1 with SP_EL1 (Arm ARM D1.3.1.4) */
#define FIQ_VECTOR 0x300u
#define IRQ_EL0_VECTOR 0x480u

#define MPIDR_AFFINITY 0xff00fffffful
static inline u64 read64(u64 address) {
    u64 value;
    __asm__ volatile("ldr %0, [%1]" : "=r"(value) : "r"(address) : "memory");
    return value;
}
static inline u64 affinity(void) { return read_sysreg(mpidr_el1) & MPIDR_AFFINITY; }

/* Both groups forwarded; called once. gic_init_cpu(): this CPU's Redistributor and interface, Group 1 enabled, every
 * priority let through, nothing enabled. */
void gic_init(void);
void gic_init_cpu(void);
u64 gic_redistributor(u64 mpidr); /* its RD_base; 0 where no CPU has this affinity */

/* One bit of GICD_I*R or GICR_I*R. Writing a 1 sets or clears, by the register; a 0 changes nothing. */
bool gic_bit(enum gicd reg, u32 intid);
void gic_write_bit(enum gicd reg, u32 intid);
/* Group 1 with this priority, enabled. */
void gic_enable(u32 intid, u8 priority);
void gic_disable(u32 intid); /* inactive and not pending afterwards, too */
void gic_set_group(u32 intid, unsigned group);
void gic_set_edge(u32 intid, bool edge);
void gic_route(u32 spi, u64 target); /* an affinity, or GICD_IROUTER_ANY */

/* A Group 1 SGI to one CPU. */
void gic_send(u64 mpidr, u32 intid);

#define irq_unmask() __asm__ volatile("msr daifclr, #2\n\tisb" ::: "memory")
#define irq_mask() __asm__ volatile("msr daifset, #2\n\tisb" ::: "memory")
#define fiq_unmask() __asm__ volatile("msr daifclr, #1\n\tisb" ::: "memory")
#define fiq_mask() __asm__ volatile("msr daifset, #1\n\tisb" ::: "memory")
static inline u32 gic_acknowledge(void) {
    u32 intid = (u32)read_sysreg(icc_iar1_el1) & 0xffffff;
    dsb();
    return intid;
}
static inline void gic_end(u32 intid) {
    write_sysreg(icc_eoir1_el1, intid);
    isb();
}
