/* timer: the virtual and the physical timer (Arm ARM D11.2): compare values, ISTATUS, masking, interrupts that never
 * come early, access from EL0; with several CPUs, each CPU's own timer. */
#include "interrupts/timer.h"
#include "interrupts/cpus.h"
#include "interrupts/gic.h"

struct timer {
    const char *name;
    u32 intid;
    u64 (*count)(void);
    u64 (*ctl)(void), (*cval)(void), (*tval)(void);
    void (*set_ctl)(u64), (*set_cval)(u64), (*set_tval)(u64);
};

#define ACCESSORS(t, reg)                                                                                              \
    static u64 t##_##reg(void) {                                                                                       \
        isb();                                                                                                         \
        return read_sysreg(cnt##t##_##reg##_el0);                                                                      \
    }                                                                                                                  \
    static void t##_set_##reg(u64 value) {                                                                             \
        write_sysreg(cnt##t##_##reg##_el0, value);                                                                     \
        isb();                                                                                                         \
    }
ACCESSORS(v, ctl) ACCESSORS(v, cval) ACCESSORS(v, tval) ACCESSORS(p, ctl) ACCESSORS(p, cval) ACCESSORS(p, tval)
#define TIMER(name, t, intid, count)                                                                                   \
    { name, intid, count, t##_ctl, t##_cval, t##_tval, t##_set_ctl, t##_set_cval, t##_set_tval }
static const struct timer virtual_timer = TIMER("virtual", v, VIRTUAL_TIMER_INTID, virtual_count);
static const struct timer physical_timer = TIMER("physical", p, PHYSICAL_TIMER_INTID, physical_count);

/* The timer whose interrupt is expected on each CPU, and the counts at which it came. */
static const struct timer *volatile armed[MAX_CPUS];
static volatile unsigned taken[MAX_CPUS], early[MAX_CPUS], wrong_intid;
static volatile u64 late[MAX_CPUS]; /* ticks */
static unsigned leave_on;           /* how often to leave the timer as it is, so that it interrupts again */

static bool on_interrupt(struct frame *frame) {
    if (frame->vector != IRQ_VECTOR)
        return false;
    unsigned cpu = this_cpu();
    u32 intid = gic_acknowledge();
    const struct timer *timer = armed[cpu];
    if (!timer || intid != timer->intid) {
        wrong_intid++;
        virtual_timer.set_ctl(0);
        physical_timer.set_ctl(0);
    } else {
        u64 count = timer->count(), deadline = timer->cval();
        early[cpu] += count < deadline;
        if (count > deadline && count - deadline > late[cpu])
            late[cpu] = count - deadline;
        taken[cpu]++;
        if (leave_on)
            leave_on--;
        else
            timer->set_ctl(0);
    }
    gic_end(intid);
    return true;
}

static const struct timer *now; /* whose checks these are: for the names */

static void result(const char *name, bool good) {
    if (good)
        pass("%s: %s", now->name, name);
    else
        fail(now->name, "%s", name);
}

static void count_is_monotonic(void) {
    unsigned backwards = 0;
    u64 first = now->count(), last = first;
    for (unsigned i = 0; i < 10000; i++) {
        u64 next = now->count();
        backwards += next < last;
        last = next;
    }
    result("the count never goes back", !backwards);
    result("the count goes on", last > first);
}

static void registers(void) {
    now->set_ctl(CTL_IMASK);
    now->set_cval(0x123456789abcdef0);
    result("CVAL keeps 64 bits", now->cval() == 0x123456789abcdef0);
    result("CTL keeps IMASK", (now->ctl() & 3) == CTL_IMASK);
    u64 before = now->count();
    now->set_tval(1000000);
    u64 after = now->count(), cval = now->cval();
    result("TVAL sets CVAL ahead of the count", cval >= before + 1000000 && cval <= after + 1000000);
    u64 tval = now->tval(), later = now->tval();
    result("TVAL counts down, disabled too", tval <= 1000000 && later <= tval);
    before = now->count();
    now->set_tval(0xfffffc18); /* -1000 */
    after = now->count(), cval = now->cval();
    result("a negative TVAL sets CVAL behind the count", cval >= before - 1000 && cval <= after - 1000);
    result("TVAL reads negative, 32 bits", bits(now->tval(), 63, 31) == 1);
}

/* With IMASK: the condition is seen and no interrupt is. */
static void polled(void) {
    u64 deadline = now->count() + ticks_of_us(2000);
    now->set_cval(deadline);
    now->set_ctl(CTL_ENABLE | CTL_IMASK);
    unsigned early_status = 0, pending = 0;
    u64 count;
    while (!(now->ctl() & CTL_ISTATUS)) {
        pending += gic_bit(GICD_ISPENDR, now->intid);
        if (now->count() > deadline + ticks_of_us(1000000))
            break;
    }
    count = now->count();
    early_status += count < deadline;
    result("ISTATUS is set", now->ctl() == (CTL_ENABLE | CTL_IMASK | CTL_ISTATUS));
    result("ISTATUS is not early", !early_status);
    print("NOTE %s: ISTATUS seen %lu us after the deadline\n", now->name, us_of_ticks(count - deadline));
    result("IMASK keeps the interrupt away", !pending && !gic_bit(GICD_ISPENDR, now->intid));
    now->set_cval(now->count() + ticks_of_us(10000000));
    result("a later CVAL clears ISTATUS", !(now->ctl() & CTL_ISTATUS));
    now->set_tval((u64)-1);
    result("a negative TVAL sets ISTATUS at once", now->ctl() & CTL_ISTATUS);
    now->set_ctl(CTL_ENABLE);
    result("without IMASK the interrupt is pending", gic_bit(GICD_ISPENDR, now->intid));
    now->set_ctl(CTL_ENABLE | CTL_IMASK);
    result("IMASK takes it back", !gic_bit(GICD_ISPENDR, now->intid));
    now->set_ctl(CTL_ENABLE);
    now->set_cval(~0ul);
    result("a later CVAL takes it back", !gic_bit(GICD_ISPENDR, now->intid));
    now->set_cval(0);
    result("CVAL 0 has long passed", gic_bit(GICD_ISPENDR, now->intid));
    now->set_ctl(0);
    result("disabled takes it back", !gic_bit(GICD_ISPENDR, now->intid));
}

/* A second at most for `count` interrupts on this CPU. */
static bool wait_taken(unsigned count) {
    unsigned cpu = this_cpu();
    for (u64 start = virtual_count(); taken[cpu] < count;)
        if (us_of_ticks(virtual_count() - start) > 1000000)
            return false;
    return true;
}

static void interrupts(void) {
    unsigned cpu = this_cpu();
    static const u32 intervals[] = {100, 500, 1000, 2000, 5000, 10000, 20000};
    const unsigned n = sizeof intervals / sizeof *intervals;
    armed[cpu] = now;
    taken[cpu] = early[cpu] = 0, late[cpu] = 0;
    irq_unmask();
    bool all = true;
    for (unsigned i = 0; i < n; i++) {
        now->set_tval(ticks_of_us(intervals[i]));
        now->set_ctl(CTL_ENABLE);
        all &= wait_taken(i + 1);
    }
    result("interrupts after 100 us to 20 ms, each once", all && taken[cpu] == n);
    result("none of them early", !early[cpu]);
    print("NOTE %s: interrupts at most %lu us late\n", now->name, us_of_ticks(late[cpu]));
    leave_on = 4;
    now->set_cval(now->count());
    now->set_ctl(CTL_ENABLE);
    result("a level: again until it is disabled", wait_taken(n + 5) && taken[cpu] == n + 5);
    now->set_cval(now->count() + ticks_of_us(20000));
    now->set_ctl(CTL_ENABLE);
    now->set_ctl(0);
    u64 end = now->count() + ticks_of_us(30000);
    while (now->count() < end) {
    }
    result("disabled before the deadline: none", taken[cpu] == n + 5);
    now->set_cval(now->count());
    now->set_ctl(CTL_ENABLE | CTL_IMASK);
    isb();
    bool none = taken[cpu] == n + 5;
    now->set_ctl(CTL_ENABLE);
    result("unmasked after the deadline: at once", none && wait_taken(n + 6));
    irq_mask();
    armed[cpu] = NULL;
}

/* Both at once: neither hides the other, and the earlier comes first unless the host kept both waiting. */
static u32 order[2];
static volatile unsigned ordered;
static u64 second_deadline;
static bool kept_waiting;
static bool on_both(struct frame *frame) {
    if (frame->vector != IRQ_VECTOR)
        return false;
    u32 intid = gic_acknowledge();
    (intid == virtual_timer.intid ? &virtual_timer : &physical_timer)->set_ctl(0);
    if (ordered == 0)
        kept_waiting = virtual_count() >= second_deadline;
    if (ordered < 2)
        order[ordered] = intid;
    ordered++;
    gic_end(intid);
    return true;
}

static bool in_order(const struct timer *first, const struct timer *second) {
    ordered = 0;
    first->set_tval(ticks_of_us(2000));
    second_deadline = virtual_count() + ticks_of_us(5000);
    second->set_tval(ticks_of_us(5000));
    second->set_ctl(CTL_ENABLE);
    first->set_ctl(CTL_ENABLE);
    irq_unmask();
    u64 end = virtual_count() + ticks_of_us(1000000);
    while (ordered < 2 && virtual_count() < end) {
    }
    irq_mask();
    return ordered == 2 && order[0] != order[1] && (order[0] == first->intid || kept_waiting);
}

static void both(void) {
    on_exception = on_both;
    check("both armed: virtual, then physical", in_order(&virtual_timer, &physical_timer));
    check("both armed: physical, then virtual", in_order(&physical_timer, &virtual_timer));
}

/* --- EL0 (D11.2 and CNTKCTL_EL1) -------------------------------------------------------------------------------- */

enum { PCTEN = 1, VCTEN = 2, VTEN = 1 << 8, PTEN = 1 << 9 };
#define FUNCTION(name) extern const char user_read_##name##_el0[], user_write_##name##_el0[];
FUNCTION(cntfrq) FUNCTION(cntvct) FUNCTION(cntpct) FUNCTION(cntv_ctl) FUNCTION(cntv_cval) FUNCTION(cntv_tval)
FUNCTION(cntp_ctl) FUNCTION(cntp_cval) FUNCTION(cntp_tval)

/* ISS of a trapped MRS (1) or MSR (0) of S3_3_C14_C<crm>_<op2> with x0 */
#define ISS(crm, op2, is_read) (3u << 20 | (op2) << 17 | 3u << 14 | 14u << 10 | (crm) << 1 | (is_read))
#define READ(name, crm, op2, needs) {user_read_##name##_el0, needs, ISS(crm, op2, 1)}
#define WRITE(name, crm, op2, needs) {user_write_##name##_el0, needs, ISS(crm, op2, 0)}
static const struct access {
    const char *code;
    u32 needs; /* any of these bits of CNTKCTL_EL1 */
    u32 iss;
} accesses[] = {
    READ(cntfrq, 0, 0, PCTEN | VCTEN), READ(cntpct, 0, 1, PCTEN),   READ(cntvct, 0, 2, VCTEN),
    READ(cntp_tval, 2, 0, PTEN),       READ(cntp_ctl, 2, 1, PTEN),  READ(cntp_cval, 2, 2, PTEN),
    READ(cntv_tval, 3, 0, VTEN),       READ(cntv_ctl, 3, 1, VTEN),  READ(cntv_cval, 3, 2, VTEN),
    WRITE(cntp_tval, 2, 0, PTEN),      WRITE(cntp_ctl, 2, 1, PTEN), WRITE(cntp_cval, 2, 2, PTEN),
    WRITE(cntv_tval, 3, 0, VTEN),      WRITE(cntv_ctl, 3, 1, VTEN), WRITE(cntv_cval, 3, 2, VTEN),
};

static unsigned wrong_accesses(u32 cntkctl) {
    unsigned wrong = 0;
    write_sysreg(cntkctl_el1, cntkctl);
    isb();
    for (unsigned i = 0; i < sizeof accesses / sizeof *accesses; i++) {
        const struct access *access = &accesses[i];
        struct frame f = run_at(SPSR_DAIF | EL0t, access->code, 0, 0, 0);
        bool allowed = cntkctl & access->needs;
        bool trapped = ESR_EC(f.esr) == 0x18 && ESR_ISS(f.esr) == access->iss && f.elr == (u64)access->code &&
                       f.vector == 0x400;
        if (allowed ? !returned(&f) : !trapped) {
            print("  CNTKCTL_EL1 0x%x: access %u, ESR_EL1 0x%lx\n", cntkctl, i, f.esr);
            wrong++;
        }
    }
    return wrong;
}

static void from_el0(void) {
    on_exception = NULL;
    check_equal("EL0: CNTKCTL_EL1 = 0 traps every access", wrong_accesses(0), 0);
    check_equal("EL0: EL0VCTEN", wrong_accesses(VCTEN), 0);
    check_equal("EL0: EL0PCTEN", wrong_accesses(PCTEN), 0);
    check_equal("EL0: EL0VTEN", wrong_accesses(VTEN), 0);
    check_equal("EL0: EL0PTEN", wrong_accesses(PTEN), 0);
    check_equal("EL0: all of them", wrong_accesses(PCTEN | VCTEN | VTEN | PTEN), 0);
    virtual_timer.set_cval(5);
    struct frame f = run_at(SPSR_DAIF | EL0t, user_write_cntv_cval_el0, 0, 0x1234, 0);
    check("EL0: a write arrives", returned(&f) && virtual_timer.cval() == 0x1234);
    write_sysreg(cntkctl_el1, 0);
    f = run_at(SPSR_DAIF | EL0t, user_write_cntv_cval_el0, 0, 0x5678, 0);
    check("EL0: a trapped write does not", !returned(&f) && virtual_timer.cval() == 0x1234);
    write_sysreg(cntkctl_el1, VCTEN);
    isb();
    u64 before = virtual_count();
    f = run_at(SPSR_DAIF | EL0t, user_read_cntvct_el0, 0, 0, 0);
    check("EL0: CNTVCT_EL0 is the count", f.x[0] >= before && f.x[0] <= virtual_count());
    write_sysreg(cntkctl_el1, 0);
}

/* --- several CPUs ----------------------------------------------------------------------------------------------- */

static volatile unsigned done;
#define ROUNDS 5u

static void other_cpu(unsigned index) {
    gic_init_cpu();
    gic_enable(VIRTUAL_TIMER_INTID, 0x80);
    armed[index] = &virtual_timer;
    irq_unmask();
    for (unsigned round = 1; round <= ROUNDS; round++) {
        virtual_timer.set_tval(ticks_of_us(1000 * index));
        virtual_timer.set_ctl(CTL_ENABLE);
        wait_taken(round);
    }
    irq_mask();
    publish(&done, index);
}

static void on_every_cpu(void) {
    unsigned good = 0;
    on_exception = on_interrupt;
    for (unsigned cpu = 1; cpu < cpu_count; cpu++) {
        taken[cpu] = early[cpu] = 0;
        start_cpu(cpu, other_cpu);
        wait_until(load_acquire(&done) == cpu);
        good += taken[cpu] == ROUNDS && !early[cpu];
    }
    check_equal("each other CPU's timer interrupts that CPU", good, cpu_count - 1);
    check_equal("no interrupt was another's", wrong_intid, 0);
}

void main(const void *fdt) {
    find_cpus(fdt);
    print("timer: %u CPUs, CNTFRQ_EL0 %lu Hz\n", cpu_count, read_sysreg(cntfrq_el0));
    check("CNTFRQ_EL0 says a frequency", read_sysreg(cntfrq_el0) >= 1000000);
    gic_init();
    gic_init_cpu();
    gic_enable(VIRTUAL_TIMER_INTID, 0x80);
    gic_enable(PHYSICAL_TIMER_INTID, 0x80);
    for (unsigned i = 0; i < 2; i++) {
        now = i ? &physical_timer : &virtual_timer;
        on_exception = on_interrupt;
        count_is_monotonic();
        registers();
        polled();
        interrupts();
    }
    both();
    from_el0();
    on_every_cpu();
    summary("timer");
}
