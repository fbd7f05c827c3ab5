/* PrimeCell UART (PL011), Arm DDI 0183: what a console needs. */
#ifndef PL011_H
#define PL011_H

#include "vm.h"

enum { FIFO = 16 };

struct pl011 {
    const struct vm *vm;
    struct lock lock;
    u32 registers[0x50 / 4]; /* that only keep what is written */
    u32 imsc, ris, level;
    u8 fifo[FIFO];
    u32 first, filled;
};

u64 pl011_read(struct pl011 *uart, u64 offset);
void pl011_write(struct pl011 *uart, u64 offset, u64 value);

/* A thread's work: what is typed on stdin goes to the guest, to the end of the file. `uart` is a struct pl011. */
void pl011_listen(void *uart);

#endif
