/* A PL011: output goes to stdout at once, input comes from a thread that reads stdin. The receive interrupt's trigger
 * is one byte, as it is where the FIFOs are off. */
#include "pl011.h"

enum { UARTDR = 0x00, UARTFR = 0x18, UARTCR = 0x30, UARTIMSC = 0x38, UARTRIS = 0x3c, UARTMIS = 0x40, UARTICR = 0x44 };
enum { UARTPeriphID0 = 0xfe0 };
enum { FR_RXFE = 1 << 4, FR_RXFF = 1 << 6, FR_TXFE = 1 << 7 };
enum { RX = 1 << 4, TX = 1 << 5 };

/* UARTPeriphID0 to 3 and UARTPCellID0 to 3, revision 1. */
static u64 identification(u64 offset) {
    return (u8) "\x11\x10\x14\x00\x0d\xf0\x05\xb1"[(offset - UARTPeriphID0) / 4];
}

static void update(struct pl011 *uart) {
    uart->ris = (uart->ris & ~(u32)RX) | (uart->filled ? RX : 0);
    u32 level = (uart->ris & uart->imsc) != 0;
    if (level != uart->level)
        set_line(uart->vm, UART_SPI, level);
    uart->level = level;
}

static u64 receive(struct pl011 *uart) {
    if (!uart->filled)
        return 0;
    u8 byte = uart->fifo[uart->first];
    uart->first = (uart->first + 1) % FIFO;
    if (uart->filled-- == FIFO)
        wake(&uart->filled);
    update(uart);
    return byte;
}

static u64 value_of(struct pl011 *uart, u64 offset) {
    switch (offset) {
    case UARTDR:
        return receive(uart);
    case UARTFR:
        return FR_TXFE | (uart->filled ? 0 : FR_RXFE) | (uart->filled == FIFO ? FR_RXFF : 0);
    case UARTIMSC:
        return uart->imsc;
    case UARTRIS:
        return uart->ris;
    case UARTMIS:
        return uart->ris & uart->imsc;
    default:
        return offset >= UARTPeriphID0 ? identification(offset) : offset < 0x50 ? uart->registers[offset / 4] : 0;
    }
}

static void transmit(struct pl011 *uart, u8 byte) {
    call(SYS_WRITE, STDOUT, (long)&byte, 1, 0, 0, 0);
    uart->ris |= TX; /* sent, and room for more */
}

u64 pl011_read(struct pl011 *uart, u64 offset) {
    take(&uart->lock);
    u64 value = value_of(uart, offset);
    release(&uart->lock);
    return value;
}

void pl011_write(struct pl011 *uart, u64 offset, u64 value) {
    take(&uart->lock);
    if (offset == UARTDR)
        transmit(uart, (u8)value);
    else if (offset == UARTIMSC)
        uart->imsc = (u32)value & 0x7ff;
    else if (offset == UARTICR)
        uart->ris &= ~(u32)value;
    else if (offset < 0x50)
        uart->registers[offset / 4] = (u32)value;
    update(uart);
    release(&uart->lock);
}

/* As many bytes as there is room for. */
static void store(struct pl011 *uart, const u8 *bytes, u32 count) {
    for (u32 done = 0; done < count;) {
        wait_while(&uart->filled, FIFO);
        take(&uart->lock);
        for (; done < count && uart->filled < FIFO; uart->filled++)
            uart->fifo[(uart->first + uart->filled) % FIFO] = bytes[done++];
        update(uart);
        release(&uart->lock);
    }
}

void pl011_listen(void *uart) {
    u8 bytes[64];
    for (;;) {
        long n = call(SYS_READ, STDIN, (long)bytes, sizeof bytes, 0, 0, 0);
        if (n <= 0)
            return;
        store(uart, bytes, (u32)n);
    }
}
