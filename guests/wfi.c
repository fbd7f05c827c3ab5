/* wfi: WFI sleeps until an interrupt is pending, masked or not (Arm ARM D1.6.2), sleeps as long as the timer says, and
 * costs nothing meanwhile; with several CPUs, an SGI wakes the one it is for. */
#include "interrupts/cpus.h"
#include "interrupts/gic.h"
#include "interrupts/timer.h"

#define SGI 1u
#define wfi() __asm__ volatile("dsb sy\n\twfi" ::: "memory")

static volatile unsigned taken[MAX_CPUS];

static bool on_interrupt(struct frame *frame) {
    if (frame->vector != IRQ_VECTOR)
        return false;
    u32 intid = gic_acknowledge();
    if (intid == VIRTUAL_TIMER_INTID)
        write_sysreg(cntv_ctl_el0, 0);
    if (intid == PHYSICAL_TIMER_INTID)
        write_sysreg(cntp_ctl_el0, 0);
    taken[this_cpu()]++;
    gic_end(intid);
    return true;
}

static void arm_virtual(u64 microseconds) {
    write_sysreg(cntv_cval_el0, virtual_count() + ticks_of_us(microseconds));
    write_sysreg(cntv_ctl_el0, CTL_ENABLE);
    isb();
}

static void arm_physical(u64 microseconds) {
    write_sysreg(cntp_cval_el0, physical_count() + ticks_of_us(microseconds));
    write_sysreg(cntp_ctl_el0, CTL_ENABLE);
    isb();
}

/* One sleep of `count` times `microseconds`; how long it took, in microseconds. WFI may end early (it is a hint), so
 * the timer's own word ends it. */
static u64 sleep_masked(void (*arm)(u64), u32 intid, unsigned count, u64 microseconds) {
    u64 start = virtual_count();
    for (unsigned i = 0; i < count; i++) {
        arm(microseconds);
        while (!gic_bit(GICD_ISPENDR, intid))
            wfi();
        write_sysreg(cntv_ctl_el0, 0);
        write_sysreg(cntp_ctl_el0, 0);
        isb();
    }
    return us_of_ticks(virtual_count() - start);
}

static u64 sleep_unmasked(unsigned count, u64 microseconds) {
    u64 start = virtual_count();
    for (unsigned i = 0; i < count; i++) {
        unsigned before = taken[0];
        arm_virtual(microseconds);
        while (taken[0] == before) { /* masked between the look and the sleep, so that no interrupt slips between */
            wfi();
            irq_unmask();
            irq_mask();
        }
    }
    return us_of_ticks(virtual_count() - start);
}

static u64 slept_in_all;

/* Never shorter; how much longer is up to the host, and what check_total() adds up. */
static void check_slept(const char *name, u64 slept, u64 due) {
    print("NOTE %s: %lu us of %lu\n", name, slept, due);
    slept_in_all += slept;
    if (slept >= due && slept < 2 * due)
        pass("%s", name);
    else
        fail(name, "%lu us instead of %lu", slept, due);
}

static void check_total(void) {
    if (slept_in_all >= 2000000 && slept_in_all <= 2050000)
        pass("2 s in all take 2.00 to 2.05 s");
    else
        fail("2 s in all", "%lu us", slept_in_all);
}

static void sleeps(void) {
    check_slept("1 s in one sleep, interrupts masked", sleep_masked(arm_virtual, VIRTUAL_TIMER_INTID, 1, 1000000),
                1000000);
    check_equal("masked: no interrupt was taken", taken[0], 0);
    check_slept("0.5 s by the physical timer", sleep_masked(arm_physical, PHYSICAL_TIMER_INTID, 1, 500000), 500000);
    unsigned before = taken[0];
    check_slept("0.5 s in sleeps of 100 ms, interrupts taken", sleep_unmasked(5, 100000), 500000);
    check_equal("taken: once for each sleep", taken[0] - before, 5);
    check_total();
}

/* What is pending already keeps WFI from sleeping at all; a timer at 5 s is there to end the test if it does. */
static void pending_does_not_sleep(void) {
    arm_virtual(5000000);
    u64 start = virtual_count();
    gic_send(affinity(), SGI);
    for (unsigned i = 0; i < 100; i++)
        wfi();
    u64 took = us_of_ticks(virtual_count() - start);
    write_sysreg(cntv_ctl_el0, 0);
    check("a pending SGI: 100 WFIs don't sleep", took < 1000000);
    irq_unmask();
    irq_mask();

    write_sysreg(cntv_cval_el0, virtual_count());
    write_sysreg(cntv_ctl_el0, CTL_ENABLE);
    arm_physical(5000000);
    start = virtual_count();
    for (unsigned i = 0; i < 100; i++)
        wfi();
    took = us_of_ticks(virtual_count() - start);
    write_sysreg(cntv_ctl_el0, 0);
    write_sysreg(cntp_ctl_el0, 0);
    isb();
    check("an expired timer: 100 WFIs don't sleep", took < 1000000);
}

/* A disabled interrupt is none: the timer at 200 ms ends the sleep. */
static void no_interrupt_to_wake(void) {
    gic_disable(SGI);
    gic_send(affinity(), SGI);
    u64 slept = sleep_masked(arm_virtual, VIRTUAL_TIMER_INTID, 1, 200000);
    check_slept("a disabled SGI that is pending: sleeps on", slept, 200000);
    gic_enable(SGI, 0x80);
    irq_unmask();
    irq_mask();
}

static volatile unsigned ready, wanted;
static volatile bool stopping;

static void other_cpu(unsigned index) {
    gic_init_cpu();
    gic_enable(SGI, 0x80);
    publish(&ready, index);
    while (!stopping) {
        wfi();
        irq_unmask();
        irq_mask();
        publish(&wanted, taken[index]);
    }
}

/* Each CPU in turn sleeps, and is woken 20 times. */
static void woken_by_another(void) {
    unsigned good = 0;
    for (unsigned cpu = 1; cpu < cpu_count; cpu++) {
        wanted = 0, stopping = false;
        if (start_cpu(cpu, other_cpu) != PSCI_SUCCESS)
            continue;
        wait_until(load_acquire(&ready) == cpu);
        for (unsigned n = 1; n <= 20; n++) {
            stopping = n == 20;
            gic_send(cpu_mpidr[cpu], SGI);
            wait_until(load_acquire(&wanted) >= n);
        }
        while (affinity_info(cpu) != PSCI_OFF) {
        }
        good += taken[cpu] == 20;
    }
    check_equal("an SGI wakes each other CPU", good, cpu_count - 1);
}

/* All CPUs asleep: the machine sleeps as well. */
static void sleeper(unsigned index) {
    gic_init_cpu();
    gic_enable(SGI, 0x80);
    publish(&ready, index);
    while (!stopping) {
        wfi();
        irq_unmask();
        irq_mask();
    }
}

static void all_asleep(void) {
    stopping = false;
    for (unsigned cpu = 1; cpu < cpu_count; cpu++) {
        start_cpu(cpu, sleeper);
        wait_until(load_acquire(&ready) == cpu);
    }
    check_slept("0.5 s with every CPU asleep", sleep_masked(arm_virtual, VIRTUAL_TIMER_INTID, 1, 500000), 500000);
    stopping = true;
    write_sysreg(icc_sgi1r_el1, SGI_ALL_OTHERS | (u64)SGI << 24);
    isb();
    for (unsigned cpu = 1; cpu < cpu_count; cpu++)
        while (affinity_info(cpu) != PSCI_OFF) {
        }
    pass("the others woke up and are off");
}

void main(const void *fdt) {
    find_cpus(fdt);
    print("wfi: %u CPUs\n", cpu_count);
    gic_init();
    gic_init_cpu();
    gic_enable(SGI, 0x80);
    gic_enable(VIRTUAL_TIMER_INTID, 0x80);
    gic_enable(PHYSICAL_TIMER_INTID, 0x80);
    on_exception = on_interrupt;
    sleeps();
    pending_does_not_sleep();
    no_interrupt_to_wake();
    woken_by_another();
    all_asleep();
    summary("wfi");
}
