/* What stands at the start of each translated block: the check for a request to stop, inline, and the count of
 * instructions.
 *
 * Unicorn begins a block with a call of helper_check_exit_request. Here a load and a branch stand in its place, to the end
 * that a block which has not begun needs and that Unicorn still emits. A block that counts takes its length off
 * `countdown` as well, and does not begin where that was used up. A block that was asked for with a length (cflags) is one
 * that a limit ends at an exact instruction: it has no check, and asks for the stop that the next block finds.
 */
#include "emit.h"

static int64_t length_of(const struct engine *e) { return AT(uint16_t, (void *)e->shared.block, TB_ICOUNT); }

/* Counting: in the block that runs, the instructions before `pc` and `executed_there` more have been executed. */
void settle(struct engine *e, uint64_t pc, int64_t executed_there)
{
    settle_record(e, pc, executed_there);
    if (!e->shared.block) return;
    int64_t executed = ((int64_t)(pc - AT(uint64_t, (void *)e->shared.block, TB_PC)) >> 2) + executed_there;
    if (executed >= 0 && executed < length_of(e)) e->shared.countdown += length_of(e) - executed;
    e->shared.block = e->shared.position = 0;
}

/* How many instructions have been executed: in a callback of a device, those of the present block are missing. */
EXPORT int64_t shim_instructions(const struct engine *e)
{
    int64_t begun = e->shared.stop_at - e->shared.countdown;
    return e->shared.block ? begun - length_of(e) + e->shared.position : begun;
}

EXPORT void shim_set_instructions(struct engine *e, int64_t executed)
{
    e->shared.block = e->shared.position = 0;
    e->shared.countdown = e->shared.stop_at - executed;
    begin_samples(e, executed);
}

/* Runs end before the first block that begins when so many have been executed. */
EXPORT void shim_stop_at(struct engine *e, int64_t instructions)
{
    e->shared.countdown += instructions - e->shared.stop_at;
    e->sample_below += instructions - e->shared.stop_at;
    e->shared.stop_at = instructions;
}

/* The next block has so many instructions at most, and the run ends behind it. */
EXPORT void shim_next_block(struct engine *e, uint32_t most)
{
    begin_rest(e);
    if (most > e->allowed) most = e->allowed;
    e->shared.exact = most;
    AT(uint32_t, e->cpu, CPU_CFLAGS_NEXT_TB) = most;
}

/* The engine is about to look for a block again. The length that was asked for is gone where the last look ended in an
 * exception, as a fetch that faults does.
 */
void ask_again(struct engine *e)
{
    if (e->shared.exact) AT(uint32_t, e->cpu, CPU_CFLAGS_NEXT_TB) = (uint32_t)e->shared.exact;
}

/* Has the count been reached at which runs end? Asked where a block can't begin, since the next one would be too late. */
bool is_at_stop(const struct engine *e)
{
    return e->shared.counting && !e->shared.exact && e->shared.countdown <= 0;
}

/* A run of one block: it ends behind this one, or with an exception that has come before it began. */
void end_exact(struct engine *e)
{
    if (!e->shared.exact) return;
    e->shared.exact = 0;
    stop_run(e);
}

/* In the place of helper_check_exit_request, in a block of exact length. */
static void helper_exact(void *uc, uint32_t unused)
{
    struct engine *e = engine_of_uc(uc);
    (void)unused;
    end_rest(e);
    forget_cut(e);
    end_exact(e);
}

/* Likewise, where a block that counts has not begun. */
static void helper_refused(void *uc, uint32_t unused)
{
    struct engine *e = engine_of_uc(uc);
    const void *block = (const void *)e->shared.block;
    int64_t length = length_of(e);
    (void)unused;
    e->shared.countdown += length;
    e->shared.block = 0;
    if (e->shared.countdown <= 0) stop_run(e);
    else sample_block(e, block, length);
}

/* Countdown and block are brought up to date; what is negative where the block is not to begin. */
static uintptr_t emit_count(struct engine *e, void *tcg)
{
    uintptr_t base = constant(tcg, &e->shared), left = new_temp(tcg, TYPE_I64), length = new_temp(tcg, TYPE_I64);
    uintptr_t refused = new_temp(tcg, TYPE_I64), one = constant(tcg, (void *)1), block = constant(tcg, e->translated_block);
    real.tcg_gen_op3(tcg, OP_LD_I64, left, base, offsetof(struct shared, countdown));
    real.tcg_gen_op3(tcg, OP_SUB_I64, refused, left, one);
    real.tcg_gen_op2(tcg, OP_MOVI_I64, length, 0);
    e->lengths = last_operation(tcg);
    real.tcg_gen_op3(tcg, OP_SUB_I64, left, left, length);
    real.tcg_gen_op3(tcg, OP_ST_I64, left, base, offsetof(struct shared, countdown));
    if (e->sample_step) { /* negative, too, where a sample falls into the block */
        real.tcg_gen_op3(tcg, OP_LD_I64, length, base, offsetof(struct engine, sample_below));
        real.tcg_gen_op3(tcg, OP_SUB_I64, length, left, length);
        real.tcg_gen_op3(tcg, OP_OR_I64, refused, refused, length);
    }
    real.tcg_gen_op3(tcg, OP_ST_I64, block, base, offsetof(struct shared, block));
    free_temp(tcg, base), free_temp(tcg, left), free_temp(tcg, length), free_temp(tcg, one), free_temp(tcg, block);
    return refused;
}

/* In the place of helper_lookup_tb_ptr, after an indirect branch: where the block at PC begins on the host. The same look
 * into the same table, in a third of the time; whatever is out of the ordinary is left to the engine's own.
 */
static void *helper_next_block(void *env)
{
    const char *cpu = (const char *)env - CPU_SIZEOF_TO_ENV;
    uint64_t pc = AT(uint64_t, env, ENV_PC), mixed = pc ^ pc >> 6;
    uint32_t flags = AT(uint32_t, env, ENV_HFLAGS);
    void *block = AT(void *, cpu, CPU_JUMP_CACHE + 8 * ((mixed >> 6 & 0xFC0) | (mixed & 0x3F)));
    if (block && AT(uint64_t, block, TB_PC) == pc && AT(uint32_t, block, TB_FLAGS) == flags && !(flags & FLAG_STEPPING)
        && (AT(uint32_t, block, TB_CFLAGS) & (uint32_t)CF_HASHED) == (uint32_t)CF_CLUSTER)
        return AT(void *, block, TB_CODE);
    return real.helper_lookup_tb_ptr(env);
}

/* The block has begun: what looks at it. */
static void emit_looks(struct engine *e, void *tcg)
{
    int before = *operations(tcg);
    if (e->keeps_records) emit_record(e, tcg);
    if (e->trace && e->keeps_records) emit_traced(e, tcg);
    *operations(tcg) = before;
}

static void begin_block(struct engine *e, void *tcg, void *result, int count, void **arguments)
{
    emit_return(e, tcg, result, count, arguments);
    if (e->edges) emit_edge(e, tcg);
    uintptr_t env = (uintptr_t)temp_of(tcg, AT(void *, tcg, TCG_CPU_ENV)), refused = 0;
    if (e->shared.counting) refused = emit_count(e, tcg);
    if (AT(uint32_t, e->translated_block, TB_CFLAGS) & TB_COUNT_MASK) {
        call_instead(tcg, real.helper_check_exit_request, (void *)helper_exact, result, count, arguments);
        if (refused) emit_open(e, tcg), free_temp(tcg, refused);
        emit_looks(e, tcg);
        return;
    }
    e->label = real.gen_new_label(tcg);
    if (refused) {
        uintptr_t request = new_temp(tcg, TYPE_I64);
        real.tcg_gen_op3(tcg, OP_LD32S_I64, request, env, (uintptr_t)(intptr_t)ENV_ICOUNT_DECR);
        real.tcg_gen_op3(tcg, OP_OR_I64, refused, refused, request);
        real.tcg_gen_brcondi_i64(tcg, COND_LT, value_of(tcg, (void *)refused), 0, e->label);
        free_temp(tcg, refused), free_temp(tcg, request);
    } else {
        uintptr_t request = new_temp(tcg, TYPE_I32);
        real.tcg_gen_op3(tcg, OP_LD_I32, request, env, (uintptr_t)(intptr_t)ENV_ICOUNT_DECR);
        real.tcg_gen_brcondi_i32(tcg, COND_LT, value_of(tcg, (void *)request), 0, e->label);
        free_temp(tcg, request);
    }
    emit_looks(e, tcg);
}

void shim_tcg_gen_callN(void *tcg, void *function, void *result, int count, void **arguments)
{
    struct engine *e = translating;
    if (e && function == real.helper_check_exit_request)
        begin_block(e, tcg, result, count, arguments);
    else if (e && function == (void *)real.helper_lookup_tb_ptr)
        call_instead(tcg, function, (void *)helper_next_block, result, count, arguments);
    else if (e && function == real.helper_wfe)
        call_instead(tcg, function, (void *)helper_wait_for_event, result, count, arguments);
    else if (e && function == (void *)real.helper_wfi)
        call_instead(tcg, function, (void *)helper_wait_for_interrupt, result, count, arguments);
    else if (e && function == real.helper_yield)
        call_instead(tcg, function, (void *)helper_yield_turn, result, count, arguments);
    else if (e && e->shared.highest > 1 && function == (void *)real.helper_msr_i_daifclear)
        call_instead(tcg, function, (void *)helper_unmask, result, count, arguments);
    else if (e && function == (void *)real.helper_exception_return)
        call_instead(tcg, function, (void *)helper_return, result, count, arguments);
    else
        real.tcg_gen_callN(tcg, function, result, count, arguments);
}

/* Where the block has not begun. */
static void emit_refusal(struct engine *e, void *tcg)
{
    *(unsigned char *)e->label |= 1; /* present */
    real.tcg_gen_op1(tcg, OP_SET_LABEL, (uintptr_t)e->label);
    if (e->lengths) {
        uintptr_t uc = constant(tcg, e->uc), zero = new_temp(tcg, TYPE_I32);
        real.tcg_gen_op2(tcg, OP_MOVI_I32, zero, 0);
        void *arguments[2] = {(void *)uc, (void *)zero};
        call_instead(tcg, real.helper_check_exit_request, (void *)helper_refused, NULL, 2, arguments);
        free_temp(tcg, uc), free_temp(tcg, zero);
    }
    e->label = NULL;
}

void shim_tcg_gen_exit_tb(void *tcg, void *block, unsigned index)
{
    if (translating && index == EXIT_REQUESTED && translating->label) emit_refusal(translating, tcg);
    real.tcg_gen_exit_tb(tcg, block, index);
}

/* After each load and store: no check. */
void shim_check_exit_request(void *tcg)
{
    if (!translating) real.check_exit_request(tcg);
}

void shim_gen_intermediate_code(void *cpu, void *block, int most)
{
    struct engine *e = engine_of_uc(AT(void *, cpu, CPU_UC));
    translating = e;
    if (e) {
        e->translated_block = block;
        e->lengths = e->label = e->opens = e->record_addresses[0] = e->record_addresses[1] = NULL;
        e->traced_number = NULL;
        e->is_at_branch = false;
    }
    real.gen_intermediate_code(cpu, block, most);
    translating = NULL;
    if (e) {
        settle_open(e, block);
        if (e->lengths) AT(uintptr_t, e->lengths, OP_ARGS + 8) = AT(uint16_t, block, TB_ICOUNT);
        e->shared.translations++;
        if (e->record_addresses[0]) end_record(e, block);
        if (e->fetched) note_fetched(e, block);
    }
}
