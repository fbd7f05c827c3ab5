/* Engines that are attached to the shim, found by their uc, their CPU's env, or the device that is accessed. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "shim.h"

__thread struct engine *translating;

enum { BUCKETS = 256 };
static _Atomic(struct engine *) by_uc[BUCKETS];
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;
static __thread struct engine *last_found;
static atomic_uint detached; /* how often: a thread's `last_found` may be gone since */
static __thread unsigned last_detached;

static unsigned bucket_of(const void *uc) { return (uintptr_t)uc >> 6 & (BUCKETS - 1); }

/* Null for one that is not attached. */
struct engine *engine_of_uc(const void *uc)
{
    unsigned now = atomic_load_explicit(&detached, memory_order_acquire);
    if (last_found && last_detached == now && last_found->uc == uc) return last_found;
    struct engine *e = atomic_load_explicit(&by_uc[bucket_of(uc)], memory_order_acquire);
    while (e && e->uc != uc) e = e->next;
    last_found = e;
    last_detached = now;
    return e;
}

struct engine *engine_of_env(const void *env) { return engine_of_uc(AT(void *, env, ENV_UC)); }

/* Attach an engine whose CPU exists; null where this library keeps its pointers in other places. */
EXPORT struct engine *shim_attach(void *uc, const struct callbacks *python)
{
    void *cpu = AT(void *, uc, UC_CPU), *tcg = AT(void *, uc, UC_TCG_CONTEXT);
    if (!cpu || !tcg || AT(void *, cpu, CPU_UC) != uc || AT(void *, tcg, TCG_UC) != uc) return NULL;
    void *env = AT(void *, cpu, CPU_ENV);
    if (env != (char *)cpu + CPU_SIZEOF_TO_ENV || AT(void *, env, ENV_UC) != uc) return NULL;
    for (int i = 0; i < TLB_REGIMES; i++) {
        const struct tlb *tlb = &((const struct tlb *)((char *)env + ENV_TLB))[i];
        uint64_t entries = tlb->mask / sizeof(struct tlb_entry) + 1;
        if (!tlb->entries || tlb->mask % sizeof(struct tlb_entry) || entries & (entries - 1)) return NULL;
    }
    if (AT(uint32_t, cpu, CPU_CLUSTER_INDEX) << 24 != (uint32_t)CF_CLUSTER) return NULL;
    struct engine *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    e->rows = calloc(0x10000, sizeof *e->rows);
    if (!e->rows) {
        free(e);
        return NULL;
    }
    e->gone_line = e->passed = e->again = NO_ADDRESS;
    e->filled = UINT16_MAX;
    e->uc = uc, e->cpu = cpu, e->env = env, e->tcg = tcg, e->python = *python;
    e->shared.stop_at = e->shared.countdown = INT64_MAX >> 1;
    pthread_mutex_lock(&changing);
    e->next = atomic_load(&by_uc[bucket_of(uc)]);
    atomic_store_explicit(&by_uc[bucket_of(uc)], e, memory_order_release);
    pthread_mutex_unlock(&changing);
    return e;
}

/* Forget an engine, before uc_close: addresses come again. It does not run, and no other thread asks for it. */
EXPORT void shim_detach(struct engine *e)
{
    forget_alarm(e);
    pthread_mutex_lock(&changing);
    struct engine *each = atomic_load(&by_uc[bucket_of(e->uc)]);
    if (each == e) {
        atomic_store(&by_uc[bucket_of(e->uc)], e->next);
    } else {
        while (each->next != e) each = each->next;
        each->next = e->next;
    }
    atomic_fetch_add_explicit(&detached, 1, memory_order_release);
    pthread_mutex_unlock(&changing);
}

/* Free what `shim_detach` has forgotten, after uc_close: translated code has pointers to rows. */
EXPORT void shim_free(struct engine *e)
{
    free_rows(e);
    free_throughs(e);
    forget_fetched(e);
    forget_records(e);
    shim_untrack_dirty(e);
    forget_executed(e);
    forget_probes(e);
    forget_trace(e);
    forget_watches(e);
    free(e);
}

EXPORT void *shim_env(struct engine *e) { return e->env; }

static bool translates_alike(const char *a, const char *b)
{
    return !memcmp(a + ENV_SCTLR_EL, b + ENV_SCTLR_EL, 32) && !memcmp(a + ENV_MAIR_EL, b + ENV_MAIR_EL, 32)
        && !memcmp(a + ENV_TRANSLATION, b + ENV_TRANSLATION, ENV_TRANSLATION_END - ENV_TRANSLATION);
}

/* Another CPU's registers become the engine's; its own go to `save`, where that is not null. Not while it runs.
 * What is derived from them is made anew: translations, flags, breakpoints, virtual interrupts.
 */
EXPORT void shim_switch(struct engine *e, void *save, const void *from)
{
    bool alike = translates_alike(e->env, from);
    bool same_breakpoints = !memcmp((char *)e->env + ENV_DBGBVR, (const char *)from + ENV_DBGBVR, ENV_DBGWVR - ENV_DBGBVR);
    translating = NULL;
    end_replay(e);
    forget_cut(e);
    e->passed = e->again = NO_ADDRESS;
    e->running_record = NULL;
    e->replay.count = 0;
    memset(e->shared.last, 0, sizeof e->shared.last);
    forget_faults(e);
    if (save) memcpy(save, e->env, ENV_END_OF_STATE);
    memcpy(e->env, from, ENV_END_OF_STATE);
    if (!same_breakpoints) real.hw_breakpoint_update_all(e->cpu);
    real.arm_cpu_update_virq(e->cpu);
    real.arm_cpu_update_vfiq(e->cpu);
    real.arm_rebuild_hflags(e->env);
    if (!alike) real.tlb_flush(e->cpu);
}

/* As shim_switch, with nothing saved: the engine's own registers become others, but for the 64-bit fields at `but`. */
EXPORT void shim_put(struct engine *e, const void *from, const int64_t *but, unsigned count)
{
    static __thread char state[ENV_END_OF_STATE];
    memcpy(state, from, sizeof state);
    for (unsigned i = 0; i < count; i++) memcpy(state + but[i], (char *)e->env + but[i], 8);
    shim_switch(e, NULL, state);
}

/* Where a system register lies in a state, 64 bits; -1 for one that is no field of it. */
EXPORT int64_t shim_field(struct engine *e, uint32_t encoding)
{
    const struct reginfo *own = real.get_arm_cp_reginfo(AT(void *, e->cpu, CPU_CP_REGS), CP_KEY | encoding);
    bool is_field = own && !(own->type & (CP_CONST | CP_SPECIAL)) && own->fieldoffset > 0;
    return is_field && own->fieldoffset + 8 <= ENV_END_OF_STATE ? own->fieldoffset : -1;
}

/* DBGBVR or DBGBCR were written by the host. */
EXPORT void shim_update_breakpoints(struct engine *e) { real.hw_breakpoint_update_all(e->cpu); }

/* PSTATE was written by the host: what is derived from it. */
EXPORT void shim_rebuild(struct engine *e) { real.arm_rebuild_hflags(e->env); }

/* What the translator goes by: ID_AA64ISAR0_EL1, ISAR1, PFR0, PFR1, and MMFR1, MMFR2. Translated code must be forgotten. */
EXPORT void shim_present(struct engine *e, const uint64_t *id)
{
    uint64_t *isar = &AT(uint64_t, e->cpu, CPU_ID_AA64ISAR0);
    for (int i = 0; i < 4; i++) isar[i] = id[i];
    isar[5] = id[4];
    isar[6] = id[5];
    real.arm_rebuild_hflags(e->env);
}

/* Where registers lie in a state, in bytes; in the order of `Layout` (state.py), whose first field is the size. */
EXPORT const uint32_t shim_layout[] = {
    ENV_END_OF_STATE, ENV_XREGS, ENV_PSTATE, ENV_AARCH64, ENV_CF, ENV_DAIF, ENV_SP_EL, ENV_HPFAR_EL2,
    ENV_ZREGS, ENV_EXCLUSIVE, ENV_HCR_EL2, ENV_SCR_EL3,
};
