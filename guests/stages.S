/* What the stages guest executes: x0 is the address that something is wrong with. */
#include "asm.h"
#include "snippets.h"

    .arch   armv8.5-a

group accesses
    one ldr x1, [x0]
    one ldr w1, [x0]
    one ldrb w1, [x0]
    one ldrsh x1, [x0]
    one ldrsw x1, [x0]
    one ldr xzr, [x0]
    one ldr x1, [x0], #8
    one ldp x1, x2, [x0]
    one ldxr x1, [x0]
    one ldar x1, [x0]
    one ldtr x1, [x0]
    one ldr q0, [x0]
    one str x1, [x0]
    one strb w1, [x0]
    one strh w1, [x0]
    one str xzr, [x0]
    one str x1, [x0, #8]!
    one stp x1, x2, [x0]
    one stlr x1, [x0]
    one stxr w3, x1, [x0]
    one sttr x1, [x0]
    one str q0, [x0]
    one prfm pldl1keep, [x0]
    one dc cvac, x0
    one dc civac, x0
    one dc zva, x0
    one ic ivau, x0
    endgroup
group load_and_store
    one ldr x1, [x0]
    one str x1, [x0]
    endgroup
group execute
    one ret x0
    endgroup
group translations
    .irp operation, s1e1r, s1e1w, s1e0r, s1e0w, s12e1r, s12e1w, s12e0r, s12e0w, s1e2r, s1e2w, s1e3r, s1e3w
    one at \operation, x0
    .endr
    endgroup
group privileged_translations
    one at s1e1rp, x0
    one at s1e1wp, x0
    endgroup
