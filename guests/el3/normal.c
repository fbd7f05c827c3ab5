/* The payload at Non-secure EL2, and its own EL1: what Non-secure may, and what comes to EL3 instead. */
#include "monitor.h"
#include "interrupts/gic.h"
#include "interrupts/timer.h"

#define HCR_IMO (1ul << 4)
#define HCR_TSC (1ul << 19)
#define HCR_RW (1ul << 31)
#define EC_DFSC(esr) (ESR_EC(esr) << 6 | bits(esr, 5, 0))
#define EXTERNAL_ABORT (0x10u)
#define GICR_SGI_OFFSET 0x10000ul

static struct exit own; /* the last exception that EL2 took */
static u64 el1_esr;     /* and EL1 */
static volatile u64 irqs, last_intid;
static char el1_stack[0x1000] __attribute__((aligned(16)));

void normal_exception(struct frame *frame) {
    if (frame->vector == IRQ_VECTOR) {
        last_intid = gic_acknowledge();
        write_sysreg(cntp_ctl_el0, 0);
        isb();
        irqs++;
        gic_end((u32)last_intid);
        return;
    }
    own = (struct exit){frame->esr, frame->far, frame->elr, frame->vector, own.count + 1};
    if (frame->esr == 0x5a0000eeul) { /* HVC #0xee: EL1 is done */
        frame->elr = (u64)el1_done;
        frame->spsr = SPSR_DAIF | EL2h;
    } else if (ESR_EC(frame->esr) != 0x16) {
        frame->elr += 4;
    }
}

void el1_exception(struct frame *frame) {
    el1_esr = frame->esr;
    if (ESR_EC(frame->esr) != 0x15)
        frame->elr += 4;
}

enum { ESR, FAR, ELR, VECTOR, COUNT };
static u64 last(unsigned member) { return smc(MONITOR_LAST, member, 0, 0); }
static void scr(u64 set, u64 clear) { smc(MONITOR_SCR, set, clear, 0); }

/* --- calls and worlds --------------------------------------------------------------------------------------------- */

static void calls(void) {
    check_equal("Non-secure: EL2", read_sysreg(CurrentEL) >> 2, 2);
    check_equal("PSCI_VERSION is the monitor's", smc(PSCI_VERSION, 0, 0, 0), PSCI_1_1);
    check_equal("an unknown call", smc(0x84001234, 0, 0, 0), SMCCC_NOT_SUPPORTED);
    check_equal("the Secure world answers", smc(SECURE_ADD, 40, 2, 0), 42);
    write_sysreg(tpidr_el1, 0x12345678);
    write_sysreg(vbar_el1, 0x1000800);
    check_equal("TPIDR_EL1 of the Secure world", smc(SECURE_TPIDR, 0, 0, 0), 0x5ec);
    check_equal("TPIDR_EL1 is kept", read_sysreg(tpidr_el1), 0x12345678);
    check_equal("VBAR_EL1 is kept", read_sysreg(vbar_el1), 0x1000800);
}

/* --- what is Secure is not there ---------------------------------------------------------------------------------- */

static void not_there(const char *name, u64 address) {
    own = (struct exit){0};
    read32(address);
    check_equal(name, EC_DFSC(own.esr) << 32 | own.far, (0x25ul << 6 | EXTERNAL_ABORT) << 32 | address);
}

static void secure_memory(void) {
    not_there("a load from Secure RAM is an external abort", SECURE_RAM);
    not_there("a load from the Secure flash", SECURE_FLASH);
    not_there("a load from the second PL011", SECURE_UART);
    not_there("a load from the Secure GPIO", SECURE_GPIO);
    write32(SECURE_RAM, 0);
    check_equal("a store to Secure RAM", EC_DFSC(own.esr), 0x25 << 6 | EXTERNAL_ABORT);
    check_equal("Secure RAM has what it had", smc(SECURE_READ, SECURE_RAM, 0, 0), SECURE_MAGIC);
    scr(SCR_EA, 0);
    u64 before = own.count;
    read32(SECURE_RAM + 8);
    scr(0, SCR_EA);
    if (own.count != before) {
        skip("SCR_EL3.EA", "the abort was taken to EL2, as on QEMU 7.2, which does not look at this bit");
        return;
    }
    check_equal("SCR_EL3.EA: ESR_EL3", EC_DFSC(last(ESR)), 0x24 << 6 | EXTERNAL_ABORT);
    check_equal("SCR_EL3.EA: FAR_EL3", last(FAR), SECURE_RAM + 8);
}

/* --- traps to EL3, and what EL3 forbids ---------------------------------------------------------------------------- */

static void traps(void) {
    smc(MONITOR_TRAP_FP, 0, 0, 0);
    __asm__ volatile(".arch_extension fp\n\tfmov x7, d0" ::: "x7");
    check_equal("CPTR_EL3.TFP: ESR_EL3", last(ESR), 0x1fe00000ul);
    scr(SCR_SMD | SCR_TWI, 0);
    smc(PSCI_VERSION, 0, 0, 0);
    check_equal("SCR_EL3.SMD: SMC is UNDEFINED", own.esr, 0x02000000ul);
    __asm__ volatile("wfi");
    check_equal("SCR_EL3.TWI: ESR_EL3", last(ESR), 0x07e00000ul);
    scr(0, SCR_HCE);
    hvc(0, 0, 0, 0);
    check_equal("SCR_EL3.HCE 0: HVC is UNDEFINED", own.esr, 0x02000000ul);
    scr(SCR_HCE, 0);
    hvc(0, 0, 0, 0);
    check_equal("SCR_EL3.HCE: HVC from EL2 is taken at EL2", own.esr << 16 | own.vector, 0x5a000000ul << 16 | 0x200);
    read_sysreg(icc_iar0_el1);
    check_equal("SCR_EL3.FIQ: ICC_IAR0_EL1 traps", last(ESR) & ~0x3e0ul, 0x62000000ul | 3 << 20 | 12 << 10 | 8 << 1 | 1);
    own.esr = 0;
    read_sysreg(cntps_ctl_el1);
    check_equal("the Secure timer is UNDEFINED", own.esr, 0x02000000ul);
    own.esr = 0;
    read_sysreg(scr_el3);
    check_equal("SCR_EL3 is UNDEFINED", own.esr, 0x02000000ul);
}

/* --- EL1 under this EL2 ------------------------------------------------------------------------------------------- */

static u64 el1_level, el1_answer;

static void el1(void) {
    write_sysreg(vbar_el1, el1_vectors);
    isb();
    el1_level = read_sysreg(CurrentEL) >> 2;
    el1_answer = smc(PSCI_VERSION, 0, 0, 0);
}

static void el1_hvc(void) { hvc(0, 0, 0, 0); }

static void el1_svc(void) { __asm__ volatile("svc #7"); }

static void in_el1(void (*code)(void)) { run_el1(code, (u64)el1_stack + sizeof el1_stack); }

static void lower_level(void) {
    write_sysreg(hcr_el2, HCR_RW | HCR_IMO);
    write_sysreg(sctlr_el1, 0x30d00800);
    isb();
    in_el1(el1);
    check_equal("EL1: CurrentEL", el1_level, 1);
    check_equal("EL1: SMC goes to EL3", el1_answer, PSCI_1_1);
    check_equal("EL1: HVC goes to EL2", own.esr << 16 | own.vector, 0x5a0000eeul << 16 | 0x400);
    in_el1(el1_svc);
    check_equal("EL1: SVC stays", el1_esr, 0x56000007);
    el1_esr = 0;
    write_sysreg(hcr_el2, HCR_RW | HCR_IMO | HCR_TSC);
    isb();
    u64 before = own.count;
    in_el1(el1);
    check_equal("HCR_EL2.TSC: SMC goes to EL2", own.count - before, 2);
    write_sysreg(hcr_el2, HCR_RW | HCR_IMO);
    isb();
    in_el1(el1_hvc);
    check_equal("EL1: nothing was UNDEFINED", el1_esr, 0);
}

/* --- the GIC from Non-secure --------------------------------------------------------------------------------------- */

static void interrupt_controller(void) {
    u64 base = gic_redistributor(affinity()) + GICR_SGI_OFFSET;
    u32 enabled = read32(base + GICD_ISENABLER);
    check_equal("GIC: a Secure interrupt's bit reads as zero", enabled >> SECURE_TIMER_INTID & 1, 0);
    check_equal("GIC: a Non-secure one's does not", enabled >> PHYSICAL_TIMER_INTID & 1, 1);
    write32(base + GICD_ICENABLER, 1u << SECURE_TIMER_INTID);
    check_equal("GIC: priorities are the lower half", read32(base + GICD_IPRIORITYR) >> 8 & 0xff, 0x80);
    check_equal("GIC: groups read as zero", read32(base + GICD_IGROUPR), 0);
    check_equal("GIC: GICD_CTLR, the Non-secure view", read32(GICD_BASE + GICD_CTLR) & 0x7f, 0x12);
}

/* --- interrupts ---------------------------------------------------------------------------------------------------- */

static void own_interrupt(void) {
    write_sysreg(icc_igrpen1_el1, 1);
    write_sysreg(icc_pmr_el1, 0xff);
    isb();
    gic_send(affinity(), NORMAL_SGI);
    irq_unmask();
    irq_mask();
    check_equal("Non-secure Group 1 is an IRQ at EL2", irqs << 32 | last_intid, 1ul << 32 | NORMAL_SGI);
}

static void interrupts(void) {
    own_interrupt();
    u64 before = last(COUNT);
    smc(MONITOR_TIMER, ticks_of_us(1000), 0, 0);
    while (!secure_ticks) {
    }
    check_equal("Group 0 is a FIQ, to EL3", last(VECTOR), LOWER_FIQ_VECTOR);
    check_equal("the Secure timer fired once", secure_ticks << 32 | (last(COUNT) - before), 1ul << 32 | 1);
    smc(MONITOR_PEND, SECURE_SGI, 0, 0);
    check_equal("Secure Group 1 is a FIQ, and an IRQ there", smc(SECURE_INTERRUPTS, 0, 0, 0), (u64)SECURE_SGI << 32 | 1);
    write_sysreg(cntp_tval_el0, ticks_of_us(1000));
    write_sysreg(cntp_ctl_el0, CTL_ENABLE);
    isb();
    check_equal("Non-secure Group 1 preempts Secure", smc(SECURE_LOOP, 0, 0, 0), SECURE_PREEMPTED);
    check_equal("it was a FIQ", last(VECTOR), LOWER_FIQ_VECTOR);
    irq_unmask();
    irq_mask();
    check_equal("and is taken in Non-secure", irqs << 32 | last_intid, 2ul << 32 | PHYSICAL_TIMER_INTID);
    let_secure_go = 1;
    check_equal("Secure goes on", smc(MONITOR_RESUME, 0, 0, 0), 0x100b);
}

void normal_main(void) {
    write_sysreg(hcr_el2, HCR_RW | HCR_IMO);
    write_sysreg(icc_sre_el2, 0xf);
    write_sysreg(icc_sre_el1, 7);
    write_sysreg(cptr_el2, 0x33ff);
    isb();
    calls();
    secure_memory();
    traps();
    lower_level();
    interrupt_controller();
    interrupts();
    smc(PSCI_SYSTEM_OFF, 0, 0, 0);
}
