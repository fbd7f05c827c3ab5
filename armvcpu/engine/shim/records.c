/* Records: what each translated block is, how often it has been executed, and how.
 *
 * A block counts in its record, which stays at its place in memory, and is the one that runs from then on. A conditional
 * branch counts again on the path that falls through it. An exception, or a handler that leaves a block in the middle, is
 * noted as how many instructions had been executed there. So a branch has been taken as often as its block was executed,
 * less what fell through it, less what did not come to it; and all counts are exact, whatever comes between two blocks.
 *
 * The same instructions, at the same virtual and physical address, have the same record whenever they are translated. A
 * guest that writes new code for ever gets records up to a limit, and one for all that come after.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include "emit.h"

enum {
    MOST = 1 << 22, MOST_WORDS = 1 << 26,
    BUCKET_BITS = 18,
    READ = 1, EXECUTE = 4,
    WITHOUT_ROOM = 0, /* the number of the record of all blocks that there was no room for */
};

/* As Python has it (`Record` of api.py). */
struct record {
    uint64_t pc, physical; /* of the first instruction; physical is all ones where that is not known */
    uint64_t executed, fell, aborted;
    uint32_t instructions, words; /* how many, and where among all words the first one's is */
    uint32_t number, next;       /* its own number; the next one's of the same bucket, or 0 */
    uint32_t places, unused;     /* the first of its places, counted from 1, or 0 */
};
_Static_assert(sizeof(struct record) == 64, "struct record");

/* Where a block has been left before its end: behind so many of its instructions. */
struct place {
    uint64_t times;
    uint32_t record, executed;
    uint32_t next, unused; /* the next one of the same record, as `places` */
};
_Static_assert(sizeof(struct place) == 24, "struct place");

enum { BLOCKS, PLACES, WORDS };
struct records {
    uint32_t counts[3]; /* of each of these arrays */
    struct record blocks[MOST];
    struct place places[MOST];
    uint32_t words[MOST_WORDS];
    uint32_t buckets[1 << BUCKET_BITS];
};

static uint32_t *bucket_of(struct records *r, uint64_t pc, uint64_t physical)
{
    uint64_t mixed = (pc >> 2 ^ physical << 7) * 0x9E3779B97F4A7C15u; /* by the golden ratio */
    return &r->buckets[mixed >> (64 - BUCKET_BITS)];
}

/* The record of a block, a new one where there was none. */
static struct record *record_of(struct engine *e, uint64_t pc, uint64_t physical, uint32_t instructions)
{
    struct records *r = e->records;
    uint32_t *bucket = bucket_of(r, pc, physical);
    size_t size = instructions * sizeof *r->words;
    for (uint32_t number = *bucket; number; number = r->blocks[number].next) {
        struct record *known = &r->blocks[number];
        if (known->pc == pc && known->physical == physical && known->instructions == instructions
            && !memcmp(r->words + known->words, e->block_words, size))
            return known;
    }
    if (r->counts[BLOCKS] == MOST || r->counts[WORDS] + instructions > MOST_WORDS) return &r->blocks[WITHOUT_ROOM];
    uint32_t number = r->counts[BLOCKS]++, words = r->counts[WORDS];
    memcpy(r->words + words, e->block_words, size);
    r->counts[WORDS] += instructions;
    r->blocks[number] = (struct record){pc, physical, 0, 0, 0, instructions, words, number, *bucket, 0, 0};
    return &r->blocks[*bucket = number];
}

/* The block that runs is left where so many of its instructions have been executed. */
static void note_place(struct records *r, struct record *record, uint32_t executed)
{
    record->aborted++;
    for (uint32_t at = record->places; at; at = r->places[at - 1].next) {
        if (r->places[at - 1].executed != executed) continue;
        r->places[at - 1].times++;
        return;
    }
    if (r->counts[PLACES] == MOST) return;
    r->places[r->counts[PLACES]++] = (struct place){1, record->number, executed, record->places, 0};
    record->places = r->counts[PLACES];
}

/* The block that runs ends at `pc`, behind `executed_there` more instructions, by something else than its own end. */
void settle_record(struct engine *e, uint64_t pc, int64_t executed_there)
{
    struct record *record = e->running_record;
    if (!record) return;
    e->running_record = NULL;
    int64_t executed = ((int64_t)(pc - record->pc) >> 2) + executed_there;
    if (executed < 0 || executed >= record->instructions) return;
    note_place(e->records, record, (uint32_t)executed);
    if (e->trace) note_traced_cut(e, (uint32_t)executed);
}

/* The same for a block whose record has been kept, since it was not known then how it ends; null: there was none. */
void settle_record_of(struct engine *e, struct record *record, uint64_t pc, int64_t executed_there)
{
    if (!record) return;
    e->running_record = record;
    settle_record(e, pc, executed_there);
}

/* B.cond, CBZ and CBNZ, TBZ and TBNZ: DDI 0487 C4.1.65. */
static bool is_conditional(uint32_t word)
{
    return (word & 0xFF000010) == 0x54000000 || (word & 0x7E000000) == 0x34000000 || (word & 0x7E000000) == 0x36000000;
}

/* One more in a word of the block's record, whose address is known when the block has been translated. */
static void *emit_increment(void *tcg, uintptr_t record, size_t offset)
{
    uintptr_t one = constant(tcg, (void *)1), count = new_temp(tcg, TYPE_I64);
    real.tcg_gen_op2(tcg, OP_MOVI_I64, record, 0);
    void *address = last_operation(tcg);
    real.tcg_gen_op3(tcg, OP_LD_I64, count, record, offset);
    real.tcg_gen_op3(tcg, OP_ADD_I64, count, count, one);
    real.tcg_gen_op3(tcg, OP_ST_I64, count, record, offset);
    free_temp(tcg, one), free_temp(tcg, count);
    return address;
}

/* The block has begun. */
void emit_record(struct engine *e, void *tcg)
{
    uintptr_t record = new_temp(tcg, TYPE_I64), at = constant(tcg, &e->running_record);
    e->record_addresses[0] = emit_increment(tcg, record, offsetof(struct record, executed));
    real.tcg_gen_op3(tcg, OP_ST_I64, record, at, 0);
    free_temp(tcg, record), free_temp(tcg, at);
}

/* A branch of the translator's, in the code of a conditional branch: what comes next in the block has fallen through it. */
static void emit_fall(struct engine *e, void *tcg)
{
    e->is_at_branch = false;
    int before = *operations(tcg);
    uintptr_t record = new_temp(tcg, TYPE_I64);
    e->record_addresses[1] = emit_increment(tcg, record, offsetof(struct record, fell));
    free_temp(tcg, record);
    *operations(tcg) = before;
}

void shim_tcg_gen_brcondi_i32(void *tcg, int condition, void *value, int32_t with, void *label)
{
    real.tcg_gen_brcondi_i32(tcg, condition, value, with, label);
    if (translating && translating->is_at_branch) emit_fall(translating, tcg);
}

void shim_tcg_gen_brcondi_i64(void *tcg, int condition, void *value, int64_t with, void *label)
{
    real.tcg_gen_brcondi_i64(tcg, condition, value, with, label);
    if (translating && translating->is_at_branch) emit_fall(translating, tcg);
}

/* A word has been read that is about to be translated. */
void note_word(struct engine *e, uint32_t word)
{
    uint64_t at = (e->word_at - AT(uint64_t, e->translated_block, TB_PC)) >> 2;
    if (at < LONGEST) e->block_words[at] = word;
    e->is_at_branch = is_conditional(word);
}

/* Where code has just been fetched from: what the TLB says in one of its regimes, or, in several, in the present one. */
static uint64_t physical_of(const struct engine *e, uint64_t pc)
{
    enum { IN_PAGE = (1 << PAGE_BITS) - 1, INVALID = 1 << (PAGE_BITS - 1) };
    const struct tlb *tlb = (const struct tlb *)((const char *)e->env + ENV_TLB);
    uint64_t found = UINT64_MAX, physical;
    bool is_clear = true;
    for (int i = 0; i < TLB_REGIMES; i++) {
        const struct tlb_entry *entry = &tlb[i].entries[pc >> PAGE_BITS & tlb[i].mask / sizeof(struct tlb_entry)];
        if ((entry->code & (~(uint64_t)IN_PAGE | INVALID)) != (pc & ~(uint64_t)IN_PAGE)) continue;
        is_clear &= found == UINT64_MAX || found == entry->physical;
        found = entry->physical;
    }
    if (is_clear && found != UINT64_MAX) return found | (pc & IN_PAGE);
    if (real.uc_vmem_translate(e->uc, pc, EXECUTE, &physical) && real.uc_vmem_translate(e->uc, pc, READ, &physical))
        return UINT64_MAX;
    return physical;
}

/* A block has been translated: its code gets the address of its record. */
void end_record(struct engine *e, const void *block)
{
    uint64_t pc = AT(uint64_t, block, TB_PC);
    struct record *record = record_of(e, pc, physical_of(e, pc), AT(uint16_t, block, TB_ICOUNT));
    for (int i = 0; i < 2; i++)
        if (e->record_addresses[i]) AT(void *, e->record_addresses[i], OP_ARGS + 8) = record;
    if (e->traced_number) AT(uintptr_t, e->traced_number, OP_ARGS + 8) = record->number;
}

/* Keep records of what is translated from now on, or, 0, no more: those that there are stay. What was translated must be
 * forgotten. 0 where the host gives no memory; what is not used of it costs address space only.
 */
EXPORT int shim_keep_records(struct engine *e, int wanted)
{
    e->running_record = NULL;
    if (wanted && !e->records) {
        enum { FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE };
        struct records *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, FLAGS, -1, 0);
        if (r == MAP_FAILED) return 0;
        r->blocks[r->counts[BLOCKS]++] = (struct record){.pc = UINT64_MAX, .physical = UINT64_MAX};
        e->records = r;
    }
    e->keeps_records = wanted;
    return 1;
}

/* Of records, places or words (0, 1, 2): how many there are, and where they lie. */
EXPORT uint32_t shim_record_count(const struct engine *e, uint32_t what) { return e->records ? e->records->counts[what] : 0; }

EXPORT const void *shim_records(const struct engine *e, uint32_t what)
{
    const struct records *r = e->records;
    return what == BLOCKS ? (const void *)r->blocks : what == PLACES ? (const void *)r->places : r->words;
}

void forget_records(struct engine *e)
{
    if (e->records) munmap(e->records, sizeof *e->records);
    e->records = NULL;
}
