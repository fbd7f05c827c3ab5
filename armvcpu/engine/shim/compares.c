/* Compares: which two numbers the guest has compared last, for a fuzzer, which puts the one where the other came from.
 *
 * The instructions are SUBS (CMP is one), CCMP (DDI 0487 C6.2), with immediates and registers; shifted ones are left out.
 * A helper is called before each, only while somebody wants the log: the last so many, as pairs of 64-bit words.
 */
#include "emit.h"

enum { PAIRS = 256 };
struct compares {
    uint64_t next; /* how many there were in all */
    uint64_t pair[PAIRS][2];
};

static bool is_immediate(uint32_t word) { return (word & 0x7F800000) == 0x71000000 || (word & 0x7FE00C10) == 0x7A400800; }

static bool is_of_registers(uint32_t word)
{
    bool is_plain = (word & 0x7FE0FC00) == 0x6B000000, is_conditional = (word & 0x7FE00C10) == 0x7A400000;
    bool is_extended = (word & 0x7FE08C00) == 0x6B200000; /* UXTB, UXTH, UXTW, UXTX, not shifted left by more than 3 */
    return is_plain || is_conditional || is_extended;
}

static uint64_t value_in(struct engine *e, uint32_t number, bool is_64)
{
    uint64_t value = number == 31 ? 0 : AT(uint64_t, e->env, ENV_XREGS + 8 * number);
    return is_64 ? value : (uint32_t)value;
}

static void helper_compare(void *uc, uint32_t word)
{
    struct engine *e = engine_of_uc(uc);
    struct compares *log = e->compares;
    if (!log) return;
    bool is_64 = word >> 31;
    uint64_t a = value_in(e, word >> 5 & 31, is_64), b;
    if ((word & 0x7F800000) == 0x71000000) b = (uint64_t)(word >> 10 & 0xFFF) << (word >> 22 & 1 ? 12 : 0);
    else if (is_immediate(word)) b = word >> 16 & 31;
    else b = value_in(e, word >> 16 & 31, is_64);
    if ((word & 0x7FE08C00) == 0x6B200000) b &= ~0ull >> (64 - (8 << (word >> 13 & 3)));
    if (a == b) return;
    uint64_t *pair = log->pair[log->next++ % PAIRS];
    pair[0] = a, pair[1] = b;
}

/* A word has been read that is about to be translated. */
void emit_compare(struct engine *e, uint32_t word)
{
    if (!is_immediate(word) && !is_of_registers(word)) return;
    void *tcg = e->tcg;
    uintptr_t uc = constant(tcg, e->uc), number = new_temp(tcg, TYPE_I32);
    real.tcg_gen_op2(tcg, OP_MOVI_I32, number, word);
    void *arguments[2] = {(void *)uc, (void *)number};
    call_instead(tcg, real.helper_check_exit_request, (void *)helper_compare, NULL, 2, arguments);
    free_temp(tcg, uc), free_temp(tcg, number);
}

/* Log into this memory from the next translation on, or, null, no more; what was translated must be forgotten. */
EXPORT void shim_log_compares(struct engine *e, struct compares *log) { e->compares = log; }
