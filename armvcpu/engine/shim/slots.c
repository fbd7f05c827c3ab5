/* Binding: the table of what the shim answers and calls, and how it gets to be called.
 *
 * Unicorn calls its own functions through its Global Offset Table. When the shim is loaded it writes the slots of those
 * that it answers; who loaded Unicorn, and when, does not matter, and engines that are not attached get Unicorn's own
 * function (each answer looks its engine up first). ELF gABI, "Dynamic Linking"; DT_GNU_HASH as glibc has it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "shim.h"

struct originals real;

struct symbol {
    const char *name;
    void *original; /* where its address goes */
    void *answer;   /* ours, or null where the shim only calls it */
    const char *purpose;
};

#define CALLS(name, why) {#name "_aarch64", &real.name, NULL, why}
#define ANSWERS(name, why) {#name "_aarch64", &real.name, shim_##name, why}

/* In the order of docs/engine.md. A purpose names the manual's section where there is a rule (DDI 0487). */
static const struct symbol SYMBOLS[] = {
    ANSWERS(arm_cpu_do_interrupt, "entry of exceptions: AArch64.TakeException, which keeps PSTATE.NZCV (J1.1.2)"),
    CALLS(cpu_loop_exit, "a run or block is left at an exact instruction"),
    CALLS(cpu_restore_state, "registers and PC in a callback of a device"),
    CALLS(raise_exception, "traps of WFE and of words that the translator fails on"),
    ANSWERS(get_arm_cp_reginfo, "system registers as rows: constants, Python's, listened to (D17.1)"),
    ANSWERS(fp_exception_el, "traps of FP and Advanced SIMD: CPACR_EL1, CPTR_EL2, CPTR_EL3 (D17.2)"),
    ANSWERS(translator_loop_temp_check, "where a block would go on: a stop inside of one changes nothing of a run"),
    CALLS(tcg_tb_foreach, "blocks that have an address at which Python is to be called"),
    CALLS(tb_phys_invalidate, "which are translated anew"),
    ANSWERS(cpu_watchpoint_address_matches, "which pages' accesses come by the slow path, to be watched"),
    ANSWERS(cpu_check_watchpoint, "an access of one of them"),
    ANSWERS(get_phys_addr, "Address size faults (D8.2); Secure memory"),
    ANSWERS(tlb_set_page_with_attrs, "loads and fetches of flash that is the guest's memory, stores of it a device's"),
    CALLS(address_space_ldq_le, "descriptors"),
    CALLS(arm_hcr_el2_eff, "HCR_EL2 as it takes effect (D17.2.48)"),
    ANSWERS(tcg_gen_callN, "the check at the start of a block inline, counts; helpers of WFI, WFE, YIELD, MSR DAIFClr, ERET"),
    ANSWERS(tcg_gen_exit_tb, "the end of a block that has not begun"),
    ANSWERS(check_exit_request, "no check after loads and stores: a stop there would repeat the access"),
    ANSWERS(gen_intermediate_code, "which engine is translated for; the lengths of counted blocks"),
    CALLS(gen_new_label, "emitting"),
    CALLS(tcg_temp_new_internal, "emitting"),
    CALLS(tcg_temp_free_internal, "emitting"),
    CALLS(tcg_const_i64, "emitting"),
    CALLS(tcg_gen_op1, "emitting"),
    CALLS(tcg_gen_op2, "emitting"),
    CALLS(tcg_gen_op3, "emitting"),
    ANSWERS(tcg_gen_brcondi_i32, "what falls through a conditional branch is counted, while somebody wants to know"),
    ANSWERS(tcg_gen_brcondi_i64, "likewise"),
    CALLS(helper_check_exit_request, "how a block's first call is known"),
    CALLS(helper_lookup_tb_ptr, "the block behind an indirect branch, looked for in less time"),
    CALLS(helper_wfe, "WFE: its traps, and turns that end there (D1.6.1)"),
    CALLS(helper_wfi, "WFI: its traps; a wait is for Python (D1.6.2)"),
    CALLS(helper_yield, "YIELD: turns that end there"),
    CALLS(helper_msr_i_daifclear, "MSR DAIFClr: virtual SErrors"),
    CALLS(helper_exception_return, "ERET: exceptions that the guest has not returned from"),
    ANSWERS(cpu_exec, "stops that come before a run begins are not lost"),
    ANSWERS(cpu_ldl_code, "at which word a translation fails"),
    {"abort", &real.abort, shim_abort, "words that the translator fails on are UNDEFINED (C2.2)"},
    {"fprintf", &real.fprintf, shim_fprintf, "and without a line on stderr for each"},
    {"printf", &real.printf, shim_printf, "or on stdout"},
    ANSWERS(tlb_reset_dirty_by_vaddr, "no walk of the TLB after each translation"),
    CALLS(tb_flush, "IC IALLU, where code has changed"),
    CALLS(tb_invalidate_phys_range, "IC IVAU, DMA and host writes: translations by physical address"),
    ANSWERS(tb_invalidate_phys_page_fast, "stores that come by the slow path: which pages are written"),
    ANSWERS(tlb_set_dirty, "where a page is written, just what leads there may come by the fast path from then on"),
    CALLS(tlb_reset_dirty, "the log of written pages begins anew: all come by the slow path again"),
    ANSWERS(tlb_flush, "TLB of a CPU that has been switched to; writes of a guest's EL2 flush what they are about"),
    ANSWERS(tlb_flush_by_mmuidx, "and only what has been filled"),
    ANSWERS(pmu_op_start, "no look at counters that no guest sees, at each exception"),
    ANSWERS(pmu_op_finish, "and at each return"),
    CALLS(arm_rebuild_hflags, "what is derived from registers that the host wrote"),
    CALLS(arm_cpu_update_virq, "virtual interrupts of a CPU that has been switched to: HCR_EL2.VI (D1.3.6)"),
    CALLS(arm_cpu_update_vfiq, "HCR_EL2.VF likewise"),
    CALLS(hw_breakpoint_update_all, "breakpoints of a CPU that has been switched to (D2.8)"),
    {"memory_region_dispatch_read_aarch64", &real.read_device, shim_read_device, "reads of a device, up to 8 bytes wide"},
    {"memory_region_dispatch_write_aarch64", &real.write_device, shim_write_device, "writes of a device likewise"},
    {"tcg_gen_atomic_fetch_smin_i64_aarch64", &real.smin, shim_smin, "LDSMIN of B, H and W compares signed (C6.2)"},
    {"tcg_gen_atomic_fetch_smax_i64_aarch64", &real.smax, shim_smax, "LDSMAX likewise"},
    CALLS(tcg_gen_ext8u_i64, "their results"),
    CALLS(tcg_gen_ext16u_i64, "their results"),
    CALLS(tcg_gen_ext32u_i64, "their results"),
    {"uc_emu_start", &real.uc_emu_start, NULL, "a run"},
    {"uc_vmem_translate", &real.uc_vmem_translate, NULL, "the address of IC IVAU"},
};
enum { COUNT = sizeof SYMBOLS / sizeof *SYMBOLS };

/* What of the loaded library is needed to find a symbol's number and its slots. */
struct object {
    uintptr_t base, relro, relro_end;
    const ElfW(Sym) *symbols;
    const char *strings;
    const uint32_t *hash;
    const ElfW(Rela) *tables[2];
    size_t sizes[2];
};

static int find_relro(struct dl_phdr_info *info, size_t size, void *data)
{
    struct object *o = data;
    (void)size;
    if (info->dlpi_addr != o->base) return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_GNU_RELRO) {
            o->relro = o->base + p->p_vaddr;
            o->relro_end = o->relro + p->p_memsz;
        }
    }
    return 1;
}

static void open_object(const struct link_map *map, struct object *o)
{
    memset(o, 0, sizeof *o);
    o->base = map->l_addr;
    for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++) {
        uintptr_t at = d->d_un.d_ptr; /* glibc has relocated these */
        switch (d->d_tag) {
        case DT_SYMTAB: o->symbols = (const void *)at; break;
        case DT_STRTAB: o->strings = (const void *)at; break;
        case DT_GNU_HASH: o->hash = (const void *)at; break;
        case DT_JMPREL: o->tables[0] = (const void *)at; break;
        case DT_RELA: o->tables[1] = (const void *)at; break;
        case DT_PLTRELSZ: o->sizes[0] = d->d_un.d_val / sizeof(ElfW(Rela)); break;
        case DT_RELASZ: o->sizes[1] = d->d_un.d_val / sizeof(ElfW(Rela)); break;
        default: break;
        }
    }
    dl_iterate_phdr(find_relro, o);
}

/* The number of a symbol that the object defines, by its hash table; one that it only uses comes before those. */
static uint32_t symbol_number(const struct object *o, const char *name)
{
    uint32_t buckets = o->hash[0], first = o->hash[1], bloom = o->hash[2], h = 5381;
    const uint32_t *bucket = (const uint32_t *)((const uint64_t *)(o->hash + 4) + bloom), *chain = bucket + buckets;
    for (const char *c = name; *c; c++) h = h * 33 + (unsigned char)*c;
    uint32_t n = bucket[h % buckets];
    if (n >= first)
        do {
            if ((chain[n - first] | 1) == (h | 1) && !strcmp(o->strings + o->symbols[n].st_name, name)) return n;
        } while (!(chain[n++ - first] & 1));
    for (n = 1; n < first; n++)
        if (!strcmp(o->strings + o->symbols[n].st_name, name)) return n;
    return 0;
}

static bool write_slot(const struct object *o, void **slot, void *answer)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)slot & -page;
    bool protected = (uintptr_t)slot >= o->relro && (uintptr_t)slot < o->relro_end;
    if (protected && mprotect((void *)at, page, PROT_READ | PROT_WRITE)) return false;
    __atomic_store_n(slot, answer, __ATOMIC_RELEASE);
    return !protected || !mprotect((void *)at, page, PROT_READ);
}

/* One pass over the relocations: each slot of a symbol that is answered. How many of symbol i were written: written[i]. */
static bool write_slots(const struct object *o, const uint32_t *numbers, int *written)
{
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; i < o->sizes[t]; i++) {
            const ElfW(Rela) *r = &o->tables[t][i];
            uint32_t number = ELF64_R_SYM(r->r_info), type = ELF64_R_TYPE(r->r_info);
            bool is_slot = type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT || type == R_AARCH64_JUMP_SLOT
                || type == R_AARCH64_GLOB_DAT;
            if (!number || !is_slot) continue;
            for (int s = 0; s < COUNT; s++)
                if (numbers[s] == number && SYMBOLS[s].answer) {
                    if (!write_slot(o, (void **)(o->base + r->r_offset), SYMBOLS[s].answer)) return false;
                    written[s]++;
                    break;
                }
        }
    return true;
}

/* Bind to a library that is loaded, by its handle of dlopen; null, or what is wrong in a few words. Once in a process. */
EXPORT const char *shim_bind(void *library)
{
    static char problem[160];
    static bool bound;
    struct link_map *map;
    struct object object;
    uint32_t numbers[COUNT];
    int written[COUNT] = {0};
    if (bound) return NULL;
    if (dlinfo(library, RTLD_DI_LINKMAP, &map)) return "the loaded library has no link map";
    open_object(map, &object);
    if (!object.symbols || !object.strings || !object.hash || !object.tables[0] || !object.tables[1])
        return "the library has no dynamic symbols";
    for (int i = 0; i < COUNT; i++) {
        void *found = dlsym(library, SYMBOLS[i].name);
        numbers[i] = SYMBOLS[i].answer ? symbol_number(&object, SYMBOLS[i].name) : 0;
        if (!found || (SYMBOLS[i].answer && !numbers[i])) {
            snprintf(problem, sizeof problem, "it does not export %s", SYMBOLS[i].name);
            return problem;
        }
        *(void **)SYMBOLS[i].original = found;
    }
    if (!write_slots(&object, numbers, written)) return "its table of functions can't be written";
    for (int i = 0; i < COUNT; i++)
        if (SYMBOLS[i].answer && !written[i]) {
            snprintf(problem, sizeof problem, "it does not call %s through a slot", SYMBOLS[i].name);
            return problem;
        }
    bound = true;
    return NULL;
}

/* Row `i` of the table: its name, and whether it is answered and why; null behind the last. */
EXPORT const char *shim_symbol(unsigned i, int *answered, const char **purpose)
{
    if (i >= COUNT) return NULL;
    *answered = SYMBOLS[i].answer != NULL;
    *purpose = SYMBOLS[i].purpose;
    return SYMBOLS[i].name;
}
