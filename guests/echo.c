/* echo: gives every console line back as "echo: <line>", until the line "quit".
 *
 * Input goes into a queue before any output: between any two characters it writes, the guest empties the receive
 * FIFO, so that nothing is lost however fast input arrives while it is writing. */
#include "guest.h"

static char queue[0x10000];
static u32 head, tail;

static void receive(void) {
    int c;
    while (head - tail < sizeof queue && (c = get_char()) >= 0)
        queue[head++ % sizeof queue] = (char)c;
}

static char next_char(void) {
    do
        receive();
    while (head == tail);
    return queue[tail++ % sizeof queue];
}

static void reply(const char *text, u32 length) {
    for (u32 i = 0; i < length; i++) {
        receive();
        put_char(text[i]);
    }
}

void main(const void *fdt) {
    static char line[0x1000];
    (void)fdt;
    print("echo: type a line; quit powers off\n");
    for (u32 length = 0;;) {
        char c = next_char();
        if (c != '\r' && c != '\n') {
            if (length < sizeof line)
                line[length++] = c;
            continue;
        }
        if (length == 4 && line[0] == 'q' && line[1] == 'u' && line[2] == 'i' && line[3] == 't')
            break;
        if (length) { /* an empty line is the second half of CR LF */
            reply("echo: ", 6);
            reply(line, length);
            reply("\n", 1);
        }
        length = 0;
    }
    pass("quit");
    summary("echo");
}
