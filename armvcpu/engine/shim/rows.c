/* System registers: rows that come before those of the engine, while it translates.
 *
 * For each direction a row says who answers: nobody (UNDEFINED), the engine's own row, that of another register, or a
 * count less where counts begin, a constant, Python, or Python before the engine's own row. Access by Exception level and
 * trap bits are the engine's where it has the register, else by op1 (DDI 0487 C5.1.2). A read that is a constant is part of
 * the translated code.
 */
#include <stdlib.h>
#include "tally.h"

enum action {
    UNDEFINED, NATIVE, CONSTANT, PYTHON, BEFORE_NATIVE, INSTRUCTION_CACHE, WHOLE_INSTRUCTION_CACHE, IGNORED, WORD, ALIAS,
    COUNT, REGIME,
};

/* What Python shares of a register that is a WORD: its value, and from which one to which it may be written without anything
 * following from that; the bits that it has.
 */
struct word {
    uint64_t value, lowest, highest, mask;
};

struct row {
    struct reginfo info; /* first: the engine has its address */
    struct engine *engine;
    const struct reginfo *own; /* the engine's, or null */
    const struct reginfo *other; /* the engine's register that an ALIAS reads as */
    uint32_t encoding;
    uint8_t read, write; /* enum action */
    struct word *word;
    uint64_t bits; /* of BEFORE_NATIVE: Python hears only of writes where one of these is or was set; 0 of all writes */
    struct row *next_free;
};

static uint32_t key_of(uint32_t encoding) { return CP_KEY | encoding; }

/* Who answers for a register: its row, or the engine. */
const struct reginfo *row_or_own(struct engine *e, void *table, uint32_t encoding)
{
    struct row *row = e->rows[encoding];
    if (row) return row->read == NATIVE && row->write == NATIVE ? row->own : &row->info;
    return real.get_arm_cp_reginfo(table, key_of(encoding));
}

const struct reginfo *shim_get_arm_cp_reginfo(void *table, uint32_t key)
{
    if (!translating || (key & ~0xFFFFu) != CP_KEY) return real.get_arm_cp_reginfo(table, key);
    return named_register(translating, table, key & 0xFFFF);
}

/* Python is about to be called for an instruction, which is at PC. */
static uint64_t begin(struct engine *e)
{
    uint64_t pc = AT(uint64_t, e->env, ENV_PC);
    if (e->shared.block) e->shared.position = (int64_t)(pc - AT(uint64_t, (void *)e->shared.block, TB_PC)) >> 2;
    return pc;
}

/* Where Python wants the run to end or has moved PC, the block ends before the next instruction. */
static void end(struct engine *e, uint64_t pc, const uint64_t *result)
{
    e->shared.position = 0;
    bool moved = AT(uint64_t, e->env, ENV_PC) != pc;
    if (!moved && !e->shared.left) return;
    if (!moved) {
        uint32_t rt = real.cpu_ldl_code(e->env, pc) & 31;
        if (result && rt != 31) AT(uint64_t, e->env, ENV_XREGS + 8 * rt) = *result;
        AT(uint64_t, e->env, ENV_PC) = pc + 4;
    }
    settle(e, pc, 1);
    real.arm_rebuild_hflags(e->env);
    if (e->shared.left) stop_run(e);
    leave_block(e);
}

static uint64_t read_python(void *env, const struct reginfo *info)
{
    const struct row *row = (const struct row *)info;
    (void)env;
    uint64_t pc = begin(row->engine), value = ask_read(row->engine, row->encoding);
    end(row->engine, pc, &value);
    return value;
}

/* NZCV (C5.2.11), which the engine keeps as C, V and N in sign bits or whole words, and Z as a word that is zero. */
static uint64_t read_flags(void *env)
{
    const uint32_t *cvnz = &AT(uint32_t, env, ENV_CF);
    return (cvnz[2] & 1u << 31) | (uint32_t)!cvnz[3] << 30 | cvnz[0] << 29 | cvnz[1] >> 31 << 28;
}

static void write_flags(void *env, uint64_t value)
{
    uint32_t *cvnz = &AT(uint32_t, env, ENV_CF);
    cvnz[0] = value >> 29 & 1, cvnz[1] = (uint32_t)value << 3, cvnz[2] = (uint32_t)value, cvnz[3] = ~value >> 30 & 1;
}

/* For registers that are no field of env: the translator has constants and special ones without a call. */
static uint64_t read_native(void *env, const struct reginfo *info)
{
    const struct reginfo *own = ((const struct row *)info)->own;
    switch (own->type & CP_SPECIAL) {
    case 0: break;
    case CP_NZCV: return read_flags(env);
    case CP_CURRENT_EL: return AT(uint32_t, env, ENV_PSTATE) & 0xC;
    default: return 0;
    }
    return own->type & CP_CONST ? own->resetvalue : own->readfn(env, own);
}

static uint64_t read_other(void *env, const struct reginfo *info)
{
    const struct reginfo *other = ((const struct row *)info)->other;
    return other->readfn(env, other);
}

/* The engine counts as the host does, and the guest from power-on; CNTVOFF_EL2 is the guest's. */
static uint64_t read_count(void *env, const struct reginfo *info)
{
    const struct row *row = (const struct row *)info;
    return row->own->readfn(env, row->own) - row->engine->count_origin;
}

EXPORT void shim_set_count_origin(struct engine *e, uint64_t origin) { e->count_origin = origin; }

static void write_python(void *env, const struct reginfo *info, uint64_t value)
{
    const struct row *row = (const struct row *)info;
    (void)env;
    uint64_t pc = begin(row->engine);
    ask_write(row->engine, row->encoding, value);
    end(row->engine, pc, NULL);
}

static uint64_t read_word(void *env, const struct reginfo *info)
{
    const struct word *word = ((const struct row *)info)->word;
    return word ? word->value : read_python(env, info);
}

static void write_own(void *env, const struct row *row, uint64_t value)
{
    const struct reginfo *own = row->own;
    if ((own->type & CP_SPECIAL) == CP_NZCV) write_flags(env, value);
    else if (own->type & (CP_CONST | CP_SPECIAL)) return;
    else if (own->writefn) own->writefn(env, own, value);
    else AT(uint64_t, env, own->fieldoffset) = value;
}

/* Python hears only of what something follows from. The engine decides by its own PMUSERENR_EL0 what EL0 may access. */
static void write_word(void *env, const struct reginfo *info, uint64_t value)
{
    const struct row *row = (const struct row *)info;
    struct word *word = row->word;
    uint64_t kept = word ? value & word->mask : 0;
    if (!word || kept < word->lowest || kept > word->highest) {
        write_python(env, info, value);
        return;
    }
    word->value = kept;
    if (row->own) write_own(env, row, kept);
}

static void write_before_native(void *env, const struct reginfo *info, uint64_t value)
{
    const struct row *row = (const struct row *)info;
    if (row->bits && !((value | AT(uint64_t, env, row->own->fieldoffset)) & row->bits)) {
        write_own(env, row, value);
        return;
    }
    uint64_t pc = begin(row->engine);
    write_own(env, row, ask_write(row->engine, row->encoding, value));
    end(row->engine, pc, NULL);
}

/* What is flushed for it is of EL1&0. */
static void write_regime(void *env, const struct reginfo *info, uint64_t value)
{
    const struct row *row = (const struct row *)info;
    row->engine->writes_regime = true;
    write_own(env, row, value);
    row->engine->writes_regime = false;
}

static void write_native(void *env, const struct reginfo *info, uint64_t value)
{
    write_own(env, (const struct row *)info, value);
}

static void write_instruction_cache(void *env, const struct reginfo *info, uint64_t address)
{
    (void)env;
    forget_line(((const struct row *)info)->engine, address);
}

static void write_whole_instruction_cache(void *env, const struct reginfo *info, uint64_t unused)
{
    (void)env, (void)unused;
    forget_changed_code(((const struct row *)info)->engine);
}

static void write_ignored(void *env, const struct reginfo *info, uint64_t value)
{
    (void)env, (void)info, (void)value;
}

static int lowest_access(uint32_t encoding)
{
    static const int by_op1[8] = {0xFC, 0xFC, 0xFC, 0xFF, 0xF0, 0xF0, 0xC0, 0xFC};
    return by_op1[encoding >> 11 & 7];
}

/* Does neither a row nor the engine know a register that the present level could access by its op1? */
bool is_unclaimed(struct engine *e, uint32_t encoding)
{
    uint32_t el = level_of(e->env);
    if (e->rows[encoding] || !(lowest_access(encoding) >> 2 * el & 3)) return false;
    return !real.get_arm_cp_reginfo(AT(void *, e->cpu, CPU_CP_REGS), key_of(encoding));
}

/* Which register of the engine's traps as one does that it lacks: it has fewer event counters than the board, and some of
 * the debug registers (D17.5, D17.3). Null where none is known.
 */
static const struct reginfo *kindred(struct engine *e, uint32_t encoding)
{
    enum { PMEVCNTR0 = 0xDF40, ARRAYS = 0xFFC0, PMEVTYPER = 0x20 }; /* Op0 3, Op1 3, CRn 14, CRm 8; types from CRm 12 */
    enum { DBGPRCR_EL1 = 0x80A4, OSDLR_EL1 = 0x809C, MDSCR_EL1 = 0x8012 };
    uint32_t known;
    if ((encoding & ARRAYS) == (PMEVCNTR0 & ARRAYS)) known = PMEVCNTR0 | (encoding & PMEVTYPER);
    else if (encoding >> 14 == 2) known = encoding == DBGPRCR_EL1 ? OSDLR_EL1 : MDSCR_EL1;
    else return NULL;
    return real.get_arm_cp_reginfo(AT(void *, e->cpu, CPU_CP_REGS), key_of(known));
}

/* Let a row answer for a register from the next translation on; 0 where NATIVE is asked for and the engine has none. */
EXPORT int shim_set_row(struct engine *e, uint32_t encoding, int read, int write, uint64_t value)
{
    const struct reginfo *own = real.get_arm_cp_reginfo(AT(void *, e->cpu, CPU_CP_REGS), key_of(encoding));
    if (!own && (read == NATIVE || write == NATIVE || write == BEFORE_NATIVE || write == REGIME)) return 0;
    const struct reginfo *other = NULL;
    if (read == ALIAS) {
        other = real.get_arm_cp_reginfo(AT(void *, e->cpu, CPU_CP_REGS), key_of((uint32_t)value));
        if (!own || !other || !other->readfn) return 0;
    }
    if (read == COUNT && !(own && own->readfn)) return 0;
    struct row *row = e->rows[encoding];
    if (!row && !(row = e->rows[encoding] = calloc(1, sizeof *row))) return 0;
    struct reginfo *info = &row->info;
    *info = own ? *own : (struct reginfo){.name = "row", .state = CP_STATE_AA64, .access = lowest_access(encoding)};
    const struct reginfo *like = own ? NULL : kindred(e, encoding);
    if (like) info->accessfn = like->accessfn;
    row->engine = e, row->own = own, row->other = other, row->encoding = encoding;
    row->read = (uint8_t)read, row->write = (uint8_t)write;
    row->bits = write == BEFORE_NATIVE ? value : 0;
    if (read == UNDEFINED) info->access &= ~CP_READ_BITS;
    if (write == UNDEFINED) info->access &= ~CP_WRITE_BITS;
    if (own && (read == CONSTANT || read == PYTHON || read == WORD)) info->access |= lowest_access(encoding) & CP_READ_BITS & 0xA8;
    if (own && (write == PYTHON || write == IGNORED || write == WORD)) info->access |= lowest_access(encoding) & CP_WRITE_BITS & 0x54;
    int kept = own && (read == NATIVE || read == ALIAS || read == COUNT || write == NATIVE || write == BEFORE_NATIVE || write == REGIME) ? own->type : 0;
    info->type = (kept & ~(CP_CONST | CP_SPECIAL)) | CP_NO_RAW | CP_IO | CP_RAISES_EXC;
    if (read == CONSTANT && (write == UNDEFINED || write == IGNORED)) { /* a write of a constant is ignored */
        info->type = CP_CONST | CP_NO_RAW;
        info->resetvalue = value;
    }
    bool is_field = own && !own->readfn && !(own->type & (CP_CONST | CP_SPECIAL));
    info->readfn = read == PYTHON ? read_python : read == WORD ? read_word : read == NATIVE && !is_field ? read_native : NULL;
    if (read == ALIAS) info->readfn = read_other;
    if (read == COUNT) info->readfn = read_count;
    switch (write) {
    case PYTHON: info->writefn = write_python; break;
    case BEFORE_NATIVE: info->writefn = write_before_native; break;
    case NATIVE: info->writefn = write_native; break;
    case REGIME:
        info->writefn = write_regime;
        e->has_regimes = true;
        break;
    case INSTRUCTION_CACHE: info->writefn = write_instruction_cache; break;
    case WHOLE_INSTRUCTION_CACHE: info->writefn = write_whole_instruction_cache; break;
    case IGNORED: info->writefn = write_ignored; break;
    case WORD: info->writefn = write_word; break;
    default: info->writefn = NULL;
    }
    if (write == INSTRUCTION_CACHE) info->type |= CP_SUPPRESS_TB_END; /* all others end the block, listened to or not */
    return 1;
}

/* Where the value of a register lies whose row has WORD; it is looked at by each access. */
EXPORT void shim_set_word(struct engine *e, uint32_t encoding, struct word *word)
{
    if (e->rows[encoding]) e->rows[encoding]->word = word;
}

/* The engine's own row answers again, or none. The row stays until the end: translated code may have it. */
EXPORT void shim_forget_row(struct engine *e, uint32_t encoding)
{
    struct row *row = e->rows[encoding];
    if (!row) return;
    row->next_free = e->retired;
    e->retired = row;
    e->rows[encoding] = NULL;
}

void free_rows(struct engine *e)
{
    for (unsigned i = 0; i < 0x10000; i++) free(e->rows[i]);
    free(e->rows);
    while (e->retired) {
        struct row *row = e->retired;
        e->retired = row->next_free;
        free(row);
    }
}
