/* EL2's own assembly: entry, vectors (Arm ARM D1.3.1.4), and the way into a guest and out of it.
 *
 * An exception from EL2 itself builds a `struct frame` on the stack and calls own_exception(). One from a lower level
 * ends enter_guest(): the guest's registers go to its `struct vcpu`, whose address TPIDR_EL2 has. */
#include "asm.h"

#define VCPU_HOST FRAME_SIZE            /* of struct vcpu in hypervisor.h */
#define SCTLR_RES1 0x30c50830
#define CURRENT_EL2 (2 << 2)

    .section .text.start, "ax"
function _start
    begin_on_stack
    zero_bss
    mrs     x1, CurrentEL
    cmp     x1, #CURRENT_EL2
    b.ne    wrong_level
    bl      set_up_el2
    bl      fdt_start
    bl      main
    b       power_off
endfunction _start

/* Where PSCI CPU_ON enters a CPU: at EL2h, MMU off, interrupts masked, x0 = the struct start of main.c. */
function secondary_entry
    ldp     x1, x19, [x0]               // stack top, index
    mov     sp, x1
    mov     x29, xzr
    mov     x30, xzr
    bl      set_up_el2
    mov     x0, x19
    bl      secondary_main
1:  wfi
    b       1b
endfunction secondary_entry

function set_up_el2
    adrp    x1, el2_vectors
    add     x1, x1, :lo12:el2_vectors
    msr     vbar_el2, x1
    ldr     x1, =SCTLR_RES1             // MMU and caches off
    msr     sctlr_el2, x1
    ldr     x1, =0x80000000             // HCR_EL2.RW: EL1 is AArch64; no VHE
    msr     hcr_el2, x1
    mov     x1, #0x33ff                 // CPTR_EL2: no trap, RES1
    msr     cptr_el2, x1
    msr     hstr_el2, xzr
    isb
    ret
endfunction set_up_el2

    .text
    .balign 0x800
function el2_vectors
    .irp offset, 0x000, 0x080, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380
    vector_with_frame \offset, save_own
    .endr
    .irp offset, 0x400, 0x480, 0x500, 0x580, 0x600, 0x680, 0x700, 0x780
    vector_from_below \offset, leave_guest
    .endr
    .balign 0x80
endfunction el2_vectors

function save_own
    call_and_return own_exception, 2
endfunction save_own

/* void enter_guest(struct vcpu *vcpu): ERET into the guest; returns with what it did last in vcpu->frame. */
function enter_guest
    add     x1, x0, #VCPU_HOST
    save_callee_saved x1
    msr     tpidr_el2, x0
    ldp     x1, x2, [x0, #FRAME_ELR]
    msr     elr_el2, x1
    msr     spsr_el2, x2
    ldp     x30, x1, [x0, #0xf0]
    msr     sp_el0, x1
    load_registers x0
    ldp     x0, x1, [x0]
    eret
endfunction enter_guest

/* The other half: x1 = the vector, x0 and x1 of the guest on the stack. */
function leave_guest
    mrs     x0, tpidr_el2
    str     x1, [x0, #FRAME_VECTOR]
    save_registers x0
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x0]
    save_syndrome x0, 2
    mov     x4, sp
    str     x4, [x0, #FRAME_SP]
    add     x1, x0, #VCPU_HOST
    load_callee_saved x1
    ret
endfunction leave_guest

/* u64 smc(u64 x0, u64 x1, u64 x2, u64 x3), and hvc: arguments and answer are where SMCCC (DEN 0028) wants them. */
function smc
    .arch   armv8-a
    smc     #0
    ret
endfunction smc
function hvc
    hvc     #0
    ret
endfunction hvc

    .section .bss.boot_stack, "aw", @nobits
    .balign 16
    .skip   0x4000
boot_stack_top:
