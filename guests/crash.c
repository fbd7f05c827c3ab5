/* crash: a guest without vectors that goes wild, to show what a crash report says.
 *
 * VBAR_EL1 points at an address with nothing behind it, and a table of functions has a hole: the call through it goes
 * to address 0, where no code is, and the exception that follows finds no handler. Nothing here is inlined or a tail
 * call and every function keeps a frame, so a backtrace reads call_probe, start_driver, start_drivers, main. */
#include "guest.h"

#define NOTHING_THERE 0x0b000000ul

struct driver {
    const char *name;
    bool (*probe)(u64 base);
};

static bool probe_uart(u64 base) { return read32(base + 0xfe0) == 0x11; /* UARTPeriphID0, DDI 0183 3.3.15 */ }

static const volatile struct driver drivers[] = {{"uart", probe_uart}, {"watchdog", NULL}};

__attribute__((noinline)) bool call_probe(const volatile struct driver *driver, u64 base) {
    bool found = driver->probe(base);
    print("crash: %s %s\n", driver->name, found ? "found" : "missing");
    return found;
}

__attribute__((noinline)) unsigned start_driver(unsigned i) {
    print("crash: starting %s\n", drivers[i].name);
    return call_probe(&drivers[i], UART_BASE) ? 1 : 0;
}

__attribute__((noinline)) unsigned start_drivers(void) {
    unsigned started = 0;
    for (unsigned i = 0; i < sizeof drivers / sizeof *drivers; i++)
        started += start_driver(i);
    return started;
}

void main(const void *fdt) {
    (void)fdt;
    print("crash: going wild without vectors\n");
    write_sysreg(vbar_el1, NOTHING_THERE);
    isb();
    print("crash: %u drivers started\n", start_drivers());
    fail("crash", "survived");
    summary("crash");
}
