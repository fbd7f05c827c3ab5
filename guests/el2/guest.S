/* The guest's entry and its EL1 vectors: each exception builds a `struct frame` and calls guest_exception(). */
#include "asm.h"

    .text
/* x0 = number of the CPU, x1 = has a GICv3, x2 = top of the stack; addresses are the guest's own (IPA). */
function guest_start
    mov     sp, x2
    mov     x29, xzr
    mov     x30, xzr
    adrp    x3, guest_vectors
    add     x3, x3, :lo12:guest_vectors
    msr     vbar_el1, x3
    isb
    bl      guest_main
1:  b       1b
endfunction guest_start

    .balign 0x800
function guest_vectors
    .irp offset, 0x000, 0x080, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, \
                 0x400, 0x480, 0x500, 0x580, 0x600, 0x680, 0x700, 0x780
    vector_with_frame \offset, save_guest
    .endr
    .balign 0x80
endfunction guest_vectors

function save_guest
    save_registers sp
    mrs     x1, elr_el1
    mrs     x2, spsr_el1
    stp     x1, x2, [sp, #FRAME_ELR]
    mrs     x1, esr_el1
    mrs     x2, far_el1
    stp     x1, x2, [sp, #FRAME_ESR]
    str     x0, [sp, #FRAME_VECTOR]
    mov     x0, sp
    bl      guest_exception
    ldp     x1, x2, [sp, #FRAME_ELR]
    msr     elr_el1, x1
    msr     spsr_el1, x2
    ldr     x30, [sp, #0xf0]
    load_registers sp
    ldp     x0, x1, [sp], #FRAME_SIZE
    eret
endfunction save_guest

/* u64 guest_smc(u64 x0): its immediate is what the hypervisor sees in ESR_EL2. */
function guest_smc
    .arch   armv8-a
    smc     #0x12
    ret
endfunction guest_smc
