/* Exceptions: those that the guest takes at a level of its own are entered here, by the engine's own code; Python has the
 * rest.
 *
 * DDI 0487 D1.3 (exceptions), D17.2.37 (ESR_ELx). Python is the software at the level above the guest's highest one. Of a
 * guest that starts at EL1 that has HVC, SMC, trapped registers and stage-2 aborts, of one that starts at EL2 SMC.
 */
#include "tally.h"

enum {
    IL = 1 << 25,
    EC_UNKNOWN = 0x00, EC_FP = 0x07, EC_SVC64 = 0x15, EC_HVC64 = 0x16, EC_MSR_MRS = 0x18, EC_IABT_LOWER = 0x20,
    EC_IABT = 0x21, EC_PC_ALIGNMENT = 0x22, EC_DABT_LOWER = 0x24, EC_DABT = 0x25, EC_BREAKPOINT_LOWER = 0x30,
    EC_BREAKPOINT = 0x31, EC_STEP_LOWER = 0x32, EC_STEP = 0x33, EC_WATCHPOINT_LOWER = 0x34, EC_WATCHPOINT = 0x35,
    TARGET_AARCH32 = 0x20, /* told to Python as a target: the guest has left AArch64 state */
    FSC_EXTERNAL = 0x10, FSC_EXTERNAL_ON_WALK = 0x14, /* and 0x15 to 0x17: synchronous External aborts */
    HLT_SEMIHOSTING = 0xD45E0000,
    VECTOR_SIZE = 0x80,
};
static const uint64_t HAS_FAR = 1ull << EC_IABT_LOWER | 1ull << EC_IABT | 1ull << EC_PC_ALIGNMENT | 1ull << EC_DABT_LOWER
    | 1ull << EC_DABT | 1ull << EC_WATCHPOINT_LOWER | 1ull << EC_WATCHPOINT;

/* Have the engine look for requests and interrupts before the next block. */
void leave_chain(struct engine *e)
{
    __atomic_store_n(&AT(uint8_t, e->cpu, CPU_EXIT_REQUEST), 1, __ATOMIC_RELEASE);
    __atomic_store_n(&AT(int16_t, e->env, ENV_ICOUNT_DECR + 2), -1, __ATOMIC_RELEASE);
}

/* Have the run end before the next block. */
void stop_run(struct engine *e)
{
    AT(uint8_t, e->uc, UC_STOP_REQUEST) = 1;
    leave_chain(e);
}

/* From a helper: give the block up, with env as it is, and go on at its PC. */
_Noreturn void leave_block(struct engine *e)
{
    AT(int, e->cpu, CPU_EXCEPTION_INDEX) = -1;
    AT(int, e->uc, UC_SIZE_RECUR_MEM) = 0;
    real.cpu_loop_exit(e->cpu);
    __builtin_unreachable();
}

static const uint64_t BETWEEN_BLOCKS = 1ull << EC_IABT_LOWER | 1ull << EC_IABT | 1ull << EC_PC_ALIGNMENT | 1ull << EC_STEP_LOWER
    | 1ull << EC_STEP;

/* Counting: how many instructions from the preferred return address on were executed, by exception class. */
static void settle_trap(struct engine *e, uint32_t ec)
{
    uint64_t pc = AT(uint64_t, e->env, ENV_PC);
    if (BETWEEN_BLOCKS >> ec & 1) {
        e->shared.block = 0;
        e->running_record = NULL;
        return;
    }
    switch (ec) {
    case EC_SVC64: case EC_HVC64: case EC_BREAKPOINT_LOWER: case EC_BREAKPOINT:
        settle(e, pc, 0);
        break;
    default:
        settle(e, pc, 1); /* an instruction that traps counts as one */
    }
}

/* An exception that is about to be entered. */
static struct fault fault_of(const struct engine *e, uint32_t syndrome, uint64_t far)
{
    const int64_t *x = &AT(int64_t, e->env, ENV_XREGS);
    return (struct fault){
        .esr = syndrome, .far = HAS_FAR >> (syndrome >> 26) & 1 ? (int64_t)far : 0, .pstate = AT(uint32_t, e->env, ENV_PSTATE),
        .x29 = x[29], .x30 = x[30], .sp = x[31],
    };
}

/* After the engine's own entry: what Python may want to know of it. */
static void entered(struct engine *e, struct fault *fault, uint32_t target)
{
    fault->elr = AT(int64_t, e->env, ENV_ELR_EL + 8 * target);
    fault->level = target;
    if (e->tally) e->tally[TALLY_EXCEPTIONS + (fault->esr >> 26 & 63)]++;
    e->shared.last[0] = fault->esr;
    e->shared.last[1] = fault->far;
    e->shared.last[2] = fault->elr;
    e->shared.last[3] = target;
    if (target == 3) cross_el3(e);
    bool never_ends = note_fault(e, fault, AT(uint64_t, e->env, ENV_PC));
    if (e->shared.observe || never_ends) tell_entered(e, (uint32_t)fault->esr);
}

/* AArch64.TakeException by the engine's own code, for exceptions and for interrupts; that clears the condition flags,
 * which the architecture keeps.
 */
static void take(struct engine *e)
{
    void *env = e->env;
    uint64_t carry_overflow = AT(uint64_t, env, ENV_CF), negative_zero = AT(uint64_t, env, ENV_CF + 8);
    bool aarch64 = AT(uint32_t, env, ENV_AARCH64);
    real.arm_cpu_do_interrupt(e->cpu);
    e->shared.entries++;
    if (!aarch64) return;
    AT(uint64_t, env, ENV_CF) = carry_overflow;
    AT(uint64_t, env, ENV_CF + 8) = negative_zero;
}

/* EL3 has been entered or left: an interrupt that is pending may be signalled by the other line there (IHI 0069 4.6.2). */
void cross_el3(struct engine *e)
{
    enum { GROUP1_OF_EITHER_STATE = 6 };
    if (e->signalled && *e->signalled & GROUP1_OF_EITHER_STATE) e->python.crossed();
}

/* Where that bitmap lies, of the CPU that is loaded; null: nobody wants to hear. */
EXPORT void shim_watch_el3(struct engine *e, const uint64_t *signalled) { e->signalled = signalled; }

/* Unicorn takes interrupts itself, and nothing else. */
void shim_arm_cpu_do_interrupt(void *cpu)
{
    struct engine *e = engine_of_uc(AT(void *, cpu, CPU_UC));
    if (!e) {
        real.arm_cpu_do_interrupt(cpu);
        return;
    }
    if (is_masked_for_host(e)) {
        AT(int, cpu, CPU_EXCEPTION_INDEX) = -1;
        return;
    }
    uint32_t from = level_of(e->env), number = AT(uint32_t, cpu, CPU_EXCEPTION_INDEX);
    e->shared.interrupts++;
    if (e->tally) e->tally[TALLY_INTERRUPTS]++;
    take(e);
    tell_level(e, number == EXCP_FIQ || number == EXCP_VFIQ ? FIQ_TAKEN : IRQ_TAKEN, from);
    if (AT(uint32_t, e->env, ENV_TARGET_EL) == 3) cross_el3(e);
}

static void enter(struct engine *e, uint32_t number, uint32_t syndrome, uint64_t far)
{
    AT(int, e->cpu, CPU_EXCEPTION_INDEX) = (int)number;
    AT(uint32_t, e->env, ENV_SYNDROME) = syndrome;
    AT(uint64_t, e->env, ENV_VADDRESS) = far;
    take(e);
}

/* A syndrome that the engine has lost (it raised the exception from inside a helper): MSR DAIFSet and DAIFClr at EL0. */
static uint32_t rebuild(struct engine *e)
{
    uint32_t word = real.cpu_ldl_code(e->env, AT(uint64_t, e->env, ENV_PC));
    uint32_t op1 = word >> 16 & 7, crm = word >> 8 & 15, op2 = word >> 5 & 7;
    if ((word & 0xFFF8F01F) == 0xD500401F && op1 == 3 && op2 >= 6) /* C5.2.3; the ISS has Rt 31 and CRn 4 */
        return (uint32_t)EC_MSR_MRS << 26 | IL | op2 << 17 | op1 << 14 | 4 << 10 | 31 << 5 | crm << 1;
    return IL;
}

/* Of an UNDEFINED instruction: is it one that Python answers, semihosting or a register that nobody knows? */
static bool is_python_s(struct engine *e)
{
    uint32_t word = real.cpu_ldl_code(e->env, AT(uint64_t, e->env, ENV_PC));
    if (word == HLT_SEMIHOSTING) return e->shared.semihosting;
    return (word & 0xFFD00000) == 0xD5100000 && is_unclaimed(e, word >> 5 & 0xFFFF); /* MSR, MRS: C5.1.2 */
}

/* Where a synchronous External abort goes that is none of stage 2's: SCR_EL3.EA and HCR_EL2.TEA, which the engine leaves
 * out (D1.3.5).
 */
static uint32_t abort_target(const struct engine *e)
{
    uint32_t el = level_of(e->env);
    uint64_t scr = AT(uint64_t, e->env, ENV_SCR_EL3), hcr = scr & SCR_NS ? real.arm_hcr_el2_eff(e->env) : 0;
    if (scr & SCR_EA) return 3;
    if (el < 2 && hcr & HCR_TEA) return 2;
    return el ? el : hcr & HCR_TGE ? 2 : 1;
}

static bool is_external_abort(uint32_t syndrome)
{
    uint32_t ec = syndrome >> 26, fsc = syndrome & 0x3F;
    bool is_abort = ec == EC_IABT_LOWER || ec == EC_IABT || ec == EC_DABT_LOWER || ec == EC_DABT;
    return is_abort && (fsc == FSC_EXTERNAL || (fsc & ~3u) == FSC_EXTERNAL_ON_WALK);
}

/* Only a stage 2 abort has its access described, ISV to AR (D17.2.37, Data Abort); the engine describes all that go to EL2. */
static uint32_t described(struct engine *e, uint32_t syndrome)
{
    enum { DESCRIPTION = 0x01FFC000 };
    uint32_t ec = syndrome >> 26;
    bool is_stage1 = ec == EC_DABT;
    if (ec == EC_DABT_LOWER) is_stage1 = is_external_abort(syndrome) || real.arm_hcr_el2_eff(e->env) & HCR_TGE;
    return is_stage1 ? syndrome & ~(uint32_t)DESCRIPTION : syndrome;
}

/* The syndrome of an abort, taken to `target` from the present level: its class says whether that is lower. */
static uint32_t for_target(const struct engine *e, uint32_t syndrome, uint32_t target)
{
    bool is_same = level_of(e->env) == target;
    return (syndrome & ~(1u << 26)) | (uint32_t)is_same << 26;
}

/* Unicorn's hook on exceptions. */
EXPORT void shim_trap(void *uc, uint32_t number, void *data)
{
    struct engine *e = data;
    (void)uc;
    translating = NULL;
    end_replay(e);
    forget_cut(e);
    AT(int, e->uc, UC_SIZE_RECUR_MEM) = 0;
    uint32_t syndrome = AT(uint32_t, e->env, ENV_SYNDROME), target = AT(uint32_t, e->env, ENV_TARGET_EL);
    uint64_t far = AT(uint64_t, e->env, ENV_VADDRESS);
    syndrome = syndrome ? syndrome | IL : rebuild(e); /* IL: always, in AArch64 state */
    uint32_t ec = syndrome >> 26;
    syndrome = described(e, syndrome);
    if (ec == EC_HVC64 && is_hvc_disabled(e)) {
        AT(uint64_t, e->env, ENV_PC) -= 4; /* HVC's return address is behind it */
        AT(uint32_t, e->env, ENV_TARGET_EL) = target = level_of(e->env);
        number = EXCP_UDEF, syndrome = IL, ec = EC_UNKNOWN;
    }
    if (ec == EC_FP) syndrome &= ~0xFFFFFu; /* the engine keeps AArch32's fields there until it enters */
    uint64_t pc = AT(uint64_t, e->env, ENV_PC);
    bool may_be_again = ec == EC_DABT_LOWER; /* at stage 2: a device or a piece of flash may be shown at its first access */
    struct record *record = may_be_again ? e->running_record : NULL;
    if (record) e->running_record = NULL;
    if (e->shared.block || e->running_record) settle_trap(e, ec);
    if (BETWEEN_BLOCKS >> ec & 1 && is_at_stop(e)) {
        stop_run(e);
        return;
    }
    if (is_external_abort(syndrome)) {
        uint32_t routed = abort_target(e);
        if (routed > target) AT(uint32_t, e->env, ENV_TARGET_EL) = target = routed, syndrome = for_target(e, syndrome, target);
    }
    if (!AT(uint32_t, e->env, ENV_AARCH64)) target = TARGET_AARCH32;
    bool is_own = target && target <= e->shared.highest;
    if (is_own && target == 2) syndrome = syndrome_for_el2(e, syndrome);
    if (is_own && !(e->shared.hear[target - 1] >> ec & 1) && !(ec == EC_UNKNOWN && is_python_s(e))) {
        settle_record_of(e, record, pc, 1);
        end_exact(e); /* a fetch that faults: its exception is what a step has done */
        struct fault fault = fault_of(e, syndrome, far);
        enter(e, number, syndrome, far);
        entered(e, &fault, target);
    } else {
        ask_trap(e, target, syndrome, far);
        bool is_again = may_be_again && AT(uint64_t, e->env, ENV_PC) == pc;
        settle_record_of(e, record, pc, !is_again || e->shared.left);
        if (is_again) note_again(e, pc);
        ask_again(e);
    }
    if (e->shared.left) stop_run(e);
}

/* Enter an exception at `target` EL that Python has decided on: a synchronous one or, by `serror`, an SError interrupt.
 * Not inside a block, or as its last act.
 */
EXPORT void shim_take_exception(struct engine *e, uint32_t target, uint32_t syndrome, uint64_t far, int serror)
{
    struct fault fault = fault_of(e, syndrome, far);
    translating = NULL;
    AT(uint32_t, e->env, ENV_TARGET_EL) = target;
    if (serror) { /* the engine knows vectors for IRQ and FIQ; SError's is 0x80 behind that of FIQ (D1.3.1) */
        uint64_t *vbar = &AT(uint64_t, e->env, ENV_VBAR_EL + 8 * target), before = *vbar;
        *vbar += VECTOR_SIZE;
        enter(e, EXCP_FIQ, syndrome, far);
        *vbar = before;
        AT(uint64_t, e->env, ENV_ESR_EL + 8 * target) = syndrome;
    } else {
        enter(e, HAS_FAR >> (syndrome >> 26) & 1 ? EXCP_DATA_ABORT : EXCP_UDEF, syndrome, far);
    }
    AT(int, e->cpu, CPU_EXCEPTION_INDEX) = -1;
    entered(e, &fault, target);
}

/* Enter a synchronous External abort, with the syndrome's ISS, at the level that it goes to. */
EXPORT void shim_take_abort(struct engine *e, uint32_t syndrome, uint64_t far)
{
    uint32_t target = abort_target(e);
    if (target > e->shared.highest) target = (uint32_t)e->shared.highest;
    shim_take_exception(e, target, for_target(e, syndrome, target), far, 0);
}
