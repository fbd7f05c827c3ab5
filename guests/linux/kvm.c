/* kvm: a user of /dev/kvm in one file, without a libc, for a Linux that itself runs at EL2.
 *
 *     kvm small                                     a guest of a few instructions; each exit is a line
 *     kvm exits COUNT                               what each of so many exits costs, by kind
 *     kvm IMAGE INITRD ARGUMENTS [MIB [CPUS]]       Linux, its console on stdin and stdout; 256 MiB and one CPU
 *
 * The board is QEMU's virt, less everything but RAM, GIC, timers and a PL011. Status 0 when the guest powers off, 3
 * when it resets, 1 and a line on stderr when something can't be done.
 */
#include "kvm/exits.h"
#include "kvm/pl011.h"
#include "kvm/small.h"
#include "kvm/system.h"
#include "kvm/tree.h"

enum { MIB = 1 << 20, TREE_AT = 0, KERNEL_AT = 2 * MIB };

struct linux {
    struct vm vm;
    struct pl011 uart;
    struct terminal terminal;
    u32 started; /* vCPUs that have a thread */
};

/* Of the arm64 Image header (Documentation/arch/arm64/booting.rst): what the kernel takes from its first byte on. */
struct image {
    u32 code[2];
    u64 text_offset, image_size, flags, reserved[3];
    u32 magic, reserved5;
};
enum { IMAGE_MAGIC = 0x644d5241 };

/* The kernel 2 MiB and its text_offset above the start of RAM, and the initramfs on a page behind it. */
static struct boot place(struct vm *vm, const char *image, const char *initrd) {
    struct boot boot = {0, RAM + KERNEL_AT, 0, 0};
    u64 size = load(image, vm->ram + KERNEL_AT, vm->ram_size - KERNEL_AT);
    const struct image *header = (void *)(vm->ram + KERNEL_AT);
    if (size < sizeof *header || header->magic != IMAGE_MAGIC || header->text_offset || header->image_size < size)
        fail("not an arm64 Image with text_offset 0", 0);
    u64 behind = (KERNEL_AT + header->image_size + 0xffff) & ~0xfffful;
    if (behind >= vm->ram_size)
        fail("too little memory for the kernel", 0);
    boot.initrd = RAM + behind;
    boot.initrd_end = boot.initrd + load(initrd, vm->ram + behind, vm->ram_size - behind);
    return boot;
}

__attribute__((noreturn)) static void finish(const struct linux *linux, u32 event) {
    restore(&linux->terminal);
    if (event != KVM_SYSTEM_EVENT_SHUTDOWN)
        put("kvm: the guest wants a reset\n");
    end(event == KVM_SYSTEM_EVENT_SHUTDOWN ? 0 : 3);
}

static void mmio(struct linux *linux, struct kvm_run *exit) {
    u64 offset = exit->mmio.phys_addr - UART;
    if (offset >= 0x1000) { /* nothing there: stores are lost, and loads give zero */
        if (!exit->mmio.is_write)
            answer(exit, 0);
    } else if (exit->mmio.is_write) {
        pl011_write(&linux->uart, offset, stored(exit));
    } else {
        answer(exit, pl011_read(&linux->uart, offset));
    }
}

static void run_cpu(struct linux *linux, u32 cpu) {
    struct kvm_run *exit = linux->vm.run[cpu];
    for (;;) {
        u32 reason = run(&linux->vm, cpu);
        if (reason == KVM_EXIT_MMIO) {
            mmio(linux, exit);
        } else if (reason == KVM_EXIT_SYSTEM_EVENT) {
            finish(linux, exit->system_event.type);
        } else if (reason != KVM_EXIT_INTR) {
            restore(&linux->terminal);
            fail("KVM gave up on the guest: exit", reason);
        }
    }
}

/* The thread of the next vCPU; `linux` is the whole machine. */
static void run_next_cpu(void *linux) {
    run_cpu(linux, __atomic_add_fetch(&((struct linux *)linux)->started, 1, __ATOMIC_RELAXED));
}

static void run_linux(const char *image, const char *initrd, const char *arguments, u64 mib, u64 cpus) {
    if (cpus < 1 || cpus > MAX_CPUS || mib < 32 || mib > 4096)
        fail("CPUs are 1 to 8, and memory is 32 to 4096 MiB", 0);
    struct linux *linux = fresh(sizeof *linux);
    create(&linux->vm, mib * MIB, (u32)cpus);
    struct boot boot = place(&linux->vm, image, initrd);
    boot.arguments = arguments;
    write_tree(&linux->vm, &boot, linux->vm.ram + TREE_AT);
    set_register(&linux->vm, 0, KVM_REG_X(0), RAM + TREE_AT);
    set_register(&linux->vm, 0, KVM_REG_PC, boot.kernel);
    linux->uart.vm = &linux->vm;
    make_raw(&linux->terminal);
    spawn(pl011_listen, &linux->uart);
    for (u64 cpu = 1; cpu < cpus; cpu++)
        spawn(run_next_cpu, linux);
    run_cpu(linux, 0);
}

static int is_equal(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* `stack` is as the kernel leaves it: argc, argv[0], argv[1], ... */
__attribute__((noreturn, used)) void main(const long *stack) {
    long count = stack[0] - 1;
    const char *const *words = (const char *const *)(stack + 2);
    if (count == 1 && is_equal(words[0], "small"))
        run_small();
    else if (count == 2 && is_equal(words[0], "exits"))
        time_exits(number(words[1]));
    else if (count >= 3 && count <= 5)
        run_linux(words[0], words[1], words[2], count > 3 ? number(words[3]) : 256, count > 4 ? number(words[4]) : 1);
    else
        fail("usage: kvm small, kvm exits COUNT, or kvm IMAGE INITRD ARGUMENTS [MIB [CPUS]]", 0);
    end(0);
}

__attribute__((naked, noreturn)) void _start(void) { __asm__ volatile("mov x0, sp\n\tmov x29, xzr\n\tb main"); }
