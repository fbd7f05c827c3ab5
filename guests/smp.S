/* Locks and counters of the smp guest, with exclusives and with the atomics of FEAT_LSE (Arm ARM B2.9, C3.2.12). */
#include "asm.h"

    .arch   armv8-a+lse
    .text
/* A ticket lock: the next ticket in the upper half of a 32-bit word, the one that is served in the lower.
 * WFE waits for the exclusive monitor, which the owner's release clears (B2.9.5). */
.macro wait_for_ticket
    eor     w2, w1, w1, ror #16
    cbz     w2, 3f
    sevl
2:  wfe
    ldaxrh  w2, [x0]
    eor     w2, w2, w1, lsr #16
    cbnz    w2, 2b
3:
.endm

/* void ticket_lock(u32 *lock) */
function ticket_lock
    prfm    pstl1strm, [x0]
1:  ldaxr   w1, [x0]
    add     w2, w1, #0x10000
    stxr    w3, w2, [x0]
    cbnz    w3, 1b
    wait_for_ticket
    ret
endfunction ticket_lock

function ticket_lock_lse
    mov     w2, #0x10000
    ldadda  w2, w1, [x0]
    wait_for_ticket
    ret
endfunction ticket_lock_lse

/* void ticket_unlock(u32 *lock) */
function ticket_unlock
    ldrh    w1, [x0]
    add     w1, w1, #1
    stlrh   w1, [x0]
    ret
endfunction ticket_unlock

/* u64 add_<way>(u64 *counter, u64 addend): returns the value before. */
function add_exclusive
1:  ldaxr   x2, [x0]
    add     x3, x2, x1
    stlxr   w4, x3, [x0]
    cbnz    w4, 1b
    mov     x0, x2
    ret
endfunction add_exclusive

function add_pair                       // both halves of 16 bytes by LDXP and STXP
1:  ldaxp   x2, x3, [x0]
    add     x4, x2, x1
    add     x5, x3, x1
    stlxp   w6, x4, x5, [x0]
    cbnz    w6, 1b
    mov     x0, x2
    ret
endfunction add_pair

function add_ldadd
    ldaddal x1, x0, [x0]
    ret
endfunction add_ldadd

function add_cas
    ldr     x2, [x0]
1:  mov     x3, x2
    add     x4, x2, x1
    casal   x2, x4, [x0]
    cmp     x2, x3
    b.ne    1b
    mov     x0, x2
    ret
endfunction add_cas

/* A lock by SWP: takes the counter's place with an impossible value until the sum is back. */
function add_swp
    mov     x3, #-1
1:  swpal   x3, x2, [x0]
    cmp     x2, x3
    b.ne    2f
    wfe
    b       1b
2:  add     x3, x2, x1
    stlr    x3, [x0]
    mov     x0, x2
    dsb     ish
    sev
    ret
endfunction add_swp
