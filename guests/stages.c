/* stages: what a guest's own hypervisor sees of translation: faults of its stage 2, of EL1's walks under it, of its own
 * regime with and without VHE, and what AT answers.
 *
 *     stage 2 translation level 3, EL1h, ldr x1, [x0]: EL2 vector=0x400 esr=0x93c08007 ... hpfar=x0+0x0
 */
#include "levels/levels.h"
#include "mmu.h"

extern const struct snippet accesses[], load_and_store[], execute[], translations[], privileged_translations[];

static struct space second, first, own, host;
static unsigned lines;
static bool has_vhe, has_pan;

#define S2_READ (1ul << 6)
#define S2_WRITE (2ul << 6)
#define S2_NORMAL (15ul << 2)
#define S2_DEVICE (1ul << 2)
#define S2_XN (2ul << 53)
#define S2_RAM (AF | SH_INNER | S2_READ | S2_WRITE | S2_NORMAL)
#define XN_EL2 (1ul << 54)

/* Intermediate physical addresses, as stage 2 has them; and virtual ones, as the other tables have the same faults. */
#define AT_LEVEL(kind, level) (0x0000000800000000ul + ((u64)(kind) << 32) + ((u64)(level) << 30))
enum kind { AF_CLEAR, READ_ONLY, WRITE_ONLY, NO_ACCESS, NO_EXECUTE, TABLE_HOLE, TABLE_READ_ONLY, TABLE_DEVICE, TABLE_OTHER };
#define HOLE(level) (0x0000003000000000ul + ((u64)(level) << 32))
#define NOWHERE 0x0b000000ul /* neither RAM nor a device */
#define SVC_FFFF 0xd41fffe1u
#define DATA_PA 0x42100000ul
static u64 target(int level) { return level == 1 ? RAM_BASE : DATA_PA & -(1ul << level_shift(GRANULE_4K, level)); }
static u64 offset(int level) { return level == 1 ? DATA_PA - RAM_BASE : DATA_PA - target(level); }

static void make_holes(const struct space *space) { /* neighbours are there, so that tables lead up to the level */
    map(space, HOLE(2) + 0x200000, DATA_PA & -0x200000ul, 2, S2_RAM);
    map(space, HOLE(3) + 0x1000, DATA_PA, 3, S2_RAM);
}

static void make_second_stage(void) {
    second = new_space(GRANULE_4K, 39);
    map(&second, 0, 0, 1, AF | S2_READ | S2_WRITE | S2_DEVICE);
    map(&second, RAM_BASE, RAM_BASE, 1, S2_RAM);
    make_holes(&second);
    for (int level = 1; level <= 3; level++) {
        map(&second, AT_LEVEL(AF_CLEAR, level), target(level), level, S2_RAM & ~AF);
        map(&second, AT_LEVEL(READ_ONLY, level), target(level), level, S2_RAM & ~S2_WRITE);
        map(&second, AT_LEVEL(WRITE_ONLY, level), target(level), level, S2_RAM & ~S2_READ);
        map(&second, AT_LEVEL(NO_ACCESS, level), target(level), level, S2_RAM & ~S2_READ & ~S2_WRITE);
        map(&second, AT_LEVEL(NO_EXECUTE, level), target(level), level, S2_RAM | S2_XN);
    }
    map(&second, AT_LEVEL(TABLE_READ_ONLY, 0), DATA_PA + 0x2000, 3, S2_RAM & ~S2_WRITE);
    map(&second, AT_LEVEL(TABLE_DEVICE, 0), DATA_PA + 0x2000, 3, AF | S2_READ | S2_WRITE | S2_DEVICE);
    base[vttbr_el2_] = (u64)second.root;
}

/* EL1's: at each address of the kinds above there is a page whose intermediate physical address is the same. */
static void make_first_stage(void) {
    first = new_space(GRANULE_4K, 39);
    map_guest(&first);
    u64 user = NORMAL | AP_EL0;
    for (int level = 1; level <= 3; level++) {
        map(&first, HOLE(level), HOLE(level), 3, user);
        for (u64 kind = AF_CLEAR; kind <= NO_EXECUTE; kind++) {
            u64 ipa = AT_LEVEL(kind, level) + offset(level);
            map(&first, ipa, ipa, 3, kind == NO_EXECUTE ? user | AP_RO : user);
        }
        u64 here = AT_LEVEL(TABLE_HOLE, level); /* the table that the entry of this level would be in is not there */
        if (level > 1)
            *entry_at(&first, here, level - 1) = HOLE(level) | 3;
    }
    *entry_at(&first, AT_LEVEL(TABLE_READ_ONLY, 1), 2) = AT_LEVEL(TABLE_READ_ONLY, 0) | 3;
    *entry_at(&first, AT_LEVEL(TABLE_DEVICE, 1), 2) = AT_LEVEL(TABLE_DEVICE, 0) | 3;
    *entry_at(&first, AT_LEVEL(TABLE_OTHER, 0), 2) = (AT_LEVEL(AF_CLEAR, 1) + offset(1)) | 3;
    *entry_at(&first, AT_LEVEL(TABLE_OTHER, 1), 2) = (AT_LEVEL(WRITE_ONLY, 2) + offset(2)) | 3;
    *entry_at(&first, AT_LEVEL(TABLE_OTHER, 2), 2) = HOLE(1) | 3;
    *entry_at(&first, AT_LEVEL(TABLE_OTHER, 3), 1) = HOLE(3) | 3;
    *(volatile u64 *)(DATA_PA + 0x2000) = DATA_PA | user | 3;
    map(&first, 0x0000002000000000ul, DATA_PA, 3, NORMAL);
    map(&first, 0x0000002000001000ul, DATA_PA, 3, user | AP_RO);
    map(&first, 0x0000002000002000ul, DATA_PA, 3, user);
}

extern char __user_start[];
#define CODE 0x40080000ul

/* EL2's own, in its format (AP[1] is RES1) and that of EL2&0. */
static void make_own(struct space *space, u64 kernel, u64 user) {
    *space = new_space(GRANULE_4K, 39);
    map(space, 0, 0, 1, AF | ATTR_DEVICE | kernel | XN_EL2);
    for (u64 pa = RAM_BASE; pa < RAM_BASE + 0x10000000; pa += 0x200000)
        map(space, pa, pa, 2, NORMAL | kernel);
    *entry_at(space, RAM_BASE, 2) = 0; /* code is read-only, for WXN */
    for (u64 pa = RAM_BASE; pa < RAM_BASE + 0x200000; pa += 0x1000)
        map(space, pa, pa, 3, NORMAL | kernel | (pa >= CODE && pa <= (u64)__user_start ? AP_RO : 0));
    map(space, HOLE(2) + 0x200000, DATA_PA & -0x200000ul, 2, NORMAL | kernel);
    map(space, HOLE(3) + 0x1000, DATA_PA, 3, NORMAL | kernel);
    for (int level = 1; level <= 3; level++) {
        map(space, AT_LEVEL(AF_CLEAR, level), target(level), level, (NORMAL | user) & ~AF);
        map(space, AT_LEVEL(READ_ONLY, level), target(level), level, NORMAL | user | AP_RO);
        map(space, AT_LEVEL(NO_ACCESS, level), target(level), level, NORMAL | kernel);
        map(space, AT_LEVEL(NO_EXECUTE, level), target(level), level, NORMAL | user | XN_EL2 | (kernel ? 0 : PXN));
        map(space, AT_LEVEL(WRITE_ONLY, level), target(level), level, NORMAL | user);
    }
    map(space, USER_VA, (u64)__user_start, 3, NORMAL | user | AP_RO);
}

static void forget(void) { __asm__ volatile("dsb sy\n\ttlbi alle1\n\ttlbi alle2\n\tdsb sy\n\tisb" ::: "memory"); }

static const struct event *go(u64 code, u64 spsr, u64 hcr, u64 x0) {
    struct crossing crossing = {
        .x = {x0, 0},
        .elr = code,
        .spsr = spsr | SPSR_DAIF,
        .hcr = hcr,
        .sp_el0 = STACK(1),
        .sp_el1 = STACK(2),
        .sp_el2 = STACK(3),
        .sp_top = STACK(4),
    };
    for (unsigned i = 0; i < 4; i++) {
        volatile u32 *word = (volatile u32 *)DATA_PA + i;
        if (*word == SVC_FFFF)
            continue;
        *word = SVC_FFFF;
        __asm__ volatile("dc cvau, %0\n\tdsb sy\n\tic ivau, %0\n\tdsb sy\n\tisb" ::"r"(word) : "memory");
    }
    cross(&crossing);
    lines++;
    return first_event();
}

static void stage1_on(void) {
    write_control(ttbr0_el1_, (u64)first.root);
    write_control(tcr_el1_, (64 - 39) | 1ul << 8 | 1ul << 10 | 3ul << 12 | TCR_EPD1 | 4ul << 32);
    write_control(mair_el1_, 0xff00);
    write_control(sctlr_el1_, base[sctlr_el1_] | SCTLR_M);
}

static void print_run(const char *prefix, const char *name, int level, const char *place, const struct snippet *snippet,
                      const struct event *event, u64 code, u64 x0) {
    print("%s%s", prefix, name);
    if (level >= 0)
        print(" level %d", level);
    print(", %s, %s: ", place, snippet->text);
    print_event(event, code, x0);
    put_string("\n");
}

/* --- stage 2 faults ------------------------------------------------------------------------------------------ */

static const char *const kinds[] = {"access flag",   "read-only",         "write-only",           "no access",
                                    "not executable", "walk through hole", "walk through read-only", "walk through device"};

static void second_stage(const char *prefix, bool mmu, u64 hcr, const char *name, int level, u64 x0) {
    static const struct snippet *const groups[] = {accesses, execute};
    for (u64 el = 0; el < 2; el++) {
        for (unsigned g = 0; g < 2; g++) {
            for (const struct snippet *snippet = groups[g]; snippet->text; snippet++) {
                write_bases();
                u64 code = (u64)snippet->code;
                if (mmu) {
                    stage1_on();
                    isb();
                    code = user_alias(&first, snippet->code);
                }
                forget();
                const struct event *event = go(code, el ? 5 : 0, base[hcr_el2_] | hcr, x0);
                print_run(prefix, name, level, el ? "EL1h" : "EL0", snippet, event, code, x0);
            }
        }
    }
}

static void second_stage_faults(const char *prefix, bool mmu, u64 hcr) {
    for (int level = 1; level <= 3; level++) {
        second_stage(prefix, mmu, hcr, "translation", level, HOLE(level));
        for (u64 kind = AF_CLEAR; kind <= NO_EXECUTE; kind++)
            second_stage(prefix, mmu, hcr, kinds[kind], level, AT_LEVEL(kind, level) + offset(level));
        if (mmu && level > 1)
            second_stage(prefix, mmu, hcr, kinds[TABLE_HOLE], level, AT_LEVEL(TABLE_HOLE, level) + 0x18);
    }
    if (mmu) {
        second_stage(prefix, mmu, hcr, kinds[TABLE_READ_ONLY], -1, AT_LEVEL(TABLE_READ_ONLY, 1));
        second_stage(prefix, mmu, hcr, kinds[TABLE_DEVICE], -1, AT_LEVEL(TABLE_DEVICE, 1));
        second_stage(prefix, mmu, hcr, "walk through access flag level 1", -1, AT_LEVEL(TABLE_OTHER, 0));
        second_stage(prefix, mmu, hcr, "walk through write-only level 2", -1, AT_LEVEL(TABLE_OTHER, 1));
        second_stage(prefix, mmu, hcr, "walk through hole level 1 for level 3", -1, AT_LEVEL(TABLE_OTHER, 2));
        second_stage(prefix, mmu, hcr, "walk through hole level 3 for level 2", -1, AT_LEVEL(TABLE_OTHER, 3));
        second_stage(prefix, mmu, hcr, "EL1's translation", -1, 0x0000002000003000ul);
    } else {
        second_stage(prefix, mmu, hcr, "more than T0SZ", -1, 0x0000010000000000ul);
        second_stage(prefix, mmu, hcr, "more than PA", -1, 0x0001000000000000ul);
    }
}

/* --- EL2's own regime ---------------------------------------------------------------------------------------- */

#define SCTLR_WXN_EL2 (1ul << 19)

static void own_stage(const char *prefix, const struct space *space, u64 hcr, u64 sctlr, u64 pstate, bool el0,
                      const struct snippet *snippet, int level, int kind) {
    static const char *const names[] = {"access flag", "read-only", "user's", "kernel's", "not executable"};
    bool e2h = hcr & HCR_E2H;
    u64 half = (64 - 39) | 1ul << 8 | 1ul << 10 | 3ul << 12;
    u64 x0 = kind < 0 ? HOLE(level) : AT_LEVEL(kind, level) + offset(level);
    write_bases();
    write_control(cptr_el2_, e2h ? 0x300000 : 0x33ff);
    write_control(ttbr0_el2_, (u64)space->root);
    write_control(mair_el2_, 0xff00);
    write_control(tcr_el2_, e2h ? half | TCR_EPD1 | 4ul << 32 : half | 1ul << 31 | 1ul << 23 | 4ul << 16);
    isb();
    forget();
    u64 code = el0 ? user_alias(space, snippet->code) : (u64)snippet->code;
    write_control(sctlr_el2_, base[sctlr_el2_] | SCTLR_M | sctlr); /* C goes on at its own addresses, E2H or not */
    isb();
    const struct event *event = go(code, (el0 ? 0 : 9) | pstate, base[hcr_el2_] | hcr, x0);
    write_control(sctlr_el2_, base[sctlr_el2_]);
    isb();
    print_run(prefix, kind < 0 ? "translation" : names[kind], level, el0 ? "EL0" : "EL2h", snippet, event, code, x0);
}

static void own_regime(const char *prefix, const struct space *space, u64 hcr, u64 sctlr, u64 pstate, bool el0) {
    static const struct snippet *const groups[] = {load_and_store, execute};
    for (int level = 1; level <= 3; level++) {
        for (int kind = -1; kind <= NO_EXECUTE; kind++) {
            for (unsigned g = 0; g < 2; g++) {
                for (const struct snippet *snippet = groups[g]; snippet->text; snippet++)
                    own_stage(prefix, space, hcr, sctlr, pstate, el0, snippet, level, kind);
            }
        }
    }
}

/* --- AT ------------------------------------------------------------------------------------------------------ */

struct address {
    const char *name;
    u64 va;
};
static const struct address addresses[] = {
    {"kernel's", 0x0000002000000000ul},
    {"read-only", 0x0000002000001000ul},
    {"user's", 0x0000002000002000ul},
    {"EL1's hole", 0x0000002000003000ul},
    {"stage 2 hole", HOLE(3)},
    {"stage 2 hole level 1", HOLE(1)},
    {"stage 2 read-only", AT_LEVEL(READ_ONLY, 3)},
    {"stage 2 write-only", AT_LEVEL(WRITE_ONLY, 3)},
    {"stage 2 access flag", AT_LEVEL(AF_CLEAR, 3)},
    {"walk through hole", AT_LEVEL(TABLE_HOLE, 3)},
    {"walk through read-only", AT_LEVEL(TABLE_READ_ONLY, 1)},
    {"beyond T0SZ", 0x0000010000000000ul},
};

static void translate(const char *prefix, u64 hcr, u64 spsr, const struct snippet *group) {
    for (; group->text; group++) {
        for (unsigned i = 0; i < sizeof addresses / sizeof *addresses; i++) {
            write_bases();
            write_control(cptr_el2_, hcr & HCR_E2H ? 0x300000 : 0x33ff);
            stage1_on();
            isb();
            forget();
            write_sysreg(par_el1, 0);
            bool at_el1 = (spsr & 12) == 4;
            u64 code = at_el1 ? user_alias(&first, group->code) : (u64)group->code;
            const struct event *event = go(code, spsr, base[hcr_el2_] | hcr, addresses[i].va);
            u64 par = read_sysreg(par_el1);
            print("%s %s, %s, %s: ", prefix, addresses[i].name, at_el1 ? "EL1h" : "EL2h", group->text);
            print_event(event, code, addresses[i].va);
            print(" par=0x%lx\n", par);
        }
    }
}

/* Memory attributes of both stages, combined (D8.5), as AT S12E1R says. */
static void attributes(const char *prefix, u64 hcr, u64 sh1, u64 sh2) {
    static const u64 mair = 0xff44bb4ff40c0400ul; /* Normal of all kinds, Device-GRE, -nGnRE, -nGnRnE */
    u64 ipa = 0x0000003f00000000ul;
    for (u64 attr = 0; attr < 8; attr++) {
        for (u64 memattr = 0; memattr < 16; memattr++) {
            write_bases();
            stage1_on();
            write_control(mair_el1_, mair);
            map(&second, ipa, DATA_PA, 3, AF | S2_READ | S2_WRITE | memattr << 2 | sh2 << 8);
            map(&first, ipa, ipa, 3, AF | attr << 2 | sh1 << 8);
            if (hcr & HCR_DC)
                write_control(sctlr_el1_, base[sctlr_el1_]);
            write_sysreg(hcr_el2, base[hcr_el2_] | hcr);
            isb();
            forget();
            __asm__ volatile("at s12e1r, %0\n\tisb" ::"r"(ipa) : "memory");
            print("%s, attr 0x%lx sh %lu, MemAttr 0x%lx sh %lu: par=0x%lx\n", prefix, mair >> 8 * attr & 0xff, sh1,
                  memattr, sh2, read_sysreg(par_el1));
            lines++;
        }
    }
    write_bases();
}

void main(const void *fdt) {
    (void)fdt;
    levels_init();
    has_vhe = bits(read_sysreg(id_aa64mmfr1_el1), 11, 8);
    has_pan = bits(read_sysreg(id_aa64mmfr1_el1), 23, 20);
    make_second_stage();
    make_first_stage();
    make_own(&own, AP_EL0, AP_EL0);
    make_own(&host, 0, AP_EL0);
    settle_bases();

    second_stage_faults("stage 2 ", false, 0);
    second_stage_faults("stages 1 and 2, ", true, 0);
    second_stage("PTW, ", true, 1ul << 2, kinds[TABLE_DEVICE], -1, AT_LEVEL(TABLE_DEVICE, 1));

    own_regime("EL2 ", &own, 0, 0, 0, false);
    own_regime("EL2 WXN ", &own, 0, SCTLR_WXN_EL2, 0, false);
    if (has_vhe) {
        u64 guest = HCR_E2H, as_host = HCR_E2H | HCR_TGE;
        own_regime("EL2&0 ", &host, guest, SCTLR_SPAN, 0, false);
        own_regime("EL2&0 TGE ", &host, as_host, SCTLR_SPAN, 0, false);
        own_regime("EL2&0 TGE ", &host, as_host, SCTLR_SPAN, 0, true);
        own_regime("EL2&0 TGE WXN ", &host, as_host, SCTLR_SPAN | SCTLR_WXN_EL2, 0, true);
        if (has_pan)
            own_regime("EL2&0 TGE PAN ", &host, as_host, SCTLR_SPAN, 1ul << 22, false);
    }

    translate("AT", 0, 9, translations);
    translate("AT", 0, 5, translations);
    translate("AT TGE", HCR_TGE, 9, translations);
    if (has_pan) {
        translate("AT", 0, 9, privileged_translations);
        translate("AT", 0, 5, privileged_translations);
        translate("AT PAN", 0, 5 | 1ul << 22, privileged_translations);
    }
    if (has_vhe) {
        translate("AT E2H", HCR_E2H, 9, translations);
        translate("AT E2H TGE", HCR_E2H | HCR_TGE, 9, translations);
    }

    attributes("attributes", 0, 3, 3);
    attributes("attributes", 0, 0, 2);
    attributes("attributes", 0, 2, 3);
    attributes("attributes CD", 1ul << 32, 3, 0);
    attributes("attributes DC", HCR_DC, 0, 0);
    if (bits(read_sysreg(S3_0_C0_C7_2), 43, 40))
        attributes("attributes FWB", 1ul << 46, 3, 0);
    print("end, %u lines\n", lines);
    levels_end();
}
