/* EL3's own assembly: entry, vectors (Arm ARM D1.3.1.4), the way into a world and out of it; what the payloads need.
 *
 * An exception from EL3 itself builds a `struct frame` on the stack and calls own_exception(). One from a lower level
 * ends enter_world(): the registers go to the `struct world`, whose address TPIDR_EL3 has. */
#include "asm.h"

#define WORLD_HOST FRAME_SIZE           /* of struct world in monitor.h */
#define SCTLR_RES1 0x30c50830
#define CURRENT_EL3 (3 << 2)
    .arch   armv8-a

    .section .text.start, "ax"
function _start
    mrs     x1, mpidr_el1               // other CPUs, which QEMU starts here as well where nothing has PSCI
    tst     x1, #0xff
    b.ne    park
    begin_on_stack
    zero_bss
    mrs     x1, CurrentEL
    cmp     x1, #CURRENT_EL3
    b.ne    wrong_level
    adrp    x1, el3_vectors
    add     x1, x1, :lo12:el3_vectors
    msr     vbar_el3, x1
    ldr     x1, =SCTLR_RES1             // MMU and caches off
    msr     sctlr_el3, x1
    mov     x1, #0x430                  // SCR_EL3: RW and RES1; Secure
    msr     scr_el3, x1
    msr     cptr_el3, xzr
    msr     mdcr_el3, xzr
    isb
    bl      main
1:  b       1b
park:
    wfe
    b       park
endfunction _start

    .text
    .balign 0x800
function el3_vectors
    .irp offset, 0x000, 0x080, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380
    vector_with_frame \offset, save_own
    .endr
    .irp offset, 0x400, 0x480, 0x500, 0x580, 0x600, 0x680, 0x700, 0x780
    vector_from_below \offset, leave_world
    .endr
    .balign 0x80
endfunction el3_vectors

function save_own
    call_and_return own_exception, 3
endfunction save_own

/* void enter_world(struct world *world): ERET into it; returns with what it did last in world->frame. */
function enter_world
    add     x1, x0, #WORLD_HOST
    save_callee_saved x1
    msr     tpidr_el3, x0
    ldp     x1, x2, [x0, #FRAME_ELR]
    msr     elr_el3, x1
    msr     spsr_el3, x2
    ldp     x30, x1, [x0, #0xf0]
    msr     sp_el0, x1
    load_registers x0
    ldp     x0, x1, [x0]
    eret
endfunction enter_world

/* The other half: x1 = the vector, x0 and x1 of the world on the stack. */
function leave_world
    mrs     x0, tpidr_el3
    str     x1, [x0, #FRAME_VECTOR]
    save_registers x0
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x0]
    save_syndrome x0, 3
    add     x1, x0, #WORLD_HOST
    load_callee_saved x1
    ret
endfunction leave_world

/* u64 smc(u64 x0, u64 x1, u64 x2, u64 x3), and hvc: arguments and answer are where SMCCC (DEN 0028) wants them. */
function smc
    smc     #0
    ret
endfunction smc
function hvc
    hvc     #0
    ret
endfunction hvc

/* void semihosting_exit(const u64 reason[2]): SYS_EXIT. */
function semihosting_exit
    mov     x1, x0
    mov     x0, #0x18
    hlt     #0xf000
    ret
endfunction semihosting_exit

/* --- the payloads: Secure EL1, Non-secure EL2 and EL1 --- */

.macro vectors_of name, handler, el
    .balign 0x800
function \name
    .irp offset, 0x000, 0x080, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, \
                 0x400, 0x480, 0x500, 0x580, 0x600, 0x680, 0x700, 0x780
    vector_with_frame \offset, \name\()_save
    .endr
    .balign 0x80
endfunction \name
function \name\()_save
    call_and_return \handler, \el
endfunction \name\()_save
.endm

    vectors_of secure_vectors, secure_exception, 1
    vectors_of normal_vectors, normal_exception, 2
    vectors_of el1_vectors, el1_exception, 1

/* Where the monitor enters a payload for the first time: x19 = its stack. */
function secure_entry
    mov     sp, x19
    mov     x29, xzr
    mov     x30, xzr
    adrp    x1, secure_vectors
    add     x1, x1, :lo12:secure_vectors
    msr     vbar_el1, x1
    isb
    bl      secure_main
1:  b       1b
endfunction secure_entry
function normal_entry
    mov     sp, x19
    mov     x29, xzr
    mov     x30, xzr
    adrp    x1, normal_vectors
    add     x1, x1, :lo12:normal_vectors
    msr     vbar_el2, x1
    isb
    bl      normal_main
1:  b       1b
endfunction normal_entry

/* void secure_wait(u64 result, struct request *request): ends one request, returns with the next one. */
function secure_wait
    str     x1, [sp, #-16]!
    mov     x1, x0
    ldr     w0, =0xb2000000             // SECURE_DONE
    smc     #0
    ldr     x3, [sp], #16
    stp     x0, x1, [x3]
    str     x2, [x3, #16]
    ret
endfunction secure_wait

/* void run_el1(void (*code)(void), u64 stack): from EL2 to EL1h, until EL1 calls HVC #0xee, whose handler returns to
 * el1_done instead. */
function run_el1
    sub     sp, sp, #0x60
    save_callee_saved sp
    msr     elr_el2, x0
    mov     x2, #0x3c5
    msr     spsr_el2, x2
    msr     sp_el1, x1
    adr     x30, el1_end
    eret
    .global el1_done
el1_done:
    load_callee_saved sp
    add     sp, sp, #0x60
    ret
el1_end:
    hvc     #0xee
endfunction run_el1

    .section .bss.boot_stack, "aw", @nobits
    .balign 16
    .skip   0x4000
boot_stack_top:
