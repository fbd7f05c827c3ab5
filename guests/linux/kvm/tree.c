/* A flattened device tree is written front to back: header, an empty list of reservations, nodes, names. */
#include "tree.h"

enum { FDT_MAGIC = 0xd00dfeed, FDT_BEGIN_NODE = 1, FDT_END_NODE = 2, FDT_PROP = 3, FDT_END = 9 };
enum { HEADER = 40, RESERVATIONS = 16, NAMES = TREE_ROOM / 2 };
enum { PHANDLE_GIC = 1, PHANDLE_CLOCK = 2 };
enum { SPI, PPI, EDGE = 1, HIGH = 4 };

struct writer {
    u8 *tree;
    u32 at, names; /* where the next word goes, and the next name, from the start of the tree */
};

static void word(struct writer *to, u32 value) {
    for (int i = 0; i < 4; i++)
        to->tree[to->at++] = (u8)(value >> (24 - 8 * i));
}

static void bytes(struct writer *to, const char *from, u64 count) {
    for (u64 i = 0; i < count; i++)
        to->tree[to->at++] = (u8)from[i];
    while (to->at % 4)
        to->tree[to->at++] = 0;
}

static void begin(struct writer *to, const char *name) {
    word(to, FDT_BEGIN_NODE);
    bytes(to, name, length(name) + 1);
}

static void finish(struct writer *to) { word(to, FDT_END_NODE); }

static void property(struct writer *to, const char *name, u32 size) {
    word(to, FDT_PROP);
    word(to, size);
    word(to, to->names - NAMES);
    for (const char *from = name; from == name || from[-1]; from++)
        to->tree[to->names++] = (u8)*from;
}

static void strings(struct writer *to, const char *name, const char *value, u64 size) {
    property(to, name, (u32)size);
    bytes(to, value, size);
}

static void string(struct writer *to, const char *name, const char *value) {
    strings(to, name, value, length(value) + 1);
}

/* Cells, the last of which is behind the last argument: CELLS(to, "reg", 1, 2). */
#define CELLS(to, name, ...) \
    cells(to, name, (const u32[]){__VA_ARGS__}, sizeof((const u32[]){__VA_ARGS__}) / sizeof(u32))
#define LONG(value) (u32)((u64)(value) >> 32), (u32)(value)

static void cells(struct writer *to, const char *name, const u32 *values, u64 count) {
    property(to, name, (u32)count * 4);
    for (u64 i = 0; i < count; i++)
        word(to, values[i]);
}

static void chosen(struct writer *to, const struct boot *boot) {
    begin(to, "chosen");
    string(to, "bootargs", boot->arguments);
    string(to, "stdout-path", "/pl011@9000000");
    CELLS(to, "linux,initrd-start", LONG(boot->initrd));
    CELLS(to, "linux,initrd-end", LONG(boot->initrd_end));
    finish(to);
}

static void memory(struct writer *to, const struct vm *vm) {
    begin(to, "memory@40000000");
    string(to, "device_type", "memory");
    CELLS(to, "reg", LONG(RAM), LONG(vm->ram_size));
    finish(to);
}

static void cpus(struct writer *to, const struct vm *vm) {
    begin(to, "cpus");
    CELLS(to, "#address-cells", 1);
    CELLS(to, "#size-cells", 0);
    for (u32 cpu = 0; cpu < vm->cpus; cpu++) {
        char name[] = "cpu@0";
        name[4] = (char)('0' + cpu);
        begin(to, name);
        string(to, "device_type", "cpu");
        string(to, "compatible", "arm,armv8");
        string(to, "enable-method", "psci");
        CELLS(to, "reg", cpu);
        finish(to);
    }
    finish(to);
}

static void firmware(struct writer *to) {
    begin(to, "psci");
    strings(to, "compatible", "arm,psci-1.0\0arm,psci-0.2", 26);
    string(to, "method", "hvc");
    finish(to);
}

/* The interrupts of the secure, physical, virtual and hypervisor timers, of which KVM gives a guest two. */
static void timer(struct writer *to) {
    begin(to, "timer");
    string(to, "compatible", "arm,armv8-timer");
    CELLS(to, "interrupts", PPI, 13, HIGH, PPI, 14, HIGH, PPI, 11, HIGH, PPI, 10, HIGH);
    cells(to, "always-on", 0, 0);
    finish(to);
}

static void gic(struct writer *to, const struct vm *vm) {
    begin(to, "intc@8000000");
    string(to, "compatible", vm->gic == 3 ? "arm,gic-v3" : "arm,cortex-a15-gic");
    cells(to, "interrupt-controller", 0, 0);
    CELLS(to, "#interrupt-cells", 3);
    if (vm->gic == 3)
        CELLS(to, "reg", LONG(GICD), LONG(0x10000), LONG(GICR), LONG(0x20000 * (u64)vm->cpus));
    else
        CELLS(to, "reg", LONG(GICD), LONG(0x10000), LONG(GICC), LONG(0x10000));
    CELLS(to, "phandle", PHANDLE_GIC);
    finish(to);
}

static void uart(struct writer *to) {
    begin(to, "apb-pclk");
    string(to, "compatible", "fixed-clock");
    CELLS(to, "#clock-cells", 0);
    CELLS(to, "clock-frequency", 24000000);
    CELLS(to, "phandle", PHANDLE_CLOCK);
    finish(to);
    begin(to, "pl011@9000000");
    strings(to, "compatible", "arm,pl011\0arm,primecell", 24);
    CELLS(to, "reg", LONG(UART), LONG(0x1000));
    CELLS(to, "interrupts", SPI, UART_SPI, HIGH);
    CELLS(to, "clocks", PHANDLE_CLOCK, PHANDLE_CLOCK);
    strings(to, "clock-names", "uartclk\0apb_pclk", 17);
    finish(to);
}

static void header(const struct writer *from, u32 nodes_end) {
    struct writer to = {from->tree, 0, 0};
    word(&to, FDT_MAGIC);
    word(&to, from->names); /* totalsize */
    word(&to, HEADER + RESERVATIONS);
    word(&to, NAMES);
    word(&to, HEADER);
    word(&to, 17); /* version, and the oldest that it is compatible with */
    word(&to, 16);
    word(&to, 0); /* boot_cpuid_phys */
    word(&to, from->names - NAMES);
    word(&to, nodes_end - HEADER - RESERVATIONS);
}

void write_tree(const struct vm *vm, const struct boot *boot, u8 *at) {
    if (length(boot->arguments) > 4096)
        fail("the kernel's arguments are longer than 4096 bytes", 0);
    struct writer to = {at, HEADER + RESERVATIONS, NAMES};
    begin(&to, "");
    CELLS(&to, "#address-cells", 2);
    CELLS(&to, "#size-cells", 2);
    CELLS(&to, "interrupt-parent", PHANDLE_GIC);
    string(&to, "compatible", "linux,dummy-virt");
    string(&to, "model", "a guest of KVM's");
    chosen(&to, boot);
    memory(&to, vm);
    cpus(&to, vm);
    firmware(&to);
    timer(&to);
    gic(&to, vm);
    uart(&to);
    finish(&to);
    word(&to, FDT_END);
    header(&to, to.at);
}
