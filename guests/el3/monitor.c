/* Worlds: which one runs, what is saved of it, and what its exits to EL3 lead to. */
#include "monitor.h"
#include "interrupts/gic.h"
#include "interrupts/timer.h"

#define CPTR_TFP (1ul << 10)
#define PENDING_SECURE_GROUP_1 1020u /* ICC_HPPIR0_EL1 at EL3 (IHI 0069 2.2.1) */
#define PENDING_NORMAL_GROUP_1 1021u

volatile u64 secure_ticks, let_secure_go;
static struct world secure, normal;
static struct exit last;
static char secure_stack[0x2000] __attribute__((aligned(16))), normal_stack[0x2000] __attribute__((aligned(16)));

/* --- EL1 belongs to one world at a time -------------------------------------------------------------------------- */

static void save_el1(struct el1 *el1) {
    *el1 = (struct el1){
        read_sysreg(sctlr_el1), read_sysreg(vbar_el1),  read_sysreg(ttbr0_el1),      read_sysreg(ttbr1_el1),
        read_sysreg(tcr_el1),   read_sysreg(mair_el1),  read_sysreg(cpacr_el1),      read_sysreg(contextidr_el1),
        read_sysreg(tpidr_el1), read_sysreg(sp_el1),    read_sysreg(elr_el1),        read_sysreg(spsr_el1),
        read_sysreg(esr_el1),   read_sysreg(far_el1),   read_sysreg(cntkctl_el1),
    };
}

static void load_el1(const struct el1 *el1) {
    write_sysreg(sctlr_el1, el1->sctlr);
    write_sysreg(vbar_el1, el1->vbar);
    write_sysreg(ttbr0_el1, el1->ttbr0);
    write_sysreg(ttbr1_el1, el1->ttbr1);
    write_sysreg(tcr_el1, el1->tcr);
    write_sysreg(mair_el1, el1->mair);
    write_sysreg(cpacr_el1, el1->cpacr);
    write_sysreg(contextidr_el1, el1->contextidr);
    write_sysreg(tpidr_el1, el1->tpidr);
    write_sysreg(sp_el1, el1->sp);
    write_sysreg(elr_el1, el1->elr);
    write_sysreg(spsr_el1, el1->spsr);
    write_sysreg(esr_el1, el1->esr);
    write_sysreg(far_el1, el1->far);
    write_sysreg(cntkctl_el1, el1->cntkctl);
}

/* Runs a world until it comes to EL3. */
static void run(struct world *world) {
    load_el1(&world->el1);
    write_sysreg(scr_el3, world->scr);
    isb();
    enter_world(world);
    save_el1(&world->el1);
}

static void skip_instruction(struct world *world) { world->frame.elr += 4; }

/* --- calls ------------------------------------------------------------------------------------------------------- */

/* The Secure world gets a request, and Non-secure its answer: both in the registers of a call that returns. */
static struct world *ask_secure(u64 number, u64 x1, u64 x2) {
    secure.frame.x[0] = number;
    secure.frame.x[1] = x1;
    secure.frame.x[2] = x2;
    return &secure;
}

static bool in_interrupt; /* the Secure world was asked by an interrupt, to which nobody waits for an answer */

static struct world *answer_normal(u64 value) {
    if (!in_interrupt)
        normal.frame.x[0] = value;
    in_interrupt = false;
    return &normal;
}

static u64 monitor_call(u64 *x) {
    switch ((u32)x[0]) {
    case MONITOR_SCR:
        normal.scr = (normal.scr | x[1]) & ~x[2];
        return 0;
    case MONITOR_LAST:
        return ((u64 *)&last)[x[1]];
    case MONITOR_TRAP_FP:
        write_sysreg(cptr_el3, CPTR_TFP);
        return 0;
    case MONITOR_TIMER:
        write_sysreg(cntps_tval_el1, x[1]);
        write_sysreg(cntps_ctl_el1, CTL_ENABLE);
        return 0;
    case MONITOR_PEND:
        gic_write_bit(GICD_ISPENDR, (u32)x[1]);
        return 0;
    case PSCI_VERSION:
        return PSCI_1_1;
    default:
        return SMCCC_NOT_SUPPORTED;
    }
}

/* The world that goes on; NULL after SYSTEM_OFF. */
static struct world *call(struct world *world) {
    u64 *x = world->frame.x;
    if (world == &secure)
        return (u32)x[0] == SECURE_DONE ? answer_normal(x[1]) : world;
    if ((u32)x[0] == PSCI_SYSTEM_OFF)
        return NULL;
    if ((u32)x[0] == MONITOR_RESUME)
        return &secure;
    if ((u32)x[0] >= SECURE_ADD && (u32)x[0] < SECURE_INTERRUPT)
        return ask_secure((u32)x[0], x[1], x[2]);
    x[0] = monitor_call(x);
    return world;
}

/* --- exits ------------------------------------------------------------------------------------------------------- */

static struct world *synchronous(struct world *world) {
    switch (ESR_EC(world->frame.esr)) {
    case 0x17: /* SMC64: the address is that of the next instruction already */
        return call(world);
    case 0x01: /* WFI, SCR_EL3.TWI: the way back from SCR_EL3.SMD, under which no SMC comes here */
        world->scr &= ~(SCR_SMD | SCR_TWI);
        skip_instruction(world);
        break;
    case 0x07: /* FP: allowed from now on */
        write_sysreg(cptr_el3, 0);
        break;
    case 0x18: /* a register that is not for this world */
    case 0x24: /* an external abort, SCR_EL3.EA */
        skip_instruction(world);
        break;
    default:
        fail("exit", "ESR_EL3 0x%lx ELR_EL3 0x%lx FAR_EL3 0x%lx", world->frame.esr, world->frame.elr, world->frame.far);
        return NULL;
    }
    return world;
}

/* FIQ is for EL3: Group 0 is the monitor's own; Secure Group 1 is an IRQ of the Secure world, and Non-secure Group 1
 * of the other: each is taken there (IHI 0069 4.6.2). */
static struct world *fiq(struct world *world) {
    u32 intid = (u32)read_sysreg(icc_hppir0_el1);
    if (intid == PENDING_SECURE_GROUP_1) {
        in_interrupt = true;
        return ask_secure(SECURE_INTERRUPT, 0, 0);
    }
    if (intid == PENDING_NORMAL_GROUP_1)
        return answer_normal(SECURE_PREEMPTED);
    intid = (u32)read_sysreg(icc_iar0_el1);
    if (intid == SECURE_TIMER_INTID) {
        write_sysreg(cntps_ctl_el1, 0);
        isb();
        secure_ticks++;
    }
    write_sysreg(icc_eoir0_el1, intid);
    isb();
    return world;
}

static struct world *handle(struct world *world) {
    const struct frame *frame = &world->frame;
    if (frame->vector != LOWER_SYNC_VECTOR || ESR_EC(frame->esr) != 0x17)
        last = (struct exit){frame->esr, frame->far, frame->elr, frame->vector, last.count + 1};
    switch (frame->vector) {
    case LOWER_SYNC_VECTOR:
        return synchronous(world);
    case LOWER_FIQ_VECTOR:
        return fiq(world);
    default:
        fail("exit", "vector 0x%lx ESR_EL3 0x%lx", frame->vector, frame->esr);
        return NULL;
    }
}

static void create(struct world *world, u64 scr, const char *entry, u64 mode, char *stack_top) {
    world->frame = (struct frame){.elr = (u64)entry, .spsr = SPSR_DAIF | mode, .x = {[19] = (u64)stack_top}};
    world->scr = SCR_RES1 | SCR_RW | SCR_FIQ | scr;
    world->el1.sctlr = 0x30d00800;
}

/* Secure first, until it waits for requests; then Non-secure. */
void run_worlds(void) {
    create(&secure, SCR_ST, secure_entry, EL1h, secure_stack + sizeof secure_stack);
    create(&normal, SCR_NS | SCR_HCE, normal_entry, EL2h, normal_stack + sizeof normal_stack);
    for (struct world *world = &secure; world; world = handle(world))
        run(world);
}
