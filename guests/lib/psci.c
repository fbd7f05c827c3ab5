/* Calls by HVC (SMC Calling Convention, DEN 0028) and the end of every guest (PSCI, DEN 0022). */
#include "guest.h"

#define PSCI_SYSTEM_OFF 0x84000008u

u64 hvc(u64 a0, u64 a1, u64 a2, u64 a3) {
    register u64 x0 __asm__("x0") = a0;
    register u64 x1 __asm__("x1") = a1;
    register u64 x2 __asm__("x2") = a2;
    register u64 x3 __asm__("x3") = a3;
    /* A callee before SMCCC 1.1 may change x4 to x17. */
    __asm__ volatile("hvc #0"
                     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
                     :
                     : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
                       "memory");
    return x0;
}

void power_off(void) {
    hvc(PSCI_SYSTEM_OFF, 0, 0, 0);
    put_string("PSCI SYSTEM_OFF returned: waiting for ever\n");
    for (;;)
        __asm__ volatile("wfi");
}
