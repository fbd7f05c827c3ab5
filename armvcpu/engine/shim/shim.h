/* The shim: C that answers in place of some of Unicorn's internal functions, for engines that are attached to it.
 *
 * It decides nothing that a hypervisor decides: it enters exceptions that the guest takes itself (by the engine's own
 * code), puts rows before the engine's register table, emits the checks and counts of blocks, and calls Python for the
 * rest. Each file is one of these things; slots.c has the table of what is answered and why.
 *
 * Callbacks run on the thread that is in uc_emu_start. There is no state outside `struct engine` but which engine a
 * thread translates for, so any number of engines may run in any number of threads.
 */
#ifndef ARMVCPU_SHIM_H
#define ARMVCPU_SHIM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include "unicorn.h"
#include "arm.h"

#define EXPORT __attribute__((visibility("default")))

enum {
    TARGET_WAIT = 0x21, /* told to Python as the target of an exception: the guest waits for an interrupt */
    STORM = 64,     /* so many exceptions in a row from inside the vector they go to: the guest can't get out of it */
    LOOP = 1 << 16, /* and so many from one or two addresses elsewhere, without a return */
    KEPT_FAULTS = 4,
    FAILED = 2,
    LONGEST = 512, /* instructions of a block at most: TCG_MAX_INSNS */
};
#define NO_ADDRESS UINT64_MAX

/* An exception, and what the CPU was at: PSTATE without NZCV and DAIF; and the level that it was entered at. */
struct fault {
    int64_t esr, far, elr, pstate, sp, x29, x30, level;
};

/* The part of an engine that Python sees, word by word (native.py has the same names in the same order). */
struct shared {
    int64_t left;         /* 1: Python wants the run to end when its callback has returned; FAILED: it has failed in it */
    int64_t counting;     /* 1: blocks translated from now on count their instructions */
    int64_t countdown;    /* how many instructions may still begin, those of the present block taken off already */
    int64_t stop_at;      /* the count of instructions at which `countdown` is 0 */
    int64_t block;        /* the translation block that runs, 0 between blocks */
    int64_t position;     /* in a callback of an instruction: how many of its block have been executed */
    int64_t exact;        /* the next block has so many instructions at most, and ends the run; 0: as always */
    int64_t hear[3];      /* by level from EL1 on, a bit for each exception class: what Python is asked about before */
    int64_t highest;      /* the highest level that is the guest's own: exceptions to it and those below are entered here */
    int64_t secure;       /* 1: the access of a device under way is a Secure one */
    int64_t observe;      /* 1: Python hears of each exception that has been entered */
    int64_t semihosting;  /* 1: HLT #0xF000 is Python's */
    int64_t yields;       /* 1: a wait (WFE, YIELD) ends the run */
    int64_t yielded;      /* 1: one has */
    int64_t last[4];      /* ESR, FAR (0 where the class has none), ELR and level of the last exception entered */
    int64_t return_pc;    /* where the run is over, and with which stack pointer: a function that Python has called returns */
    int64_t return_sp;
    int64_t returns;      /* 1: it is looked for; 2: it has been reached */
    int64_t edge;         /* the block before this one, as the map of edges has it */
    int64_t translations; /* blocks translated so far */
    int64_t entries;      /* exceptions and interrupts that have been entered */
    int64_t storm;        /* exceptions in a row from the vector that they go to */
    int64_t loop;         /* or from one or two addresses elsewhere; faults.c */
    int64_t is_pair;      /* 1: from two */
    int64_t interrupts;   /* that the guest has not returned from */
    int64_t faulted;      /* exceptions, each from another address than those before it, that it has not returned from */
    struct fault faults[KEPT_FAULTS]; /* the first of those, and the last ones */
};

/* What Python gives: called with the interpreter's lock taken by ctypes. None of them raises. */
struct callbacks {
    void (*trap)(uint32_t target_el, uint32_t syndrome, uint64_t far);
    uint64_t (*read)(uint32_t encoding);
    uint64_t (*write)(uint32_t encoding, uint64_t value); /* gives what is written to a register of the engine's own */
    void (*entered)(uint32_t syndrome);                   /* an exception has been entered; or a storm of them */
    uint64_t (*io_read)(void *device, uint64_t offset, uint32_t width);
    void (*io_write)(void *device, uint64_t offset, uint32_t width, uint64_t value);
    void (*code)(uint64_t pc);
    void (*sample)(void);  /* a moment has come at which it wants to look (samples.c) */
    void (*probe)(uint64_t pc);
    void (*watched)(uint64_t address, uint32_t width, uint32_t is_write); /* an access that is about to be made */
    void (*branch)(uint64_t pc, uint32_t word);           /* one that is about to be executed */
    void (*level)(uint32_t what, uint32_t from);          /* enum level_change, and the level before */
    void (*traced)(void);                                 /* the buffer of a block trace is full */
    void (*crossed)(void); /* EL3 has been entered or left while `signalled` has groups by which the lines depend on that */
};

enum { MOST_ANSWERS = 80 }; /* DC ZVA stores 64 bytes, and some twice; no other instruction has more accesses */
struct answer {
    uint64_t address, value;
    uint32_t width;
    bool is_write, is_used;
};
/* An instruction that is to be executed again (devices.c). */
struct replay {
    uint64_t pc;
    unsigned count; /* of answers; 0: there is none */
    unsigned watched; /* of watched accesses, since it is executed again: so many as there are answers have been told of */
    bool has_begun, stops;
    uint32_t interrupts;
    struct answer answers[MOST_ANSWERS];
};

enum { SECURE_RANGES = 16, ALIASES = 4 };
struct range {
    uint64_t begin, end;
};
/* Physical addresses of which loads and fetches find what is at `to`; stores go where they say (pages.c). */
struct alias {
    struct range range;
    uint64_t to;
};

struct engine {
    struct shared shared; /* first: Python has its address */
    void *uc, *cpu, *env, *tcg;
    struct callbacks python;
    struct row **rows; /* by packed encoding */
    struct row *retired;
    struct through *throughs; /* registers that instructions access in another way (access.c) */
    uint64_t count_origin; /* what the host's count was when the guest's was zero (rows.c) */
    struct engine *next;
    uint64_t gone_line, gone_at; /* a physical line with no translations, and `translations` then (code.c) */
    uint64_t word_at;            /* the last instruction word that a translator has read */
    void *lengths;               /* the operation of the block under way that has its length */
    void *translated_block;
    const uint64_t *signalled; /* a bitmap of groups whose interrupt is signalled as IRQ or FIQ by the level; or null */
    struct range secure[SECURE_RANGES]; /* what Non-secure accesses don't reach (pages.c) */
    struct alias aliases[ALIASES];
    unsigned secure_count, alias_count;
    bool has_regimes;   /* are flushes just of what writes are about (flush.c)? */
    bool writes_regime; /* is a register of EL1&0's translation being written? */
    uint16_t filled;    /* which of the TLB's indices may have something, where has_regimes */
    uint64_t *executed; /* which pages instructions have been fetched from, where stage 2 is not Python's (pages.c) */
    struct dirty *dirty; /* the log of pages that are written, where there is one */
    struct records *records;       /* of translated blocks, where they have been kept (records.c) */
    uint32_t branches;             /* the kinds of branches that Python hears of (branches.c) */
    bool hears_levels, hears_code; /* does it hear of interrupts and returns, of each instruction? */
    void *traced_number;           /* the operation of the block under way that has its record's number */
    struct block_trace *trace;     /* which blocks begin, where that is traced (blocktrace.c) */
    struct record *running_record; /* that of the block that runs; null between blocks */
    bool keeps_records, is_at_branch; /* of what is translated; is the word under way a conditional branch? */
    uint32_t block_words[LONGEST]; /* of what is translated, while records are kept */
    void *record_addresses[2];        /* the operations of the block under way that have its record's address */
    int64_t *tally;      /* how often Python was called, and for how long, where somebody wants to know (tally.h) */
    int64_t run_began;   /* when the present run has, with a tally */
    int64_t sample_step, sample_at, sample_below; /* samples by instructions: how many lie between two, 0 none; the next one;
                                                     and what `countdown` is below behind a block that it falls into */
    uint64_t samples_by_clock, next_sample;       /* by the host's clock: ns between two, 0 none; the next one */
    atomic_int is_sample_due;
    uint8_t *edges;      /* the map of edges, where they are counted (edges.c) */
    struct fetched *fetched; /* what blocks have been translated from, once the guest has forgotten all (icache.c) */
    struct compares *compares; /* the log of compares, where there is one (compares.c) */
    struct probes *probes; /* addresses of instructions that Python hears of (probes.c) */
    uint64_t passed;       /* of them, the one at which the run was left: it goes on there without hearing again */
    uint64_t again;        /* an instruction that will be executed once more, of which hooks have heard (probes.c) */
    struct watches *watches; /* what accesses of memory Python hears of (watches.c) */
    uint64_t filling;        /* the physical page that the TLB is being filled with */
    void *opens;             /* the operation of the block under way that has where it ends for its length alone (cuts.c) */
    uint64_t open, rest_pc;  /* where the block of exact length under way ends so; where a block was left in its middle */
    unsigned rest, allowed;  /* and how many instructions that had still to come, at most */
    uint32_t held;           /* interrupts that come behind these */
    bool is_open;            /* did the block that is translated go on behind the last instruction? */
    uint64_t return_block, return_at; /* at which PC, and where that is, blocks look whether a call is over (calls.c) */
    uint64_t alarm; /* when the engine is to be stopped, 0 never (alarms.c) */
    bool is_watched, has_alarmed;
    struct engine *next_watched;
    void *label;
    void *io_pc;         /* the device access under way, where registers have been asked for */
    uint64_t io_frame[33];
    struct replay replay;
    pthread_t runner; /* the thread that ran last */
    bool has_runner;
    atomic_int stop; /* a request from any thread that no run has ended for yet */
};

/* The engine that this thread translates for; null outside of translation, and for engines that aren't ours. */
extern __thread struct engine *translating;

struct engine *engine_of_uc(const void *uc);
struct engine *engine_of_env(const void *env);

/* Unicorn's own functions. */
struct originals {
    void (*abort)(void);
    int (*fprintf)(void *stream, const char *format, ...);
    int (*printf)(const char *format, ...);
    int (*cpu_exec)(void *uc, void *cpu);
    void (*cpu_loop_exit)(void *cpu);
    bool (*cpu_restore_state)(void *cpu, uintptr_t host_pc, bool will_exit);
    uint32_t (*cpu_ldl_code)(void *env, uint64_t address);
    void (*arm_cpu_do_interrupt)(void *cpu);
    uint64_t (*arm_hcr_el2_eff)(void *env);
    void (*arm_rebuild_hflags)(void *env);
    void (*hw_breakpoint_update_all)(void *cpu);
    void (*pmu_op_start)(void *env);
    void (*pmu_op_finish)(void *env);
    void (*arm_cpu_update_virq)(void *cpu);
    void (*arm_cpu_update_vfiq)(void *cpu);
    int (*fp_exception_el)(void *env, int el);
    void (*raise_exception)(void *env, uint32_t exception, uint32_t syndrome, uint32_t target_el);
    const struct reginfo *(*get_arm_cp_reginfo)(void *table, uint32_t key);
    void (*gen_intermediate_code)(void *cpu, void *block, int most);
    void (*check_exit_request)(void *tcg);
    void (*tcg_gen_callN)(void *tcg, void *function, void *result, int count, void **arguments);
    void (*tcg_gen_exit_tb)(void *tcg, void *block, unsigned index);
    void *(*gen_new_label)(void *tcg);
    void *(*tcg_temp_new_internal)(void *tcg, int type, bool local);
    void (*tcg_temp_free_internal)(void *tcg, void *temp);
    void *(*tcg_const_i64)(void *tcg, int64_t value);
    void (*tcg_gen_op1)(void *tcg, int op, uintptr_t a);
    void (*tcg_gen_op2)(void *tcg, int op, uintptr_t a, uintptr_t b);
    void (*tcg_gen_op3)(void *tcg, int op, uintptr_t a, uintptr_t b, uintptr_t c);
    void (*tcg_gen_brcondi_i32)(void *tcg, int condition, void *value, int32_t with, void *label);
    void (*tcg_gen_brcondi_i64)(void *tcg, int condition, void *value, int64_t with, void *label);
    void (*tcg_gen_ext8u_i64)(void *tcg, void *to, void *from);
    void (*tcg_gen_ext16u_i64)(void *tcg, void *to, void *from);
    void (*tcg_gen_ext32u_i64)(void *tcg, void *to, void *from);
    void (*smin)(void *tcg, void *result, void *address, void *value, uintptr_t index, int memop);
    void (*smax)(void *tcg, void *result, void *address, void *value, uintptr_t index, int memop);
    uint32_t (*read_device)(void *uc, void *region, uint64_t address, uint64_t *value, int memop, uint32_t attributes);
    uint32_t (*write_device)(void *uc, void *region, uint64_t address, uint64_t value, int memop, uint32_t attributes);
    void (*tlb_reset_dirty_by_vaddr)(void *cpu, uint64_t start, uint64_t length);
    void (*tlb_flush)(void *cpu);
    void (*tlb_flush_by_mmuidx)(void *cpu, uint16_t indices);
    void (*tb_flush)(void *cpu);
    void (*tb_invalidate_phys_range)(void *uc, uint64_t start, uint64_t end);
    void (*tb_invalidate_phys_page_fast)(void *uc, void *pages, uint64_t start, int size, uintptr_t host_pc);
    void (*tlb_set_dirty)(void *cpu, uint64_t address);
    void (*tlb_reset_dirty)(void *cpu, uint64_t start, uint64_t length);
    void (*tlb_set_page_with_attrs)(void *cpu, uint64_t address, uint64_t physical, uint32_t attributes, int prot, int index,
                                    uint64_t size);
    bool (*get_phys_addr)(void *env, uint64_t address, int access, int index, uint64_t *physical, void *attributes, int *prot,
                          uint64_t *size, struct fault_info *fi, void *cache);
    uint64_t (*address_space_ldq_le)(void *uc, void *space, uint64_t address, uint32_t attributes, uint32_t *result);
    int (*uc_emu_start)(void *uc, uint64_t begin, uint64_t until, uint64_t timeout, size_t count);
    int (*uc_vmem_translate)(void *uc, uint64_t address, int access, uint64_t *physical);
    void (*translator_loop_temp_check)(void *context);
    void (*tcg_tb_foreach)(void *tcg, int (*visit)(void *key, void *block, void *data), void *data);
    void (*tb_phys_invalidate)(void *tcg, void *block, uint64_t page);
    int (*cpu_watchpoint_address_matches)(void *cpu, uint64_t page, uint64_t length);
    void (*cpu_check_watchpoint)(void *cpu, uint64_t address, uint64_t length, uint32_t attributes, int access,
                                 uintptr_t host_pc);
    void *(*helper_lookup_tb_ptr)(void *env);
    void (*helper_exception_return)(void *env, uint64_t pc);
    void (*helper_wfi)(void *env, uint32_t length);
    void (*helper_msr_i_daifclear)(void *env, uint32_t mask);
    void *helper_check_exit_request, *helper_wfe, *helper_yield;
};
extern struct originals real;

/* traps.c */
void shim_trap(void *uc, uint32_t number, void *engine);
void leave_chain(struct engine *);
void stop_run(struct engine *);
_Noreturn void leave_block(struct engine *);
void shim_arm_cpu_do_interrupt(void *cpu);
void cross_el3(struct engine *);
void shim_take_exception(struct engine *, uint32_t target, uint32_t syndrome, uint64_t far, int serror);

/* levels.c */
bool is_masked_for_host(const struct engine *);
bool is_trapped_by_mdcr(uint32_t encoding);
int trap_by_mdcr(struct engine *, uint32_t encoding);
void helper_unmask(void *env, uint32_t mask);
bool has_virtual_serror(const void *env);
bool takes_virtual_serror(const void *env);
void take_virtual_serror(struct engine *);
uint32_t syndrome_for_el2(struct engine *, uint32_t syndrome);

/* faults.c */
bool note_fault(struct engine *, const struct fault *, uint64_t vector);
void note_return(struct engine *);
void forget_faults(struct engine *);
void helper_return(void *env, uint64_t pc);

/* rows.c */
const struct reginfo *shim_get_arm_cp_reginfo(void *table, uint32_t key);
const struct reginfo *row_or_own(struct engine *, void *table, uint32_t encoding);
bool is_unclaimed(struct engine *, uint32_t encoding);
void free_rows(struct engine *);

/* access.c */
enum { OF_ITSELF, OF_EL1, OF_EL2 };
struct reginfo *through(struct engine *, uint32_t kind, uint32_t encoding, const struct reginfo *to);
const struct reginfo *corrected(struct engine *, uint32_t encoding, uint32_t el, const struct reginfo *found);
bool is_hvc_disabled(const struct engine *);
void free_throughs(struct engine *);

/* vhe.c */
const struct reginfo *named_register(struct engine *, void *table, uint32_t encoding);

/* walk.c */
int address_size_fault(struct engine *, uint64_t address, int access, int index, const uint64_t *physical);

/* pages.c */
bool shim_get_phys_addr(void *env, uint64_t address, int access, int index, uint64_t *physical, void *attributes, int *prot,
                        uint64_t *size, struct fault_info *fi, void *cache);
void shim_tlb_set_page_with_attrs(void *cpu, uint64_t address, uint64_t physical, uint32_t attributes, int prot, int index,
                                  uint64_t size);
void forget_executed(struct engine *);

/* flush.c */
void shim_tlb_flush(void *cpu);
void shim_tlb_flush_by_mmuidx(void *cpu, uint16_t indices);

/* stages.c */
void fault_of_walk(struct engine *, struct fault_info *);
int regime_under_tge(const void *env, int index);

/* monitors.c */
void shim_pmu_op_start(void *env);
void shim_pmu_op_finish(void *env);

/* fp.c */
int shim_fp_exception_el(void *env, int el);

/* blocks.c */
void shim_check_exit_request(void *tcg);
void shim_tcg_gen_callN(void *tcg, void *function, void *result, int count, void **arguments);
void shim_tcg_gen_exit_tb(void *tcg, void *block, unsigned index);
void shim_gen_intermediate_code(void *cpu, void *block, int most);
void ask_again(struct engine *);
void shim_next_block(struct engine *, uint32_t most);
int64_t shim_instructions(const struct engine *);
void settle(struct engine *, uint64_t pc, int64_t executed_there);
bool is_at_stop(const struct engine *);
void end_exact(struct engine *);

/* hooks.c */
void emit_code(struct engine *, uint64_t pc);

/* probes.c */
void emit_probe(struct engine *, uint64_t pc);
void forget_probes(struct engine *);
void note_again(struct engine *, uint64_t pc);

/* watches.c */
int shim_cpu_watchpoint_address_matches(void *cpu, uint64_t page, uint64_t length);
void shim_cpu_check_watchpoint(void *cpu, uint64_t address, uint64_t length, uint32_t attributes, int access,
                               uintptr_t host_pc);
void forget_watches(struct engine *);

/* cuts.c */
void shim_translator_loop_temp_check(void *context);
void emit_open(struct engine *, void *tcg);
void settle_open(struct engine *, const void *block);
void note_cut(struct engine *, uint64_t pc);
void note_end(struct engine *);
void forget_cut(struct engine *);
void begin_rest(struct engine *);
void end_rest(struct engine *);

/* samples.c */
void begin_samples(struct engine *, int64_t executed);
void sample_block(struct engine *, const void *block, int64_t length);
bool sample_between(struct engine *);

/* calls.c */
void emit_return(struct engine *, void *tcg, void *result, int count, void **arguments);

/* edges.c */
void emit_edge(struct engine *, void *tcg);

/* records.c */
void emit_record(struct engine *, void *tcg);
void note_word(struct engine *, uint32_t word);
void end_record(struct engine *, const void *block);
void settle_record(struct engine *, uint64_t pc, int64_t executed_there);
void settle_record_of(struct engine *, struct record *, uint64_t pc, int64_t executed_there);
void shim_tcg_gen_brcondi_i32(void *tcg, int condition, void *value, int32_t with, void *label);
void shim_tcg_gen_brcondi_i64(void *tcg, int condition, void *value, int64_t with, void *label);
void forget_records(struct engine *);

/* branches.c */
enum level_change { IRQ_TAKEN, FIQ_TAKEN, RETURNED };
void emit_branch(struct engine *, uint64_t pc, uint32_t word);
void tell_level(struct engine *, uint32_t what, uint32_t from);

/* blocktrace.c */
void emit_traced(struct engine *, void *tcg);
void note_traced_cut(struct engine *, uint32_t executed);
void forget_trace(struct engine *);

/* compares.c */
void emit_compare(struct engine *, uint32_t word);

/* alarms.c */
void forget_alarm(struct engine *);
void sample_by_clock(struct engine *, uint64_t ns);

/* waits.c */
void helper_wait_for_event(void *env);
void helper_wait_for_interrupt(void *env, uint32_t length);
void helper_yield_turn(void *env);
int shim_cpu_exec(void *uc, void *cpu);
void shim_request_stop(struct engine *);

/* code.c */
void shim_abort(void);
int shim_fprintf(FILE *stream, const char *format, ...);
int shim_printf(const char *format, ...);
uint32_t shim_cpu_ldl_code(void *env, uint64_t address);
void forget_code(struct engine *, uint64_t address, uint64_t size);
void shim_tlb_reset_dirty_by_vaddr(void *cpu, uint64_t start, uint64_t length);
void forget_line(struct engine *, uint64_t address);

/* icache.c */
void note_fetched(struct engine *, const void *block);
void forget_changed_code(struct engine *);
void forget_fetched(struct engine *);

/* dirty.c */
bool find_ram(struct engine *, uint64_t address, uint64_t *base, char **host);
void shim_tb_invalidate_phys_page_fast(void *uc, void *pages, uint64_t start, int size, uintptr_t host_pc);
void shim_tlb_set_dirty(void *cpu, uint64_t address);
void shim_untrack_dirty(struct engine *);
void mark_written(struct engine *, uint64_t start, uint64_t end);

/* devices.c */
uint32_t shim_read_device(void *, void *, uint64_t, uint64_t *, int, uint32_t);
uint32_t shim_write_device(void *, void *, uint64_t, uint64_t, int, uint32_t);
void end_replay(struct engine *);
void forget_replay(struct engine *);

/* atomics.c */
void shim_smin(void *, void *, void *, void *, uintptr_t, int);
void shim_smax(void *, void *, void *, void *, uintptr_t, int);

#endif
