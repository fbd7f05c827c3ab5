/* A guest that makes nothing but exits: hypercalls, which KVM answers in the kernel, loads of its GIC's registers, which
 * it answers there too, and stores to a device, for which KVM_RUN returns. A store to another address ends each kind. */
#include "exits.h"
#include "vm.h"

enum { MIB = 1 << 20, DEVICE = 0x0b000000, MARK = DEVICE + 0x100, KINDS = 3 };

/* x0 is the count, x1 the device and x2 the distributor. */
__asm__(".text\n"
        ".balign 8\n"
        "exits_guest:\n"
        "    mov  x19, x0\n"
        "    mov  x20, x1\n"
        "    mov  x21, x2\n"
        "    mov  x22, x19\n"
        "    str  w0, [x20, #0x100]\n"
        "1:  mov  x0, #0x1234\n"
        "    hvc  #0\n"
        "    subs x22, x22, #1\n"
        "    b.ne 1b\n"
        "    mov  x22, x19\n"
        "    str  w0, [x20, #0x100]\n"
        "2:  ldr  w0, [x21, #4]\n" /* GICD_TYPER */
        "    subs x22, x22, #1\n"
        "    b.ne 2b\n"
        "    mov  x22, x19\n"
        "    str  w0, [x20, #0x100]\n"
        "3:  str  w0, [x20]\n"
        "    subs x22, x22, #1\n"
        "    b.ne 3b\n"
        "    str  w0, [x20, #0x100]\n"
        "    b    .\n"
        "exits_guest_end:\n");
extern const u8 exits_guest[], exits_guest_end[];

static void run_to_mark(const struct vm *vm) {
    do {
        u32 reason = run(vm, 0);
        if (reason != KVM_EXIT_MMIO)
            fail("an exit that there should not be", reason);
    } while (vm->run[0]->mmio.phys_addr != MARK);
}

void time_exits(u64 count) {
    const char *const kinds[KINDS] = {"hypercall", "GIC register", "device"};
    if (!count)
        fail("a count is at least 1", 0);
    struct vm *vm = fresh(sizeof *vm);
    create(vm, 2 * MIB, 1);
    for (const u8 *from = exits_guest; from < exits_guest_end; from++)
        vm->ram[from - exits_guest] = *from;
    set_register(vm, 0, KVM_REG_X(0), count);
    set_register(vm, 0, KVM_REG_X(1), DEVICE);
    set_register(vm, 0, KVM_REG_X(2), GICD);
    set_register(vm, 0, KVM_REG_PC, RAM);
    run_to_mark(vm);
    for (int kind = 0; kind < KINDS; kind++) {
        u64 start = now();
        run_to_mark(vm);
        put("EXIT ");
        put(kinds[kind]);
        put(" ns=");
        put_decimal((now() - start) / count);
        put("\n");
    }
}
