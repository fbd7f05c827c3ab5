/* selfmod: code that changes while it runs, with the maintenance that the architecture asks for (Arm ARM B2.4.4
 * "Concurrent modification and execution of instructions"): DC CVAU, DSB, IC IVAU, DSB, ISB. */
#include "mmu.h"

#define CODE FREE_RAM /* RAM outside the image, so that no page holds both this code and its writer */
#define WRITABLE_VA 0x0000000180000000ul
#define EXECUTABLE_VA 0x0000000180400000ul

#define RET 0xd65f03c0u
#define MOVZ_W0(n) (0x52800000u | (u32)(n) << 5)
#define ADD_W0(n) (0x11000000u | (u32)(n) << 10)

/* How the instruction cache is told. */
enum maintenance { IVAU, IALLU, IALLUIS };

static const char *phase;

static void publish(u64 written, u64 executed, enum maintenance how) {
    __asm__ volatile("dc cvau, %0\n\tdsb ish" ::"r"(written) : "memory");
    if (how == IVAU)
        __asm__ volatile("ic ivau, %0" ::"r"(executed) : "memory");
    else if (how == IALLU)
        __asm__ volatile("ic iallu" ::: "memory");
    else
        __asm__ volatile("ic ialluis" ::: "memory");
    __asm__ volatile("dsb ish\n\tisb" ::: "memory");
}

static void write_code(u64 written, u64 executed, u32 instruction, enum maintenance how) {
    *(volatile u32 *)written = instruction;
    publish(written, executed, how);
}

static u64 run(u64 address) { return ((u32 (*)(void))address)(); }

static void expect(const char *name, u64 got, u64 want) {
    if (got == want)
        pass("%s, %s", name, phase);
    else
        fail(name, "%s, got %lu, expected %lu", phase, got, want);
}

/* The same function rewritten a thousand times and called each time. */
static void rewritten(const char *name, u64 written, u64 executed, enum maintenance how) {
    u64 sum = 0;
    write_code(written + 4, executed + 4, RET, how);
    for (u64 i = 1; i <= 1000; i++) {
        write_code(written, executed, MOVZ_W0(i), how);
        sum += run(executed);
    }
    expect(name, sum, 500500);
}

/* Code that writes over an instruction of its own, just ahead. x0: the new instruction, x1: scratch. */
extern const u32 patching[], patching_end[];
static void self_patching(void) {
    for (u64 i = 0; i < (u64)(patching_end - patching); i++)
        write_code(CODE + 4 * i, CODE + 4 * i, patching[i], IVAU);
    u64 sum = 0;
    for (u64 i = 1; i <= 100; i++)
        sum += ((u32 (*)(u64))CODE)(MOVZ_W0(i));
    expect("code that patches itself", sum, 5050);
}

/* One straight run of code over a page boundary, its second half changed. */
static void across_pages(void) {
    u64 start = CODE + 0x1000 - 8;
    write_code(start, start, MOVZ_W0(100), IVAU);
    write_code(start + 4, start + 4, ADD_W0(1), IVAU);
    write_code(start + 8, start + 8, ADD_W0(10), IVAU);
    write_code(start + 12, start + 12, RET, IVAU);
    u64 before = run(start);
    write_code(start + 8, start + 8, ADD_W0(20), IVAU);
    expect("second page of a straight run", before * 1000 + run(start), 111121);
}

/* A caller keeps calling while its callee changes: the link between the two must follow. */
static void callee_changes(void) {
    u64 sum = 0;
    write_code(CODE + 0x2004, CODE + 0x2004, RET, IVAU);
    for (u64 i = 0; i < 100; i++) {
        write_code(CODE + 0x2000, CODE + 0x2000, MOVZ_W0(i % 2 ? 7 : 3), IVAU);
        for (unsigned n = 0; n < 50; n++)
            sum += run(CODE + 0x2000);
    }
    expect("callee changes under its caller", sum, 50 * 50 * (7 + 3));
}

static void identity(void) {
    rewritten("rewritten, ic ivau", CODE, CODE, IVAU);
    rewritten("rewritten, ic iallu", CODE, CODE, IALLU);
    rewritten("rewritten, ic ialluis", CODE, CODE, IALLUIS);
    self_patching();
    across_pages();
    callee_changes();
}

/* The page is written through one address and runs at another, as kernels and JIT compilers do. */
static void alias(const struct space *space) {
    phase = "alias";
    map(space, WRITABLE_VA, CODE, 3, NORMAL | PXN | UXN);
    map(space, EXECUTABLE_VA, CODE, 3, NORMAL | AP_RO | UXN);
    rewritten("rewritten, ic ivau", WRITABLE_VA, EXECUTABLE_VA, IVAU);
    rewritten("rewritten, ic iallu", WRITABLE_VA, EXECUTABLE_VA, IALLU);
}

/* The code does not change, the mapping does: after TLBI the other page's code runs. */
static void remapped(const struct space *space) {
    u64 sum = 0, pages[] = {CODE + 0x4000, CODE + 0x5000};
    for (unsigned i = 0; i < 2; i++) {
        write_code(pages[i], pages[i], MOVZ_W0(i ? 30 : 20), IVAU);
        write_code(pages[i] + 4, pages[i] + 4, RET, IVAU);
    }
    for (unsigned i = 0; i < 100; i++) {
        *(volatile u64 *)entry_at(space, EXECUTABLE_VA, 3) = 0;
        tlbi_all();
        map(space, EXECUTABLE_VA, pages[i % 2], 3, NORMAL | AP_RO | UXN);
        sum += run(EXECUTABLE_VA);
    }
    expect("page exchanged by its mapping", sum, 50 * (20 + 30));
}

void main(const void *fdt) {
    (void)fdt;
    phase = "MMU off";
    identity();
    struct space space = new_space(GRANULE_4K, 48);
    map_guest(&space);
    mmu_on(&space, NULL, 0);
    phase = "MMU on";
    identity();
    alias(&space);
    remapped(&space);
    mmu_off();
    phase = "MMU off again";
    rewritten("rewritten, ic ivau", CODE, CODE, IVAU);
    summary("selfmod");
}
