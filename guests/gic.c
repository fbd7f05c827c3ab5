/* gic: the GICv3 by system registers, rule by rule (Arm IHI 0069): priorities, preemption, masks, both EOI modes, level
 * and edge, state bits, groups; with several CPUs the routing of SPIs, and SGIs to all the others. */
#include "interrupts/cpus.h"
#include "interrupts/gic.h"
#include "interrupts/timer.h"

#define UARTIMSC (UART_BASE + 0x038)
#define UARTRIS (UART_BASE + 0x03c)
#define UARTICR (UART_BASE + 0x044)
#define UART_TX (1u << 5)
#define SPI 50u /* nothing on the board drives it */
#define LAST_EVENTS 16u

enum sgi { A = 1, B = 2, C = 3, STOP = 15 };

/* What CPU 0 took, in order: each interrupt as it began, with the running priority then, and as it ended. */
static struct event {
    u32 intid, priority;
    u64 vector;
    bool ends;
} events[LAST_EVENTS];
static volatile unsigned event_count;
static void (*volatile during)(u32 intid); /* called while an interrupt is active */
static volatile unsigned taken[MAX_CPUS];  /* by the others: SPIs and SGIs but STOP */
static volatile bool stopping;

static void log_event(struct event event) {
    if (event_count < LAST_EVENTS)
        events[event_count] = event;
    event_count++;
}

static bool on_interrupt(struct frame *frame) {
    if (frame->vector == FIQ_VECTOR) {
        u32 intid = (u32)read_sysreg(icc_iar0_el1);
        log_event((struct event){intid, (u32)read_sysreg(icc_rpr_el1), frame->vector, false});
        write_sysreg(icc_eoir0_el1, intid);
        return true;
    }
    if (frame->vector != IRQ_VECTOR)
        return false;
    u32 intid = gic_acknowledge();
    unsigned cpu = this_cpu();
    if (cpu) {
        if (intid == STOP)
            stopping = true;
        else if (intid != SPURIOUS)
            taken[cpu]++;
        gic_end(intid);
        __asm__ volatile("dsb sy\n\tsev");
        return true;
    }
    log_event((struct event){intid, (u32)read_sysreg(icc_rpr_el1), frame->vector, false});
    if (during)
        during(intid);
    if (intid != SPURIOUS)
        gic_end(intid);
    log_event((struct event){intid, (u32)read_sysreg(icc_rpr_el1), frame->vector, true});
    return true;
}

/* Interrupts are taken here and nowhere else. */
static void take_interrupts(void) {
    irq_unmask();
    isb();
    irq_mask();
}

static void begin(void) {
    event_count = 0;
    during = NULL;
}

/* Takes what is pending and says whether these interrupts began, in this order, 0 ends the list. */
static void check_began(const char *name, u32 first, u32 second, u32 third) {
    u32 wanted[4] = {first, second, third, 0};
    unsigned n = 0;
    take_interrupts();
    for (unsigned i = 0; i < event_count && i < LAST_EVENTS; i++)
        if (!events[i].ends) {
            if (n == 3 || events[i].intid != wanted[n]) {
                fail(name, "interrupt %u is INTID %u, expected %u", n + 1, events[i].intid, wanted[n]);
                return;
            }
            n++;
        }
    if (wanted[n])
        fail(name, "INTID %u was not taken", wanted[n]);
    else
        pass("%s", name);
}

static void send_self(u32 intid) { gic_send(affinity(), intid); }

static void identification(void) {
    u32 ctlr = read32(GICD_BASE + GICD_CTLR);
    check("GICD_CTLR: affinity routing, one Security state", (ctlr & GICD_CTLR_ARE) && (ctlr & GICD_CTLR_DS));
    check("GICD_TYPER: SPIs", bits(read32(GICD_BASE + GICD_TYPER), 4, 0) >= 1);
    unsigned found = 0;
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        found += gic_redistributor(cpu_mpidr[cpu]) != 0;
    check_equal("a Redistributor for each CPU", found, cpu_count);
    check("no Redistributor for another affinity", gic_redistributor(0xff00fffffful) == 0);
    check("ICC_SRE_EL1.SRE", read_sysreg(icc_sre_el1) & 1);
}

static void one_sgi(void) {
    begin();
    gic_enable(A, 0xa0);
    send_self(A);
    check("SGI: pending in GICR_ISPENDR0", gic_bit(GICD_ISPENDR, A));
    check("SGI: pending in ISR_EL1", read_sysreg(isr_el1) & 0x80);
    check_equal("SGI: ICC_HPPIR1_EL1", read_sysreg(icc_hppir1_el1), A);
    check_began("SGI: taken once", A, 0, 0);
    check_equal("SGI: vector", events[0].vector, IRQ_VECTOR);
    check_equal("SGI: running priority while active", events[0].priority, 0xa0);
    check_equal("SGI: running priority after", events[1].priority, IDLE_PRIORITY);
    check_equal("ICC_IAR1_EL1 when nothing is pending", gic_acknowledge(), SPURIOUS);
    check_equal("ICC_HPPIR1_EL1 when nothing is pending", read_sysreg(icc_hppir1_el1), SPURIOUS);
    send_self(A);
    send_self(A);
    begin();
    check_began("SGI: pending twice is taken once", A, 0, 0);
}

static void priorities(void) {
    begin();
    gic_enable(A, 0xa0);
    gic_enable(B, 0x60);
    gic_enable(C, 0x80);
    send_self(A);
    send_self(B);
    send_self(C);
    check_equal("priority: ICC_HPPIR1_EL1 is the most urgent", read_sysreg(icc_hppir1_el1), B);
    check_began("priority: most urgent first", B, C, A);
    check("priority: one ends before the next begins", events[1].ends && events[3].ends && events[5].ends);
    gic_disable(B);
    begin();
    send_self(B);
    check_began("a disabled interrupt is not taken", 0, 0, 0);
    check("a disabled interrupt stays pending", gic_bit(GICD_ISPENDR, B));
    begin();
    gic_enable(B, 0x60);
    check_began("it is taken once enabled", B, 0, 0);
}

/* In the handler of B: both others become pending, with interrupts unmasked. */
static void send_others(u32 intid) {
    if (intid != B)
        return;
    send_self(A);
    send_self(C);
    take_interrupts();
}

static void check_nested(const char *name, u8 a, u8 b, u8 c, bool a_preempts) {
    begin();
    gic_enable(A, a);
    gic_enable(B, b);
    gic_enable(C, c);
    during = send_others;
    send_self(B);
    take_interrupts();
    during = NULL;
    bool nested = events[1].intid == A && !events[1].ends && events[2].intid == A && events[2].ends;
    bool all = event_count == 6 && events[0].intid == B;
    if (all && nested == a_preempts)
        pass("%s", name);
    else
        fail(name, "%u events, %s", event_count, nested ? "preempted" : "not preempted");
}

static void preemption(void) {
    check_nested("preemption by a higher priority", 0x40, 0x80, 0xc0, true);
    check_equal("preemption: running priority inside", events[1].priority, 0x40);
    check_equal("preemption: running priority back outside", events[2].priority, 0x80);
    check("preemption: none by a lower priority", events[3].intid == B && events[3].ends && events[4].intid == C);
    check_nested("preemption: none by the same priority", 0x80, 0x80, 0xc0, false);
    check_nested("preemption by the next priority", 0x78, 0x80, 0xc0, true);
}

static void binary_points(void) {
    u64 smallest = read_sysreg(icc_bpr1_el1);
    check("BPR: ICC_BPR1_EL1 has a smallest value, at least 1", smallest >= 1 && smallest <= 4);
    write_sysreg(icc_bpr1_el1, 5);
    isb();
    check_equal("BPR: ICC_BPR1_EL1 reads back", read_sysreg(icc_bpr1_el1), 5);
    check_nested("BPR 5: no preemption inside a group of 32", 0x60, 0x78, 0xc0, false);
    check_nested("BPR 5: preemption by the next group", 0x58, 0x60, 0xc0, true);
    check_nested("BPR 5: running priority has the group bits", 0x58, 0x78, 0xc0, true);
    check_equal("BPR 5: ICC_RPR_EL1", events[0].priority, 0x60);
    write_sysreg(icc_bpr1_el1, 7);
    isb();
    check_nested("BPR 7: two groups, same", 0x00, 0x78, 0xc0, false);
    check_nested("BPR 7: two groups, other", 0x78, 0x80, 0xc0, true);
    write_sysreg(icc_bpr1_el1, 0);
    write_sysreg(icc_bpr0_el1, 5);
    write_sysreg(icc_ctlr_el1, ICC_CTLR_CBPR);
    isb();
    check_equal("CBPR: ICC_BPR1_EL1 is ICC_BPR0_EL1 plus one", read_sysreg(icc_bpr1_el1), 6);
    check_nested("CBPR: no preemption inside a group of 64", 0x40, 0x78, 0xc0, false);
    check_nested("CBPR: preemption by the next group", 0x38, 0x40, 0xc0, true);
    write_sysreg(icc_ctlr_el1, 0);
    write_sysreg(icc_bpr0_el1, 0);
    isb();
    check_equal("CBPR off: ICC_BPR1_EL1 is back", read_sysreg(icc_bpr1_el1), smallest);
}

static void priority_mask(void) {
    gic_enable(A, 0x80);
    begin();
    write_sysreg(icc_pmr_el1, 0x80);
    check_equal("PMR reads back", read_sysreg(icc_pmr_el1), 0x80);
    send_self(A);
    check_began("PMR 0x80 masks priority 0x80", 0, 0, 0);
    check_equal("PMR: a masked interrupt is not acknowledged", gic_acknowledge(), SPURIOUS);
    check("PMR: not pending in ISR_EL1", !(read_sysreg(isr_el1) & 0x80));
    begin();
    write_sysreg(icc_pmr_el1, 0x88);
    isb();
    check_began("PMR 0x88 lets priority 0x80 through", A, 0, 0);
    gic_enable(B, 0x00);
    write_sysreg(icc_pmr_el1, 0x00);
    send_self(B);
    begin();
    check_began("PMR 0 masks everything", 0, 0, 0);
    write_sysreg(icc_pmr_el1, 0xff);
    isb();
    check_began("PMR 0xff masks nothing", B, 0, 0);
}

/* In the handler of A with EOImode 1: after ICC_EOIR1_EL1 it is still active, and B of a lower priority is taken. */
static bool active_after_drop, pending_while_active;
static u64 priority_after_drop;
static void drop_and_take(u32 intid) {
    if (intid != A)
        return;
    gic_end(A);
    active_after_drop = gic_bit(GICD_ISACTIVER, A);
    priority_after_drop = read_sysreg(icc_rpr_el1);
    send_self(A);
    send_self(B);
    take_interrupts();
    pending_while_active = gic_bit(GICD_ISPENDR, A);
}

static void deactivate(u32 intid) {
    write_sysreg(icc_dir_el1, intid);
    isb();
}

static void eoi_modes(void) {
    gic_enable(A, 0x80);
    gic_enable(B, 0xc0);
    write_sysreg(icc_ctlr_el1, ICC_CTLR_EOIMODE);
    isb();
    begin();
    send_self(A);
    u32 intid = gic_acknowledge();
    check_equal("EOImode 1: acknowledged", intid, A);
    drop_and_take(A);
    check("EOImode 1: active after ICC_EOIR1_EL1", active_after_drop);
    check_equal("EOImode 1: priority dropped", priority_after_drop, IDLE_PRIORITY);
    check("EOImode 1: a lower priority is taken then", event_count == 2 && events[0].intid == B);
    check("EOImode 1: the same SGI waits, active and pending", pending_while_active && gic_bit(GICD_ISACTIVER, A));
    check("EOImode 1: B is active until ICC_DIR_EL1", gic_bit(GICD_ISACTIVER, B));
    deactivate(B);
    check("EOImode 1: ICC_DIR_EL1 deactivates", !gic_bit(GICD_ISACTIVER, B));
    deactivate(A);
    begin();
    check_began("EOImode 1: the same SGI after ICC_DIR_EL1", A, 0, 0);
    deactivate(A);
    write_sysreg(icc_ctlr_el1, 0);
    isb();
    send_self(A);
    intid = gic_acknowledge();
    check("EOImode 0: active", intid == A && gic_bit(GICD_ISACTIVER, A));
    check_equal("EOImode 0: running priority", read_sysreg(icc_rpr_el1), 0x80);
    check_equal("EOImode 0: ICC_AP1R0_EL1", read_sysreg(icc_ap1r0_el1), 1u << (0x80 >> 3));
    gic_end(intid);
    check("EOImode 0: ICC_EOIR1_EL1 deactivates", !gic_bit(GICD_ISACTIVER, A));
    check_equal("EOImode 0: priority dropped", read_sysreg(icc_rpr_el1), IDLE_PRIORITY);
}

static void state_bits(u32 intid, const char *pend, const char *unpend, const char *active, const char *again) {
    gic_disable(intid);
    gic_set_edge(intid, true);
    gic_write_bit(GICD_ISPENDR, intid);
    check(pend, gic_bit(GICD_ISPENDR, intid) && gic_bit(GICD_ICPENDR, intid));
    gic_write_bit(GICD_ICPENDR, intid);
    check(unpend, !gic_bit(GICD_ISPENDR, intid));
    gic_enable(intid, 0x80);
    gic_write_bit(GICD_ISACTIVER, intid);
    gic_write_bit(GICD_ISPENDR, intid);
    begin();
    check_began(active, 0, 0, 0);
    gic_write_bit(GICD_ICACTIVER, intid);
    check_began(again, intid, 0, 0);
    gic_disable(intid);
}

static void software_state(void) {
    gic_route(SPI, affinity());
    state_bits(A, "SGI: GICR_ISPENDR0 sets pending", "SGI: GICR_ICPENDR0 clears", "SGI: an active one is not taken",
               "SGI: GICR_ICACTIVER0 lets it be taken");
    state_bits(SPI, "SPI: GICD_ISPENDR sets pending", "SPI: GICD_ICPENDR clears", "SPI: an active one is not taken",
               "SPI: GICD_ICACTIVER lets it be taken");
    gic_set_edge(SPI, false);
    gic_enable(SPI, 0x80);
    gic_write_bit(GICD_ISPENDR, SPI);
    begin();
    check_began("level-sensitive SPI: set pending by software, taken once", SPI, 0, 0);
    gic_disable(SPI);
}

static unsigned uart_turns;
static bool pending_when_level;
static void quieten_uart(u32 intid) {
    (void)intid;
    pending_when_level = gic_bit(GICD_ISPENDR, UART_INTID);
    if (++uart_turns == 2)
        write32(UARTICR, UART_TX);
}

/* The UART's transmit interrupt (DDI 0183 3.3.2) is a level: it stays until UARTICR takes it back. */
static void level_and_edge(void) {
    gic_route(UART_INTID, affinity());
    gic_set_edge(UART_INTID, false);
    gic_enable(UART_INTID, 0x80);
    put_string("gic: these characters make the UART's transmit interrupt\n");
    check("level: UARTRIS shows it", read32(UARTRIS) & UART_TX);
    begin();
    write32(UARTIMSC, UART_TX);
    dsb();
    gic_write_bit(GICD_ICPENDR, UART_INTID);
    check("level: pending as long as the line is up", gic_bit(GICD_ISPENDR, UART_INTID));
    write32(UARTIMSC, 0);
    dsb();
    check("level: not pending once the line is down", !gic_bit(GICD_ISPENDR, UART_INTID));
    during = quieten_uart;
    write32(UARTIMSC, UART_TX);
    dsb();
    take_interrupts();
    take_interrupts();
    bool idle = !gic_bit(GICD_ISPENDR, UART_INTID);
    write32(UARTIMSC, 0);
    check("level: taken again until the device is served", uart_turns == 2 && event_count == 4);
    check("level: active and pending inside the handler", pending_when_level);
    check("level: served is idle", idle);

    gic_disable(UART_INTID);
    gic_set_edge(UART_INTID, true);
    gic_enable(UART_INTID, 0x80);
    write32(UARTICR, UART_TX);
    begin();
    write32(UARTIMSC, UART_TX);
    put_string("gic: and these make one edge\n");
    dsb();
    take_interrupts();
    take_interrupts();
    unsigned began = event_count / 2;
    bool still_up = read32(UARTRIS) & UART_TX;
    write32(UARTIMSC, 0);
    check_equal("edge: taken once while the line stays up", began, 1);
    check("edge: the line was up", still_up);
    begin();
    write32(UARTIMSC, UART_TX);
    dsb();
    write32(UARTIMSC, 0);
    dsb();
    check_began("edge: latched when the line is down again", UART_INTID, 0, 0);
    gic_disable(UART_INTID);
    gic_set_edge(UART_INTID, false);
}

static void groups(void) {
    gic_enable(A, 0x80);
    write_sysreg(icc_igrpen1_el1, 0);
    isb();
    send_self(A);
    begin();
    check_began("Group 1 off in ICC_IGRPEN1_EL1: not taken", 0, 0, 0);
    check_equal("Group 1 off: not acknowledged", gic_acknowledge(), SPURIOUS);
    write_sysreg(icc_igrpen1_el1, 1);
    isb();
    check_began("Group 1 on: taken", A, 0, 0);
    write32(GICD_BASE + GICD_CTLR, GICD_CTLR_ARE | 1);
    send_self(A);
    begin();
    check_began("Group 1 off in GICD_CTLR: not taken", 0, 0, 0);
    write32(GICD_BASE + GICD_CTLR, GICD_CTLR_ARE | GICD_CTLR_GROUPS);
    check_began("Group 1 on in GICD_CTLR: taken", A, 0, 0);

    gic_set_group(A, 0);
    write_sysreg(icc_igrpen0_el1, 1);
    isb();
    gic_write_bit(GICD_ISPENDR, A);
    begin();
    check_began("Group 0 is no IRQ", 0, 0, 0);
    check("Group 0 is an FIQ in ISR_EL1", (read_sysreg(isr_el1) & 0xc0) == 0x40);
    check_equal("Group 0: ICC_IAR1_EL1 does not give it", gic_acknowledge(), SPURIOUS);
    check_equal("Group 0: ICC_HPPIR0_EL1", read_sysreg(icc_hppir0_el1), A);
    fiq_unmask();
    fiq_mask();
    check("Group 0: taken as FIQ", event_count == 1 && events[0].vector == FIQ_VECTOR && events[0].intid == A);
    write_sysreg(icc_igrpen0_el1, 0);
    gic_set_group(A, 1);
}

/* --- several CPUs ----------------------------------------------------------------------------------------------- */

static volatile unsigned ready;

static void other_cpu(unsigned index) {
    (void)index;
    gic_init_cpu();
    for (u32 intid = A; intid <= STOP; intid++)
        gic_enable(intid, 0x80);
    publish(&ready, ready + 1);
    while (!stopping) {
        __asm__ volatile("wfi");
        irq_unmask();
        irq_mask();
    }
}

/* How many interrupts CPU n took; CPU 0 takes its own here, too. */
static unsigned taken_by(unsigned cpu) {
    if (cpu)
        return taken[cpu];
    take_interrupts();
    return event_count / 2;
}

/* Waits for one more interrupt anywhere; the CPU that took it, or cpu_count when none did in a second. */
static unsigned who_took(const unsigned before[MAX_CPUS]) {
    for (u64 start = virtual_count(); us_of_ticks(virtual_count() - start) < 1000000;) {
        for (unsigned cpu = 0; cpu < cpu_count; cpu++)
            if (taken_by(cpu) != before[cpu])
                return cpu;
        __asm__ volatile("wfe");
    }
    return cpu_count;
}

static unsigned spi_goes_to(u64 target) {
    unsigned before[MAX_CPUS];
    begin();
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        before[cpu] = taken_by(cpu);
    gic_route(SPI, target);
    gic_write_bit(GICD_ISPENDR, SPI);
    return who_took(before);
}

static unsigned sum_taken(void) {
    unsigned sum = 0;
    for (unsigned cpu = 1; cpu < cpu_count; cpu++)
        sum += taken[cpu];
    return sum;
}

static bool others_take(unsigned count) {
    unsigned before = sum_taken();
    write_sysreg(icc_sgi1r_el1, SGI_ALL_OTHERS | (u64)A << 24);
    isb();
    for (u64 start = virtual_count(); us_of_ticks(virtual_count() - start) < 1000000;) {
        if (sum_taken() - before == count)
            return true;
        __asm__ volatile("wfe");
    }
    return false;
}

static void routing(void) {
    begin();
    gic_set_edge(SPI, true);
    gic_enable(SPI, 0x80);
    for (unsigned cpu = 1; cpu < cpu_count; cpu++) {
        unsigned before = ready;
        if (start_cpu(cpu, other_cpu) != PSCI_SUCCESS) {
            fail("CPU_ON", "CPU %u does not start", cpu);
            return;
        }
        wait_until(ready != before);
    }
    unsigned wrong = 0;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned cpu = 0; cpu < cpu_count; cpu++)
            wrong += spi_goes_to(cpu_mpidr[cpu]) != cpu;
    check_equal("IROUTER: an SPI goes to the CPU it names", wrong, 0);
    check("IROUTER: any one CPU", spi_goes_to(GICD_IROUTER_ANY) < cpu_count);
    begin();
    gic_route(SPI, 0xff00fffffful);
    gic_write_bit(GICD_ISPENDR, SPI);
    check_began("IROUTER: an affinity that no CPU has", 0, 0, 0);
    check("IROUTER: it stays pending", gic_bit(GICD_ISPENDR, SPI));
    gic_route(SPI, affinity());
    check_began("IROUTER: and is taken where it is routed to next", SPI, 0, 0);
    gic_disable(SPI);

    begin();
    check("SGI to all the others: each takes one", others_take(cpu_count - 1));
    check_began("SGI to all the others: not to the sender", 0, 0, 0);
    write_sysreg(icc_sgi1r_el1, SGI_ALL_OTHERS | (u64)STOP << 24);
    isb();
    unsigned off = 0;
    for (unsigned cpu = 1; cpu < cpu_count; cpu++) {
        while (affinity_info(cpu) != PSCI_OFF) {
        }
        off++;
    }
    check_equal("the others switched off", off, cpu_count - 1);
}

void main(const void *fdt) {
    find_cpus(fdt);
    print("gic: %u CPUs\n", cpu_count);
    gic_init();
    gic_init_cpu();
    on_exception = on_interrupt;
    identification();
    one_sgi();
    priorities();
    preemption();
    binary_points();
    priority_mask();
    eoi_modes();
    software_state();
    level_and_edge();
    groups();
    routing();
    summary("gic");
}
