/* A board's start in a page of C, with a bug: the guest of the documentation's pictures (pictures.py). */

__asm__(".section .text.start, \"ax\"\n"
        ".globl _start\n"
        "_start: ldr x1, =0x41000000\n"            /* a stack */
        "        mov sp, x1\n"
        "        bl  main\n"
        "        ldr w0, =0x84000008\n"            /* PSCI: SYSTEM_OFF */
        "        hvc #0");

#define UART (*(volatile unsigned *)0x09000000)

struct driver {
    const char *name;
    int (*probe)(const struct driver *);
};

static int probe_uart(const struct driver *driver);
static int probe_disk(const struct driver *driver);

static struct {
    char label[16];
    struct driver drivers[2];
} board = {
    .label = "unnamed",
    .drivers = {{"uart", probe_uart}, {"disk", probe_disk}},
};

static void put(const char *text)
{
    while (*text)
        UART = *text++;
}

static int probe_uart(const struct driver *driver)
{
    put(driver->name);
    put(": ready\n");
    return 1;
}

static int probe_disk(const struct driver *driver)
{
    put(driver->name);
    put(": ready\n");
    return 1;
}

static unsigned checksum(const char *text)
{
    unsigned sum = 0;
    for (int round = 0; round < 2000; round++)
        for (const char *at = text; *at; at++)
            sum = sum * 31 + *at;
    return sum;
}

static void set_label(const char *text)
{
    char *to = board.label;
    do
        *to++ = *text;
    while (*text++);
}

static void read_settings(const char *text)
{
    if (checksum(text))
        set_label(text);
    else
        put("no settings\n");
}

static void start_drivers(void)
{
    for (int number = 0; number < 2; number++) {
        const struct driver *driver = &board.drivers[number];
        driver->probe(driver);
    }
}

int main(void)
{
    put("board: reading settings\n");
    read_settings("left rack, third shelf");
    put("board: starting drivers\n");
    start_drivers();
    put("board: up\n");
    return 0;
}
