/* hello: says who it is and what it found. The first thing that `make run` shows. */
#include "guest.h"

struct part {
    u32 number;
    const char *name;
};

static const char *cpu_name(u64 midr) {
    static const struct part arm[] = {
        {0xd03, "Arm Cortex-A53"}, {0xd04, "Arm Cortex-A35"},   {0xd05, "Arm Cortex-A55"},
        {0xd07, "Arm Cortex-A57"}, {0xd08, "Arm Cortex-A72"},   {0xd09, "Arm Cortex-A73"},
        {0xd0b, "Arm Cortex-A76"}, {0xd0c, "Arm Neoverse-N1"},
    };
    if (bits(midr, 31, 24) == 0) /* reserved for software use: what emulators give their own CPUs */
        return "an emulator's own (max)";
    for (size_t i = 0; i < sizeof arm / sizeof *arm; i++)
        if (bits(midr, 31, 24) == 'A' && bits(midr, 15, 4) == arm[i].number)
            return arm[i].name;
    return "unknown";
}

static void show_text(const void *fdt, const char *label, const char *name) {
    u32 length;
    const char *text = fdt_property(fdt, "", name, &length);
    if (text)
        print("  %s %s\n", label, text);
}

static void show_device_tree(const void *fdt) {
    if (!fdt) {
        print("  device tree    none: neither x0 nor the start of RAM points at one\n");
        return;
    }
    u32 length;
    print("  device tree    at 0x%lx, %lu bytes\n", (u64)fdt, fdt_cells((const u8 *)fdt + 4, 1));
    show_text(fdt, "model         ", "model");
    show_text(fdt, "compatible    ", "compatible");
    const u8 *memory = fdt_property(fdt, "memory", "reg", &length);
    if (memory && length >= 16) {
        u64 start = fdt_cells(memory, 2), size = fdt_cells(memory + 8, 2);
        print("  memory         0x%lx to 0x%lx, %lu MiB\n", start, start + size - 1, size >> 20);
    }
    const char *arguments = fdt_property(fdt, "chosen", "bootargs", &length);
    if (arguments)
        print("  arguments      %s\n", arguments);
}

void main(const void *fdt) {
    u64 midr = read_sysreg(midr_el1), mpidr = read_sysreg(mpidr_el1);
    print("Hello from armvcpu's guest.\n\n");
    print("  exception level EL%lu\n", bits(read_sysreg(CurrentEL), 3, 2));
    print("  CPU            %s r%lup%lu, MIDR_EL1 0x%lx\n", cpu_name(midr), bits(midr, 23, 20), bits(midr, 3, 0),
          midr);
    print("  affinity       %lu.%lu.%lu.%lu, MPIDR_EL1 0x%lx\n", bits(mpidr, 39, 32), bits(mpidr, 23, 16),
          bits(mpidr, 15, 8), bits(mpidr, 7, 0), mpidr);
    show_device_tree(fdt);
    print("\n");
    check_equal("hello", bits(read_sysreg(CurrentEL), 3, 2), 1);
    summary("hello");
}
