/* preempt: the timer interrupts a busy loop on time, at EL1 and at EL0, and nothing of the loop's state is lost; two
 * tasks at EL0 that never give up the CPU share it. With several CPUs, every CPU is interrupted. */
#include "interrupts/cpus.h"
#include "interrupts/gic.h"
#include "interrupts/timer.h"

#define PERIOD_US 10000u
#define TICKS 50u
#define SEED 0x1122334455000000ul

u64 busy(const volatile u64 *stop, volatile u64 *turns, u64 seed);
void spoil_fp(void);
void fp_save(u64 *area);
void fp_load(const u64 *area);

struct ticker {
    volatile u64 stop, turns;
    volatile unsigned ticks, early, stuck; /* stuck: no round of the loop between two ticks */
    u64 deadline, last_turns;
    volatile u64 late; /* the longest, in counts */
    unsigned limit, wrong_vectors;
    u64 vector;
};
static struct ticker tickers[MAX_CPUS];
static u64 fp_areas[MAX_CPUS][66] __attribute__((aligned(16)));

/* Two tasks at EL0; the frame of the one that waits. */
static struct task {
    struct frame frame;
    u64 fp[66] __attribute__((aligned(16)));
    volatile u64 turns;
    u64 stack[64] __attribute__((aligned(16)));
} tasks[2];
static unsigned running; /* of the tasks */
static bool tasking;

static void arm(struct ticker *ticker, u64 deadline) {
    ticker->deadline = deadline;
    write_sysreg(cntv_cval_el0, deadline);
    write_sysreg(cntv_ctl_el0, CTL_ENABLE);
    isb();
}

static void switch_tasks(struct frame *frame) {
    fp_save(tasks[running].fp);
    tasks[running].frame = *frame;
    running ^= 1;
    u64 sp = frame->sp;
    *frame = tasks[running].frame;
    frame->sp = sp;
    fp_load(tasks[running].fp);
}

static bool on_tick(struct frame *frame) {
    struct ticker *ticker = &tickers[this_cpu()];
    if (frame->vector != ticker->vector)
        return false;
    u32 intid = gic_acknowledge();
    u64 count = virtual_count();
    ticker->early += intid != VIRTUAL_TIMER_INTID || count < ticker->deadline;
    if (count > ticker->deadline && count - ticker->deadline > ticker->late)
        ticker->late = count - ticker->deadline;
    if (!tasking)
        ticker->stuck += ticker->turns == ticker->last_turns;
    ticker->last_turns = ticker->turns;
    u64 *area = fp_areas[this_cpu()];
    fp_save(area);
    spoil_fp();
    fp_load(area);
    if (++ticker->ticks < ticker->limit) {
        arm(ticker, ticker->deadline + ticks_of_us(PERIOD_US));
    } else {
        write_sysreg(cntv_ctl_el0, 0);
        ticker->stop = 1;
    }
    gic_end(intid);
    if (tasking)
        switch_tasks(frame);
    return true;
}

static void prepare(struct ticker *ticker, u64 vector, unsigned limit) {
    *ticker = (struct ticker){.vector = vector, .limit = limit};
    arm(ticker, virtual_count() + ticks_of_us(PERIOD_US));
}

static void check_ticks(const char *name, const struct ticker *ticker, u64 microseconds) {
    print("NOTE %s: %u interrupts in %lu ms, at most %lu us late\n", name, ticker->ticks, microseconds / 1000,
          us_of_ticks(ticker->late));
    if (ticker->ticks == ticker->limit && !ticker->early)
        pass("%s: interrupted every 10 ms, never early", name);
    else
        fail(name, "%u interrupts, %u early", ticker->ticks, ticker->early);
    /* A deadline that passes before the one ahead of it is handled does not count as progress. */
    if (ticker->stuck * 4 < ticker->limit)
        pass("%s: the loop goes on between them", name);
    else
        fail(name, "no progress between %u of them", ticker->stuck);
    u64 due = (u64)ticker->limit * PERIOD_US;
    if (microseconds >= due && microseconds < due + due / 2)
        pass("%s: all on time", name);
    else
        fail(name, "%lu us", microseconds);
}

static void at_el1(void) {
    struct ticker *ticker = &tickers[0];
    u64 start = virtual_count();
    prepare(ticker, IRQ_VECTOR, TICKS);
    irq_unmask();
    u64 wrong = busy(&ticker->stop, &ticker->turns, SEED);
    irq_mask();
    check_ticks("EL1", ticker, us_of_ticks(virtual_count() - start));
    check_equal("EL1: general and FP registers kept", wrong, 0);
}

static void at_el0(void) {
    struct ticker *ticker = &tickers[0];
    u64 start = virtual_count();
    prepare(ticker, IRQ_EL0_VECTOR, TICKS);
    u64 sp = (u64)(tasks[0].stack + 64);
    /* run_at() has two arguments, and 0 in x2. */
    struct frame f = run_at(EL0t, (const void *)busy, sp, (u64)&ticker->stop, (u64)&ticker->turns);
    check_ticks("EL0", ticker, us_of_ticks(virtual_count() - start));
    check("EL0: the loop ended by itself", returned(&f));
    check_equal("EL0: general and FP registers kept", f.x[0], 0);
    check_equal("EL0: SP_EL0 kept", f.sp_el0, sp);
}

static bool finished[2];
static u64 wrong_registers[2];

/* The end of a task: the other one goes on alone, until it ends too. */
static bool on_task_end(struct frame *frame) {
    if (frame->vector != 0x400 || !returned(frame))
        return on_tick(frame);
    finished[running] = true;
    wrong_registers[running] = frame->x[0];
    if (finished[running ^ 1])
        return false;
    switch_tasks(frame);
    return true;
}

static void two_tasks(void) {
    struct ticker *ticker = &tickers[0];
    for (unsigned i = 0; i < 2; i++) {
        struct frame *frame = &tasks[i].frame;
        frame->elr = (u64)busy, frame->spsr = EL0t, frame->sp_el0 = (u64)(tasks[i].stack + 64);
        frame->x[0] = (u64)&ticker->stop, frame->x[1] = (u64)&tasks[i].turns, frame->x[2] = SEED * (i + 1);
        frame->x[30] = (u64)user_return;
    }
    on_exception = on_task_end;
    u64 start = virtual_count();
    prepare(ticker, IRQ_EL0_VECTOR, TICKS);
    tasking = true;
    struct frame f = run_at(EL0t, (const void *)busy, tasks[0].frame.sp_el0, (u64)&ticker->stop, (u64)&tasks[0].turns);
    tasking = false;
    on_exception = on_tick;
    check_ticks("two tasks", ticker, us_of_ticks(virtual_count() - start));
    check("two tasks: both ended", finished[0] && finished[1] && returned(&f));
    check_equal("two tasks: registers of the first kept", wrong_registers[0], 0);
    check_equal("two tasks: registers of the second kept", wrong_registers[1], 0);
    u64 a = tasks[0].turns, b = tasks[1].turns;
    print("NOTE two tasks: %lu and %lu rounds\n", a, b);
    check("two tasks: each had its share", a > (a + b) / 5 && b > (a + b) / 5);
}

/* Several CPUs at once; on a host with fewer, deadlines are late, but none is lost. */
#define OTHERS_TICKS 20u
static volatile unsigned others_done;
static volatile u64 others_wrong;

static void other_cpu(unsigned index) {
    struct ticker *ticker = &tickers[index];
    gic_init_cpu();
    gic_enable(VIRTUAL_TIMER_INTID, 0x80);
    prepare(ticker, IRQ_VECTOR, OTHERS_TICKS);
    irq_unmask();
    others_wrong += busy(&ticker->stop, &ticker->turns, SEED * index);
    irq_mask();
    publish(&others_done, others_done + 1);
}

static void on_every_cpu(void) {
    u64 start = virtual_count();
    unsigned ticks = 0, early = 0;
    for (unsigned cpu = 1; cpu < cpu_count; cpu++)
        start_cpu(cpu, other_cpu);
    while (others_done < cpu_count - 1 && us_of_ticks(virtual_count() - start) < 10000000) {
    }
    for (unsigned cpu = 1; cpu < cpu_count; cpu++) {
        ticks += tickers[cpu].ticks;
        early += tickers[cpu].early;
    }
    check_equal("every other CPU is interrupted", ticks, OTHERS_TICKS * (cpu_count - 1));
    check_equal("every other CPU: never early", early, 0);
    check_equal("every other CPU: registers kept", others_wrong, 0);
}

void main(const void *fdt) {
    find_cpus(fdt);
    print("preempt: %u CPUs\n", cpu_count);
    gic_init();
    gic_init_cpu();
    gic_enable(VIRTUAL_TIMER_INTID, 0x80);
    on_exception = on_tick;
    at_el1();
    at_el0();
    two_tasks();
    on_every_cpu();
    summary("preempt");
}
