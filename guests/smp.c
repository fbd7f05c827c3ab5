/* smp: several CPUs under one MMU configuration: PSCI starts and stops them; atomic counters, SGIs between any two, a
 * ticket lock, code that one CPU patches and the others execute, a page that one remaps and the others read, WFE and
 * SEV. All CPUs go through the same parts; CPU 0 prints. */
#include "interrupts/cpus.h"
#include "interrupts/gic.h"
#include "mmu.h"

#define TIMES 10000u
#define SGI_ROUNDS 10u
#define ROUNDS 32u
#define REMAPPED_VA 0x0000000200000000ul
#define PAGE 0x1000ul
#define CALL_SGI 15u

void ticket_lock(u32 *lock);
void ticket_lock_lse(u32 *lock);
void ticket_unlock(u32 *lock);
typedef u64 adder(u64 *counter, u64 addend);
adder add_exclusive, add_pair, add_ldadd, add_cas, add_swp;

static struct space space;
static bool has_lse;

/* --- all CPUs meet ---------------------------------------------------------------------------------------------- */

static u64 arrived;
static unsigned meetings[MAX_CPUS];

static void meet(void) {
    unsigned meeting = ++meetings[this_cpu()];
    add_exclusive(&arrived, 1);
    __asm__ volatile("dsb ish\n\tsev" ::: "memory");
    wait_until(load_acquire(&arrived) >= (u64)meeting * cpu_count);
}

/* --- counters and locks ----------------------------------------------------------------------------------------- */

static u64 own_count[MAX_CPUS], counter[2] __attribute__((aligned(16)));
static volatile u64 guarded; /* by the lock: neither load nor store is atomic with the other */
static u32 lock;

static void part_count(unsigned cpu) {
    for (unsigned i = 0; i < TIMES; i++)
        ((volatile u64 *)own_count)[cpu]++;
}

static void add_times(adder *add) {
    for (unsigned i = 0; i < TIMES; i++)
        add(counter, 1);
}

static void part_exclusive(unsigned cpu) {
    (void)cpu;
    add_times(add_exclusive);
}

static void part_pair(unsigned cpu) {
    (void)cpu;
    add_times(add_pair);
}

static void part_ldadd(unsigned cpu) {
    (void)cpu;
    add_times(add_ldadd);
}

static void part_cas(unsigned cpu) {
    (void)cpu;
    add_times(add_cas);
}

static void part_swp(unsigned cpu) {
    (void)cpu;
    add_times(add_swp);
}

static void part_lock(unsigned cpu) {
    (void)cpu;
    for (unsigned i = 0; i < TIMES; i++) {
        ticket_lock(&lock);
        guarded = guarded + 1;
        ticket_unlock(&lock);
    }
}

static void part_lock_lse(unsigned cpu) {
    (void)cpu;
    for (unsigned i = 0; i < TIMES; i++) {
        ticket_lock_lse(&lock);
        guarded = guarded + 1;
        ticket_unlock(&lock);
    }
}

/* --- SGIs ------------------------------------------------------------------------------------------------------- */

static volatile u32 heard[MAX_CPUS][16];
static u64 (*const code)(void) = (u64(*)(void))FREE_RAM; /* patched by CPU 0 */
static u64 called[MAX_CPUS];                             /* what it returned to CPU n's handler */

static bool on_interrupt(struct frame *frame) {
    if (frame->vector != IRQ_VECTOR)
        return false;
    unsigned cpu = this_cpu();
    u32 intid = gic_acknowledge();
    if (intid == CALL_SGI)
        publish(&called[cpu], code());
    else if (intid < CALL_SGI)
        publish(&heard[cpu][intid], heard[cpu][intid] + 1);
    gic_end(intid);
    return true;
}

/* The senders have an INTID each, as far as there are enough. */
static void part_sgi(unsigned cpu) {
    irq_unmask();
    for (unsigned round = 0; round < SGI_ROUNDS; round++)
        for (unsigned other = 0; other < cpu_count; other++) {
            if (other == cpu)
                continue;
            u32 before = heard[other][cpu % CALL_SGI];
            gic_send(cpu_mpidr[other], cpu % CALL_SGI);
            wait_until(load_acquire(&heard[other][cpu % CALL_SGI]) != before);
        }
    meet();
    irq_mask();
}

static unsigned unheard(void) {
    unsigned wrong = 0;
    for (unsigned to = 0; to < cpu_count; to++)
        for (unsigned from = 0; from < cpu_count; from++) {
            u32 expected = from == to ? 0 : SGI_ROUNDS;
            wrong += cpu_count <= CALL_SGI && heard[to][from] != expected;
        }
    return wrong;
}

/* --- code and translations that CPU 0 changes ------------------------------------------------------------------- */

static u64 version;
static unsigned wrong_values[MAX_CPUS];

/* B2.4.4 and B2.7.4.2: write, clean, invalidate everywhere; the others execute a context synchronization event. */
static void patch(u32 value, bool by_address) {
    volatile u32 *word = (volatile u32 *)FREE_RAM;
    word[0] = 0xd2800000u | value << 5; /* movz x0, #value */
    word[1] = 0xd65f03c0u;              /* ret */
    __asm__ volatile("dc cvau, %0\n\tdsb ish" ::"r"(word) : "memory");
    if (by_address)
        __asm__ volatile("ic ivau, %0" ::"r"(word) : "memory");
    else
        __asm__ volatile("ic ialluis" ::: "memory");
    __asm__ volatile("dsb ish\n\tisb" ::: "memory");
}

static void part_patch(unsigned cpu) {
    for (u32 round = 1; round <= ROUNDS; round++) {
        if (cpu == 0) {
            patch(round, round % 2);
            publish(&version, round);
        } else {
            wait_until(load_acquire(&version) == round);
            isb();
        }
        wrong_values[cpu] += code() != round;
        meet();
    }
}

static void part_patch_by_sgi(unsigned cpu) {
    irq_unmask();
    for (u32 round = 1; cpu == 0 && round <= ROUNDS; round++) {
        patch(1000 + round, round % 2);
        for (unsigned other = 1; other < cpu_count; other++)
            gic_send(cpu_mpidr[other], CALL_SGI);
        for (unsigned other = 1; other < cpu_count; other++)
            wait_until(load_acquire(&called[other]) == 1000 + round);
    }
    meet();
    irq_mask();
}

static void invalidate(u64 va, unsigned way) {
    u64 page = va >> 12;
    __asm__ volatile("dsb ishst" ::: "memory");
    switch (way % 4) {
    case 0:
        __asm__ volatile("tlbi vae1is, %0" ::"r"(page) : "memory");
        break;
    case 1:
        __asm__ volatile("tlbi vaale1is, %0" ::"r"(page) : "memory");
        break;
    case 2:
        __asm__ volatile("tlbi aside1is, xzr" ::: "memory");
        break;
    default:
        __asm__ volatile("tlbi vmalle1is" ::: "memory");
    }
    __asm__ volatile("dsb ish\n\tisb" ::: "memory");
}

/* One of two pages by turns at the same address, break before make (D8.14.1). */
static void remap(u32 round) {
    *(volatile u64 *)entry_at(&space, REMAPPED_VA, 3) = 0;
    invalidate(REMAPPED_VA, round / 2);
    u64 page = FREE_RAM + (1 + round % 2) * PAGE;
    *(volatile u64 *)page = round;
    map(&space, REMAPPED_VA, page, 3, NORMAL | UXN | PXN | NG);
}

static void part_remap(unsigned cpu) {
    for (u32 round = 1; round <= ROUNDS; round++) {
        if (cpu == 0) {
            remap(round);
            publish(&version, round);
        } else {
            wait_until(load_acquire(&version) == round);
        }
        wrong_values[cpu] += *(volatile u64 *)REMAPPED_VA != round;
        meet();
    }
}

/* The page is gone: the others' next access must fault, whatever they had cached. Only one waits in attempt(). */
extern const char load_from[];
__asm__(".pushsection .text.load_from, \"ax\"\nload_from: ldr x0, [x0]\n ret\n.popsection");
static unsigned faults;
static void part_unmap(unsigned cpu) {
    wrong_values[cpu] += *(volatile u64 *)REMAPPED_VA != ROUNDS;
    meet();
    if (cpu == 0) {
        *(volatile u64 *)entry_at(&space, REMAPPED_VA, 3) = 0;
        invalidate(REMAPPED_VA, 0);
    }
    meet();
    ticket_lock(&lock);
    struct frame f = attempt(load_from, REMAPPED_VA, 0);
    faults += ESR_EC(f.esr) == 0x25 && bits(f.esr, 5, 0) == 7 && f.far == REMAPPED_VA;
    ticket_unlock(&lock);
}

/* --- WFE and SEV ------------------------------------------------------------------------------------------------ */

static u64 token;

static void part_ring(unsigned cpu) {
    for (u64 turn = cpu; turn < (u64)ROUNDS * cpu_count; turn += cpu_count) {
        wait_until(load_acquire(&token) == turn);
        publish(&token, turn + 1);
    }
}

/* --- the parts, in order ---------------------------------------------------------------------------------------- */

static u64 sum_of_own(void) {
    u64 sum = 0;
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        sum += own_count[cpu];
    return sum;
}

static u64 all_wrong(void) {
    u64 sum = 0;
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        sum += wrong_values[cpu];
    return sum;
}

static u64 sum_of_counter(void) { return counter[0]; }
static u64 sum_of_pair(void) { return counter[0] == counter[1] ? counter[0] : ~0ul; }
static u64 sum_guarded(void) { return guarded; }
static u64 sum_unheard(void) { return unheard(); }
static u64 none(void) { return 0; }
static u64 sum_token(void) { return token / ROUNDS; }
static u64 sum_faults(void) { return faults; }

/* A part is right when its result is `per_cpu` times the number of CPUs. */
static const struct part {
    const char *name;
    void (*run)(unsigned cpu);
    u64 (*result)(void);
    u64 per_cpu;
    bool needs_lse;
} parts[] = {
    {"each CPU counts for itself", part_count, sum_of_own, TIMES, false},
    {"LDAXR, STLXR: one counter", part_exclusive, sum_of_counter, TIMES, false},
    {"LDAXP, STLXP: two counters", part_pair, sum_of_pair, TIMES, false},
    {"LDADD: one counter", part_ldadd, sum_of_counter, TIMES, true},
    {"CAS: one counter", part_cas, sum_of_counter, TIMES, true},
    {"SWP: one counter", part_swp, sum_of_counter, TIMES, true},
    {"ticket lock by exclusives", part_lock, sum_guarded, TIMES, false},
    {"ticket lock by LDADD", part_lock_lse, sum_guarded, TIMES, true},
    {"SGIs from every CPU to every other", part_sgi, sum_unheard, 0, false},
    {"patched code is executed by all", part_patch, all_wrong, 0, false},
    {"patched code is executed by an SGI's handler", part_patch_by_sgi, none, 0, false},
    {"a remapped page is seen by all", part_remap, all_wrong, 0, false},
    {"an unmapped page faults on all", part_unmap, sum_faults, 1, false},
    {"WFE and SEV: a ring of all CPUs", part_ring, sum_token, 1, false},
};
#define PARTS (sizeof parts / sizeof *parts)

static void run_parts(unsigned cpu) {
    for (const struct part *part = parts; part < parts + PARTS; part++) {
        if (part->needs_lse && !has_lse) {
            if (cpu == 0)
                skip(part->name, "ID_AA64ISAR0_EL1.Atomics is 0");
            continue;
        }
        if (cpu == 0)
            counter[0] = counter[1] = guarded = version = 0;
        meet();
        part->run(cpu);
        meet();
        if (cpu == 0)
            check_equal(part->name, part->result(), part->per_cpu * cpu_count);
    }
}

static void enter_parts(unsigned cpu) {
    mmu_on(&space, NULL, 0);
    gic_init_cpu();
    for (u32 intid = 0; intid < 16; intid++)
        gic_enable(intid, 0x80);
    run_parts(cpu);
}

/* --- PSCI ------------------------------------------------------------------------------------------------------- */

static unsigned states(int64_t wanted) {
    unsigned count = 0;
    for (unsigned cpu = 1; cpu < cpu_count; cpu++)
        count += affinity_info(cpu) == wanted;
    return count;
}

static void wait_until_off(void) {
    while (states(PSCI_OFF) < cpu_count - 1) {
    }
}

static u32 starts[MAX_CPUS];

static void start_and_stop(unsigned cpu) {
    mmu_on(&space, NULL, 0);
    publish(&starts[cpu], starts[cpu] + 1);
}

static void start_all(const char *name, void (*function)(unsigned)) {
    unsigned started = 0;
    for (unsigned cpu = 1; cpu < cpu_count; cpu++)
        started += start_cpu(cpu, function) == PSCI_SUCCESS;
    check_equal(name, started, cpu_count - 1);
}

static void psci_states(void) {
    check_equal("AFFINITY_INFO: this CPU is on", (u64)affinity_info(0), PSCI_ON);
    check_equal("AFFINITY_INFO: the others are off", states(PSCI_OFF), cpu_count - 1);
    check_equal("CPU_ON of this CPU: ALREADY_ON", (u64)start_cpu(0, start_and_stop), (u64)PSCI_ALREADY_ON);
    u64 own = cpu_mpidr[0];
    cpu_mpidr[0] = 0xff000000fful; /* no CPU has this affinity */
    int64_t refused = start_cpu(0, start_and_stop);
    check_equal("CPU_ON of no CPU: INVALID_PARAMETERS", (u64)refused, (u64)PSCI_INVALID_PARAMETERS);
    cpu_mpidr[0] = own;
}

static void restart(void) {
    unsigned refused = 0;
    for (unsigned round = 1; round <= 5; round++)
        for (unsigned cpu = 1; cpu < cpu_count; cpu++) {
            if (start_cpu(cpu, start_and_stop) == PSCI_SUCCESS)
                wait_until(load_acquire(&starts[cpu]) == round);
            else
                refused++;
            while (affinity_info(cpu) != PSCI_OFF) {
            }
        }
    check_equal("CPU_ON after CPU_OFF, five times", refused, 0);
}

void main(const void *fdt) {
    find_cpus(fdt);
    print("smp: %u CPUs\n", cpu_count);
    has_lse = bits(read_sysreg(id_aa64isar0_el1), 23, 20) != 0;
    space = new_space(GRANULE_4K, 39);
    map_guest(&space);
    for (u64 pa = GICD_BASE; pa < GICR_BASE + MAX_CPUS * GICR_STRIDE; pa += 1ul << 21)
        map(&space, pa, pa, 2, DEVICE);
    entry_at(&space, REMAPPED_VA, 3);
    on_exception = on_interrupt;
    gic_init();
    psci_states();
    start_all("CPU_ON of every other CPU", enter_parts);
    enter_parts(0);
    wait_until_off();
    pass("CPU_OFF of every other CPU");
    restart();
    summary("smp");
}
