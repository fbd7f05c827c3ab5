/* Finding, starting and stopping CPUs; see cpus.h. */
#include "interrupts/cpus.h"
#include "interrupts/gic.h"

#define PSCI_CPU_OFF 0x84000002ul
#define PSCI_CPU_ON 0xc4000003ul
#define PSCI_AFFINITY_INFO 0xc4000004ul

struct start {
    u64 stack_top, index; /* cpus.S knows this layout */
    void (*function)(unsigned);
};
extern const char cpu_entry[];

unsigned cpu_count = 1;
u64 cpu_mpidr[MAX_CPUS];
static struct start starts[MAX_CPUS];
static char stacks[MAX_CPUS][0x2000] __attribute__((aligned(16)));

static u32 be32(const char *p) { return __builtin_bswap32(*(const u32 *)p); }

static bool begins(const char *s, const char *with) {
    while (*with && *s == *with)
        s++, with++;
    return !*with;
}

static unsigned length_of(const char *s) {
    unsigned n = 0;
    while (s[n])
        n++;
    return n;
}

static void add_cpu(u64 mpidr) {
    if (mpidr != cpu_mpidr[0] && cpu_count < MAX_CPUS)
        cpu_mpidr[cpu_count++] = mpidr;
}

/* `reg` of every node called cpu@*: an affinity of one cell or, with #address-cells = 2 in /cpus, of two. */
static void find_in_tree(const char *base) {
    const char *p = base + be32(base + 8), *strings = base + be32(base + 12);
    const char *end = base + be32(base + 4);
    for (bool in_cpu = false; p < end;) {
        u32 token = be32(p);
        p += 4;
        if (token == 1) { /* FDT_BEGIN_NODE */
            in_cpu = begins(p, "cpu@");
            p += (length_of(p) + 4) & ~3u;
        } else if (token == 3) { /* FDT_PROP */
            u32 size = be32(p);
            if (in_cpu && begins(strings + be32(p + 4), "reg"))
                add_cpu(fdt_cells(p + 8, size / 4));
            p += 8 + ((size + 3) & ~3u);
        }
    }
}

void find_cpus(const void *fdt) {
    cpu_mpidr[0] = affinity();
    write_sysreg(tpidr_el1, 0);
    if (fdt) {
        find_in_tree(fdt);
        return;
    }
    u64 typer, base = GICR_BASE;
    do {
        typer = read64(base + GICR_TYPER);
        add_cpu(bits(typer, 63, 56) << 32 | bits(typer, 55, 32));
        base += GICR_STRIDE;
    } while (!(typer & GICR_TYPER_LAST));
}

__attribute__((noreturn)) void stop_cpu(void) {
    hvc(PSCI_CPU_OFF, 0, 0, 0);
    for (;;)
        __asm__ volatile("wfi");
}

void cpu_main(const struct start *start) {
    start->function((unsigned)start->index);
    stop_cpu();
}

int64_t start_cpu(unsigned index, void (*function)(unsigned)) {
    starts[index] = (struct start){(u64)stacks[index] + sizeof stacks[index], index, function};
    /* The new CPU reads this with its caches off. */
    for (u64 line = (u64)&starts[index] & -16ul; line < (u64)(&starts[index] + 1); line += 16)
        __asm__ volatile("dc cvac, %0" ::"r"(line) : "memory");
    dsb();
    return (int64_t)hvc(PSCI_CPU_ON, cpu_mpidr[index], (u64)cpu_entry, (u64)&starts[index]);
}

int64_t affinity_info(unsigned index) { return (int64_t)hvc(PSCI_AFFINITY_INFO, cpu_mpidr[index], 0, 0); }
