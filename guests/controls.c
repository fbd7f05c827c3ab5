/* controls: which instructions each bit of each control register of EL2 and EL3 traps, and where to.
 *
 * Every instruction is executed at every level below the top (and at EL2 by EL2 itself) with the control registers as a
 * hypervisor sets them up that traps nothing: these are the lines of a `base`. Then each bit that can be changed is
 * changed alone, everything is executed again, and what came otherwise than under the base has a line:
 *
 *     none, hcr_el2[18]=1: EL1h, mrs x1, id_aa64pfr0_el1: EL2 vector=0x400 esr=0x6232000f elr=code+0x0 ...
 */
#include "levels/levels.h"

extern const struct snippet everywhere[], at_el1[], of_extensions[], whole_cache[];
static const struct snippet *const groups[] = {everywhere, at_el1, of_extensions, whole_cache};
enum { GROUPS = 4, MOST_SNIPPETS = 400, MOST_LEVELS = 3 };

struct place {
    const char *name;
    u64 level;
};
/* What a guest's own hypervisor may be: how it sets HCR_EL2 up, and which levels are then below it. */
struct world {
    const char *name;
    u64 hcr, scr, cptr_el2, cnthctl_el2;
    struct place modes[MOST_LEVELS];
};
static const struct place el0 = {"EL0", 0}, el1 = {"EL1h", 1}, el2 = {"EL2h", 2};

static u64 outcomes[MOST_LEVELS][MOST_SNIPPETS];
static unsigned lines;

static const struct event *run(const struct snippet *snippet, u64 level, u64 hcr) {
    struct crossing crossing = {
        .x = {SCRATCH, 0},
        .elr = (u64)snippet->code,
        .spsr = SPSR(level, level != 0),
        .hcr = hcr,
        .sp_el0 = STACK(1),
        .sp_el1 = STACK(2),
        .sp_el2 = STACK(3),
        .sp_top = STACK(4),
    };
    cross(&crossing);
    return first_event();
}

/* Level, vector, syndrome and return address in a word, which tells outcomes apart. */
static u64 digest(const struct event *event, u64 code) {
    return event->level << 62 | (event->vector & 0x780) << 48 | ((event->elr - code) & 0xff) << 40 | event->esr;
}

static void print_line(const char *world, const char *control, const struct place *mode, const struct snippet *snippet,
                       const struct event *event) {
    print("%s%s: %s, %s: ", world, control, mode->name, snippet->text);
    print_event(event, (u64)snippet->code, SCRATCH);
    put_string("\n");
    lines++;
}

/* All instructions; under the base every one has a line, else those that differ from it. */
static void run_all(const struct world *world, const char *control, u64 hcr, enum control changed, u64 value) {
    for (unsigned m = 0; m < MOST_LEVELS && world->modes[m].name; m++) {
        unsigned n = 0;
        bool is_hcr = changed == CONTROLS || changed == hcr_el2_;
        for (unsigned g = 0; g < GROUPS - !is_hcr; g++) {
            for (const struct snippet *snippet = groups[g]; snippet->text; snippet++, n++) {
                write_bases();
                if (changed < CONTROLS && changed != hcr_el2_)
                    write_control(changed, value);
                isb();
                const struct event *event = run(snippet, world->modes[m].level, hcr);
                u64 now = digest(event, (u64)snippet->code);
                if (changed == CONTROLS)
                    outcomes[m][n] = now;
                if (changed == CONTROLS || now != outcomes[m][n])
                    print_line(world->name, control, &world->modes[m], snippet, event);
            }
        }
    }
}

struct bits_of {
    enum control control;
    u64 except; /* what would leave no way back (the MMU on, other endianness, AArch32), or is what a world is (so is Secure EL2) */
    bool of_el3;
};
static const struct bits_of all_bits[] = {
    {hcr_el2_, HCR_E2H | HCR_VM | HCR_RW, false},
    {mdcr_el2_, 0, false},
    {cptr_el2_, 0, false},
    {hstr_el2_, 0, false},
    {cnthctl_el2_, 0, false},
    {sctlr_el2_, 1ul << 0 | 1ul << 25 | 1ul << 19, false},
    {scr_el3_, SCR_NS | SCR_RW | 1ul << 18, true},
    {mdcr_el3_, 0, true},
    {cptr_el3_, 0, true},
};

static void change_bits(const struct world *world, const struct bits_of *row) {
    u64 usual = row->control == hcr_el2_ ? world->hcr : base[row->control];
    for (unsigned bit = 0; bit < 64; bit++) {
        u64 value = usual ^ 1ul << bit;
        if (row->except >> bit & 1)
            continue;
        write_bases();
        write_control(row->control, value);
        bool sticks = (read_control(row->control) ^ usual) >> bit & 1;
        write_bases();
        if (!sticks)
            continue;
        static char name[40]; /* ", cptr_el2[10]=1" */
        char *end = name;
        *end++ = ',';
        *end++ = ' ';
        for (const char *s = control_names[row->control]; *s; s++)
            *end++ = *s;
        *end++ = '[';
        if (bit >= 10)
            *end++ = (char)('0' + bit / 10);
        *end++ = (char)('0' + bit % 10);
        *end++ = ']';
        *end++ = '=';
        *end++ = (char)('0' + (value >> bit & 1));
        *end = 0;
        bool is_smd = row->control == scr_el3_ && bit == 7;
        if (is_smd) /* without SMC, EL1 and EL2 get up by an access to CPACR_EL1 and CPTR_EL2 */
            base[cptr_el3_] |= CPTR_TCPAC;
        run_all(world, name, row->control == hcr_el2_ ? value : world->hcr, row->control, value);
        if (is_smd)
            base[cptr_el3_] &= ~CPTR_TCPAC;
    }
}

static void run_world(const struct world *world, bool of_el3) {
    base[cptr_el2_] = world->cptr_el2;
    base[cnthctl_el2_] = world->cnthctl_el2;
    if (top_level() == 3)
        base[scr_el3_] = world->scr;
    settle_bases();
    run_all(world, "", world->hcr, CONTROLS, 0);
    for (unsigned i = 0; i < sizeof all_bits / sizeof *all_bits; i++) {
        if (all_bits[i].of_el3 == of_el3)
            change_bits(world, &all_bits[i]);
    }
}

#define EL2_USUAL HCR_RW | HCR_VM
#define SCR_USUAL (SCR_HCE | SCR_RW | 3ul << 4)

void main(const void *fdt) {
    (void)fdt;
    levels_init();
    bool has_vhe = bits(read_sysreg(id_aa64mmfr1_el1), 11, 8);
    static const struct world plain = {"nVHE", EL2_USUAL, SCR_USUAL | SCR_NS, 0x33ff, 3, {el0, el1, el2}};
    static const struct world vhe = {"VHE", EL2_USUAL | HCR_E2H, SCR_USUAL | SCR_NS, 0x300000, 0xf03, {el0, el1, el2}};
    static const struct world host = {
        "VHE host", EL2_USUAL | HCR_E2H | HCR_TGE, SCR_USUAL | SCR_NS, 0x300000, 0xf03, {el0, el2}};
    static const struct world secure = {"Secure", EL2_USUAL, SCR_USUAL, 0x33ff, 3, {el0, el1}};
    base[sctlr_el2_] |= 1ul << 9 | 1ul << 14 | 1ul << 15 | 1ul << 26; /* as SCTLR_EL1, for EL0 under a VHE host */
    bool top_is_el3 = top_level() == 3;
    run_world(&plain, top_is_el3);
    if (has_vhe) {
        run_world(&vhe, top_is_el3);
        run_world(&host, top_is_el3);
    }
    if (top_is_el3) {
        run_world(&secure, true);
        for (unsigned i = 0; i < 5; i++) /* nothing of EL2's has any effect in Secure state */
            change_bits(&secure, &all_bits[i]);
    }
    print("end, %u lines\n", lines);
    levels_end();
}
