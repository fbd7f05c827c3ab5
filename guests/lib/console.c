/* Output and input by polling the PL011 (Arm DDI 0183), and a printf of the few conversions the guests use. */
#include "guest.h"

#define UARTDR (UART_BASE + 0x000)
#define UARTFR (UART_BASE + 0x018)
#define UARTFR_RXFE (1u << 4)
#define UARTFR_TXFF (1u << 5)

void put_char(char c) {
    if (c == '\n')
        put_char('\r');
    while (read32(UARTFR) & UARTFR_TXFF) {
    }
    write32(UARTDR, (u8)c);
}

void put_string(const char *s) {
    while (*s)
        put_char(*s++);
}

int get_char(void) {
    if (read32(UARTFR) & UARTFR_RXFE)
        return -1;
    return (int)(read32(UARTDR) & 0xff);
}

static void put_number(u64 value, unsigned base, unsigned width, char padding) {
    char digits[24];
    unsigned n = 0;
    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    for (; width > n; width--)
        put_char(padding);
    while (n)
        put_char(digits[--n]);
}

static void put_formatted(const char *format, va_list args) {
    for (; *format; format++) {
        if (*format != '%') {
            put_char(*format);
            continue;
        }
        char padding = *++format == '0' ? '0' : ' ';
        unsigned width = 0;
        bool wide = false;
        for (; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + (unsigned)(*format - '0');
        for (; *format == 'l'; format++)
            wide = true;
        if (*format == 'd') {
            int64_t value = wide ? va_arg(args, int64_t) : va_arg(args, int);
            if (value < 0)
                put_char('-');
            put_number(value < 0 ? -(u64)value : (u64)value, 10, width, padding);
        } else if (*format == 'u' || *format == 'x') {
            u64 value = wide ? va_arg(args, u64) : va_arg(args, u32);
            put_number(value, *format == 'u' ? 10 : 16, width, padding);
        } else if (*format == 's') {
            put_string(va_arg(args, const char *));
        } else if (*format == 'c') {
            put_char((char)va_arg(args, int));
        } else {
            put_char(*format);
        }
    }
}

void print(const char *format, ...) {
    va_list args;
    va_start(args, format);
    put_formatted(format, args);
    va_end(args);
}

static unsigned passed, failed;

void pass(const char *format, ...) {
    va_list args;
    passed++;
    put_string("PASS ");
    va_start(args, format);
    put_formatted(format, args);
    va_end(args);
    put_string("\n");
}

void fail(const char *name, const char *format, ...) {
    va_list args;
    failed++;
    print("FAIL %s: ", name);
    va_start(args, format);
    put_formatted(format, args);
    va_end(args);
    put_string("\n");
}

void skip(const char *name, const char *why) { print("SKIP %s: %s\n", name, why); }

void check(const char *name, bool good) {
    if (good)
        pass("%s", name);
    else
        fail(name, "not so");
}

void check_equal(const char *name, u64 got, u64 want) {
    if (got == want)
        pass("%s", name);
    else
        fail(name, "got 0x%lx, expected 0x%lx", got, want);
}

void summary(const char *guest) { print("%s: %u passed, %u failed\n", guest, passed, failed); }
