/* lazyfp: three tasks share the FP registers, switched only when a task really uses them.
 *
 * A switch of tasks turns FP off (CPACR_EL1.FPEN = 0); the first FP instruction of the next task traps (EC 0x07), and
 * only then are v0 to v31, FPCR and FPSR exchanged: what RTOSes and microkernels do (Arm ARM D24.2.35 "CPACR_EL1").
 * Where a machine lets one FP instruction through untrapped, a task computes with another's registers. */
#include "guest.h"

#define FP_TRAP_ESR 0x1fe00000ul /* EC 0x07, IL, CV = 1, COND = 0b1110 */
#define STEPS 400u

struct task {
    u64 sp;
    u64 seed, fpcr, expected;
    unsigned uses_fp_every; /* slices */
    u64 result;
    bool done;
    u64 *fp; /* v0 to v31, FPCR, FPSR while another task's are in the registers */
};

void switch_stack(u64 *save_sp, u64 load_sp);
void fp_save(u64 *area);
void fp_load(const u64 *area);
void fill(u64 seed, u64 fpcr);
void step(void);
u64 sum(void);
extern const char fill_fp[], step_fp[], sum_fp[];

static struct task tasks[3] = {
    {.seed = 1, .fpcr = 0, .uses_fp_every = 1, .expected = 0x3f24ea82a1b9425e},
    {.seed = 2, .fpcr = 1ul << 22, .uses_fp_every = 2, .expected = 0xa8a0c42445da7240},
    {.seed = 3, .fpcr = 2ul << 22, .uses_fp_every = 3, .expected = 0x860bcd7664b2fa91},
};
static u64 fp_areas[3][66] __attribute__((aligned(16)));
static char stacks[3][0x2000] __attribute__((aligned(16)));
static struct task *current, *owner; /* owner: whose state the FP registers hold */
static u64 main_sp;
static unsigned traps, expected_traps, wrong_syndromes, wrong_addresses, wrong_vectors;
static bool trap_expected;
static const char *expected_elr;

static void set_fpen(u64 fpen) {
    write_sysreg(cpacr_el1, fpen << 20);
    isb();
}

static bool fp_trap(struct frame *frame) {
    if (ESR_EC(frame->esr) != 0x07)
        return false;
    traps++;
    wrong_syndromes += frame->esr != FP_TRAP_ESR;
    wrong_addresses += frame->elr != (u64)expected_elr;
    wrong_vectors += frame->vector != 0x200;
    set_fpen(3);
    if (owner)
        fp_save(owner->fp);
    fp_load(current->fp);
    owner = current;
    return true;
}

static void switch_to(struct task *next) {
    struct task *from = current;
    current = next;
    trap_expected = next != owner;
    set_fpen(next == owner ? 3 : 0);
    switch_stack(&from->sp, next->sp);
}

static void yield(void) { switch_to(current == &tasks[2] ? &tasks[0] : current + 1); }

/* The guest's own account of when a trap is due, kept without looking at traps. */
static void about_to_use_fp(const char *first_instruction) {
    expected_traps += trap_expected;
    trap_expected = false;
    expected_elr = first_instruction;
}

static void task_main(void) {
    struct task *self = current;
    about_to_use_fp(fill_fp);
    fill(self->seed, self->fpcr);
    yield();
    for (unsigned i = 0, slice = 0; i < STEPS; slice++) {
        if (slice % self->uses_fp_every == 0) {
            about_to_use_fp(step_fp);
            step();
            i++;
        }
        yield();
    }
    about_to_use_fp(sum_fp);
    self->result = sum();
    self->done = true;
    while (!(tasks[0].done && tasks[1].done && tasks[2].done))
        yield();
    u64 unused;
    switch_stack(&unused, main_sp);
}

static void three_tasks(void) {
    static const char *const names[] = {"task 1, nearest", "task 2, towards plus", "task 3, towards minus"};
    for (unsigned i = 0; i < 3; i++) {
        tasks[i].fp = fp_areas[i];
        tasks[i].sp = (u64)stacks[i] + sizeof stacks[i] - 96;
        ((u64 *)tasks[i].sp)[1] = (u64)task_main; /* x30 of switch_stack() */
    }
    on_exception = fp_trap;
    current = &tasks[0];
    trap_expected = true;
    set_fpen(0);
    switch_stack(&main_sp, tasks[0].sp);
    set_fpen(3);
    on_exception = NULL;
    for (unsigned i = 0; i < 3; i++)
        check_equal(names[i], tasks[i].result, tasks[i].expected);
    print("lazyfp: %u traps\n", traps);
    check_equal("every first use trapped, no other", traps, expected_traps);
    check_equal("ESR_EL1 of every trap", wrong_syndromes, 0);
    check_equal("ELR_EL1 at the FP instruction", wrong_addresses, 0);
    check_equal("vector of every trap", wrong_vectors, 0);
}

/* The same sums with FP never off: tells wrong arithmetic from wrong switching. */
static void undisturbed(void) {
    static const char *const names[] = {"undisturbed 1", "undisturbed 2", "undisturbed 3"};
    for (unsigned i = 0; i < 3; i++) {
        fill(tasks[i].seed, tasks[i].fpcr);
        for (unsigned n = 0; n < STEPS; n++)
            step();
        check_equal(names[i], sum(), tasks[i].expected);
    }
}

struct use {
    const char *name, *code;
};
#define USE(name) extern const char fp_using_##name[];
USE(fadd) USE(fcmp) USE(fmov_from) USE(fmov_to) USE(fcvtzs) USE(ldr_q) USE(str_d) USE(ldp_s) USE(st1) USE(add_4s) USE(movi)
USE(tbl) USE(mrs_fpcr) USE(msr_fpsr)
extern const char fp_jumped_over[];
#define ROW(name) {#name, fp_using_##name}
static const struct use uses[] = {
    ROW(fadd), ROW(fcmp), ROW(fmov_from), ROW(fmov_to), ROW(fcvtzs), ROW(ldr_q), ROW(str_d),
    ROW(ldp_s), ROW(st1), ROW(add_4s), ROW(movi), ROW(tbl), ROW(mrs_fpcr), ROW(msr_fpsr),
};

/* One instruction under one setting of CPACR_EL1.FPEN: does it trap just as D24.2.35 says? */
static bool as_expected(const struct use *use, u64 fpen, u64 el, u64 *esr) {
    static u64 memory[2] __attribute__((aligned(16)));
    bool trapped = el ? fpen == 0 || fpen == 2 : fpen != 3;
    set_fpen(fpen);
    struct frame f = run_at(SPSR_DAIF | (el ? EL1h : EL0t), use->code, 0, (u64)memory, 0);
    set_fpen(3);
    *esr = f.esr;
    if (!trapped)
        return returned(&f);
    return f.esr == FP_TRAP_ESR && f.elr == (u64)use->code + 4 && f.vector == (el ? 0x200 : 0x400);
}

static void fpen_settings(void) {
    static const char *const names[] = {"EL0, FPEN = 0", "EL1, FPEN = 0", "EL0, FPEN = 1", "EL1, FPEN = 1",
                                        "EL0, FPEN = 2", "EL1, FPEN = 2", "EL0, FPEN = 3", "EL1, FPEN = 3"};
    u64 esr;
    for (u64 i = 0; i < 8; i++) {
        unsigned wrong = 0;
        for (unsigned n = 0; n < sizeof uses / sizeof *uses; n++)
            if (!as_expected(&uses[n], i / 2, i % 2, &esr)) {
                print("  %s: %s, ESR_EL1 0x%lx\n", names[i], uses[n].name, esr);
                wrong++;
            }
        check_equal(names[i], wrong, 0);
    }
    set_fpen(0);
    struct frame f = attempt(fp_jumped_over, 0, 0);
    set_fpen(3);
    check("FP that is not reached does not trap", returned(&f));
}

void main(const void *fdt) {
    (void)fdt;
    fpen_settings();
    undisturbed();
    three_tasks();
    summary("lazyfp");
}
