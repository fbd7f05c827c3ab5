/* Vectors of EL1, EL2 and EL3 that write what came to the journal, and the way down and up. Nothing here uses a stack. */
#include "asm.h"

#define JOURNAL_X 0x20
#define JOURNAL_COUNT 0x40
#define JOURNAL_TRIES 0x48              // from EL1, from EL2
#define JOURNAL_TOP 0x58
#define JOURNAL_HCR 0x60
#define JOURNAL_EVENTS 0x70
#define MOST_EVENTS 8

.macro vectors level
    .balign 0x800
function levels_vectors_el\level
    .irp offset, 0x000, 0x080, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, \
                 0x400, 0x480, 0x500, 0x580, 0x600, 0x680, 0x700, 0x780
    .balign 0x80
    msr     tpidr_el\level, x0
    adrp    x0, journal
    add     x0, x0, :lo12:journal
    str     x1, [x0, #8]
    mov     x1, #\offset
    b       note_el\level
    .endr
    .balign 0x80
endfunction levels_vectors_el\level

function note_el\level
    stp     x2, x3, [x0, #0x10]
    mrs     x2, tpidr_el\level
    str     x2, [x0]
    ldr     x2, [x0, #JOURNAL_COUNT]
    cbnz    x2, 1f
    ldp     x2, x3, [x0]
    stp     x2, x3, [x0, #JOURNAL_X]
    ldp     x2, x3, [x0, #0x10]
    stp     x2, x3, [x0, #JOURNAL_X + 0x10]
    mov     x2, #0
1:  cmp     x2, #MOST_EVENTS
    b.hs    .                           // the journal is full: there is no way up
    add     x3, x2, #1
    str     x3, [x0, #JOURNAL_COUNT]
    add     x3, x0, x2, lsl #6
    add     x3, x3, #JOURNAL_EVENTS
    mov     x2, #\level
    stp     x2, x1, [x3]
    mov     x1, #-1                     // UNREAD
    mrs     x2, elr_el\level
    stp     x1, x2, [x3, #0x10]
    mrs     x1, spsr_el\level
    str     x1, [x3, #0x20]
    mov     x1, #0
    .if \level == 2
    mrs     x1, hpfar_el2
    .endif
    mrs     x2, daif
    stp     x1, x2, [x3, #0x30]
    mrs     x1, esr_el\level            // may be trapped
    mrs     x2, far_el\level
    str     x1, [x3, #0x10]
    str     x2, [x3, #0x28]
    ldr     x1, [x0, #JOURNAL_TOP]
    cmp     x1, #\level
    b.eq    come_back
    .if \level != 3
    ldr     x1, [x0, #JOURNAL_TRIES + 8 * (\level - 1)]
    add     x2, x1, #1
    str     x2, [x0, #JOURNAL_TRIES + 8 * (\level - 1)]
    .endif
    b       up_from_el\level
endfunction note_el\level
.endm

    .text
    .arch   armv8-a
    vectors 1
    vectors 2
    vectors 3

/* From EL1 and EL2 to the top; x1 tries have failed. An instruction that is trapped or UNDEFINED leads to the next. */
    .global way_up_end
up_from_el1:
    ldr     x2, [x0, #JOURNAL_TOP]
    cmp     x2, #3
    b.eq    2f
    cbnz    x1, 1f
    hvc     #0xfff0
1:  mov     x2, #0x300000000            // NOT_MAPPED
    ldr     x2, [x2]
    b       .
2:  cmp     x1, #1
    b.hi    4f
    b.eq    3f
    smc     #0xfff0
3:  hvc     #0xfff1
4:  mrs     x2, cpacr_el1
    cmp     x1, #2
    b.eq    1b
    b       .
up_from_el2:
    cbnz    x1, 5f
    smc     #0xfff2
5:  mrs     x2, cptr_el2
    b       .
up_from_el3:                            // there is nothing above
    b       .
way_up_end:

/* void cross(const struct crossing *) */
function cross
    adrp    x1, kept
    add     x1, x1, :lo12:kept
    save_callee_saved x1
    mov     x2, sp
    str     x2, [x1, #0x60]
    adrp    x3, journal
    add     x3, x3, :lo12:journal
    stp     xzr, xzr, [x3, #JOURNAL_COUNT]
    str     xzr, [x3, #JOURNAL_TRIES + 8]
    ldr     x3, [x3, #JOURNAL_TOP]
    ldp     x1, x2, [x0, #0x38]         // SP_EL0, SP_EL1
    msr     sp_el0, x1
    msr     sp_el1, x2
    ldp     x1, x2, [x0, #0x48]         // SP_EL2, SP of the top
    mov     sp, x2
    ldp     x4, x5, [x0, #0x20]         // ELR, SPSR
    ldr     x6, [x0, #0x30]             // HCR_EL2
    cmp     x3, #3
    b.eq    1f
    msr     elr_el2, x4
    msr     spsr_el2, x5
    b       2f
1:  msr     elr_el3, x4
    msr     spsr_el3, x5
    msr     sp_el2, x1
2:  msr     hcr_el2, x6
    isb
    ldp     x2, x3, [x0, #0x10]
    ldp     x0, x1, [x0]
    eret
endfunction cross

/* At the top, from its vector, with x0 = journal: return from cross(). */
function come_back
    ldr     x1, [x0, #JOURNAL_HCR]
    msr     hcr_el2, x1
    msr     daifset, #15
    isb
    adrp    x0, kept
    add     x0, x0, :lo12:kept
    load_callee_saved x0
    ldr     x1, [x0, #0x60]
    mov     sp, x1
    ret
endfunction come_back

    .bss
    .balign 16
kept:
    .skip   0x70
