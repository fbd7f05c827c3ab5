/* A guest of a few instructions makes every kind of exit, and each is printed: its level, hypercalls that KVM answers,
 * loads and stores of every width at a device that is here, and a WFI that the virtual timer's interrupt ends. */
#include "small.h"
#include "vm.h"

enum { MIB = 1 << 20, DEVICE = 0x0b000000 };

/* It runs at the start of RAM, with the MMU off; x0 is the GIC's version and x1 where the device is. VBAR_EL1 is its
 * first byte, so that its own vector for interrupts at SP_EL1 is 0x280 bytes on. What it stores at offset 0x10 n is
 * n's answer. */
__asm__(".text\n"
        ".balign 8\n"
        "small_guest:\n"
        "    mov  x19, x0\n"
        "    mov  x20, x1\n"
        "    mrs  x2, CurrentEL\n"
        "    str  w2, [x20]\n"
        "    movz x0, #0x8400, lsl #16\n" /* PSCI_VERSION */
        "    hvc  #0\n"
        "    str  w0, [x20, #0x10]\n"
        "    mov  x0, #0x1234\n" /* a call that nobody knows */
        "    hvc  #0\n"
        "    str  x0, [x20, #0x20]\n"
        "    ldrb w2, [x20, #0x30]\n"
        "    strb w2, [x20, #0x30]\n"
        "    ldrsh x2, [x20, #0x40]\n"
        "    str  x2, [x20, #0x40]\n"
        "    ldr  w2, [x20, #0x50]\n"
        "    strh w2, [x20, #0x50]\n"
        "    ldr  x2, [x20, #0x60]\n"
        "    str  x2, [x20, #0x60]\n"
        "    mrs  x2, MPIDR_EL1\n"
        "    str  x2, [x20, #0x70]\n"
        /* The GIC: PPI 27 for a group 1 interrupt, priority mask open. */
        "    adr  x2, small_guest\n"
        "    msr  VBAR_EL1, x2\n"
        "    movz x2, #0x0800, lsl #16\n" /* GICD */
        "    mov  w3, #0x08000000\n"      /* bit 27 */
        "    cmp  x19, #3\n"
        "    b.ne 1f\n"
        "    mov  w4, #0x12\n" /* GICD_CTLR: ARE_NS, EnableGrp1 */
        "    str  w4, [x2]\n"
        "    movz x5, #0x080b, lsl #16\n" /* GICR's frame of SGIs and PPIs */
        "    str  w3, [x5, #0x80]\n"      /* GICR_IGROUPR0 */
        "    str  w3, [x5, #0x100]\n"     /* GICR_ISENABLER0 */
        "    mov  x4, #0xf0\n"
        "    msr  S3_0_C4_C6_0, x4\n" /* ICC_PMR_EL1 */
        "    mov  x4, #1\n"
        "    msr  S3_0_C12_C12_7, x4\n" /* ICC_IGRPEN1_EL1 */
        "    isb\n"
        "    b    2f\n"
        "1:  mov  w4, #1\n"
        "    str  w4, [x2]\n"             /* GICD_CTLR */
        "    str  w3, [x2, #0x100]\n"     /* GICD_ISENABLER0 */
        "    movz x6, #0x0801, lsl #16\n" /* GICC */
        "    mov  w4, #0xf0\n"
        "    str  w4, [x6, #4]\n" /* GICC_PMR */
        "    mov  w4, #1\n"
        "    str  w4, [x6]\n" /* GICC_CTLR */
        /* A hundred microseconds at 62.5 MHz, and no more than some milliseconds at any frequency. */
        "2:  mov  x2, #6250\n"
        "    msr  CNTV_TVAL_EL0, x2\n"
        "    mov  x2, #1\n"
        "    msr  CNTV_CTL_EL0, x2\n"
        "    mov  x21, xzr\n"
        "3:  wfi\n"
        "    msr  DAIFClr, #2\n"
        "    isb\n"
        "    msr  DAIFSet, #2\n"
        "    cbz  x21, 3b\n"
        "    mov  x0, #8\n" /* SYSTEM_OFF */
        "    movk x0, #0x8400, lsl #16\n"
        "    hvc  #0\n"
        "    b    .\n"
        ".org small_guest + 0x280\n"
        "    msr  CNTV_CTL_EL0, xzr\n"
        "    isb\n"
        "    cmp  x19, #3\n"
        "    b.ne 4f\n"
        "    mrs  x21, S3_0_C12_C12_0\n" /* ICC_IAR1_EL1 */
        "    msr  S3_0_C12_C12_1, x21\n" /* ICC_EOIR1_EL1 */
        "    b    5f\n"
        "4:  ldr  w21, [x6, #0xc]\n" /* GICC_IAR */
        "    str  w21, [x6, #0x10]\n"
        "5:  str  w21, [x20, #0x80]\n"
        "    eret\n"
        "small_guest_end:\n");
extern const u8 small_guest[], small_guest_end[];

static void show(const struct kvm_run *run) {
    put(run->mmio.is_write ? "store " : "load ");
    put_hex(run->mmio.phys_addr);
    put(" width ");
    put_hex(run->mmio.len);
    if (run->mmio.is_write) {
        put(" value ");
        put_hex(stored(run));
    }
    put("\n");
}

void run_small(void) {
    struct vm *vm = fresh(sizeof *vm);
    create(vm, 2 * MIB, 1);
    for (const u8 *from = small_guest; from < small_guest_end; from++)
        vm->ram[from - small_guest] = *from;
    set_register(vm, 0, KVM_REG_X(0), (u64)vm->gic);
    set_register(vm, 0, KVM_REG_X(1), DEVICE);
    set_register(vm, 0, KVM_REG_PC, RAM);
    put(vm->gic == 3 ? "GICv3\n" : "GICv2\n");
    struct kvm_run *exit = vm->run[0];
    while (run(vm, 0) == KVM_EXIT_MMIO) {
        show(exit);
        if (!exit->mmio.is_write)
            answer(exit, 0x8182838485868788);
    }
    if (exit->exit_reason != KVM_EXIT_SYSTEM_EVENT)
        fail("an exit that there should not be", exit->exit_reason);
    put("system event ");
    put_hex(exit->system_event.type);
    put("\n");
}
