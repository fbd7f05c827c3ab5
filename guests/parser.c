/* parser: reads a packet of records, as a device's firmware does with what comes over a wire. For fuzzers: it has a bug.
 *
 *   "AVM" version(1..3) count, then `count` records: type length payload
 *     1 name       a text, copied into a table
 *     2 number     up to eight bytes, added up
 *     3 histogram  each byte counted
 *     4 command    an operation, and what it works on; the bug is in one of them
 *
 * A host calls parse(data, length), between two runs or instead of them: the packet is anywhere in memory. It gives the
 * number of records, or a negative number that says what is wrong. */
#include "guest.h"

enum { NOT_OURS = -1, TOO_SHORT = -2, UNKNOWN = -3, TOO_LONG = -4 };
enum { NAME = 1, NUMBER, HISTOGRAM, COMMAND };
enum { NAMES = 64, NAME_SIZE = 32 };

static char names[NAMES][NAME_SIZE];
static u32 named;
static u64 sum, histogram[256];

/* What a command works with: a label, and then what is called when it has been read. */
static struct work {
    char label[8];
    u64 (*done)(u64 value);
} work;

static u64 keep(u64 value) { return value; }

static int command(const u8 *data, u32 length, u8 version) {
    if (length < 4)
        return TOO_SHORT;
    work.done = keep;
    if (data[0] != 'L')
        return UNKNOWN;
    if (data[1] != 'A')
        return UNKNOWN;
    if (version != 3)
        return UNKNOWN;
    if (data[2] == 'B') {
        /* The bug: the length is the sender's. A label of more than eight characters runs over what is called next. */
        for (u32 i = 3; i < length; i++)
            work.label[i - 3] = (char)data[i];
        sum += work.done(length);
    }
    return 0;
}

static int record(u8 type, const u8 *data, u32 length, u8 version) {
    switch (type) {
    case NAME:
        if (length >= NAME_SIZE)
            return TOO_LONG;
        for (u32 i = 0; i < length; i++)
            names[named % NAMES][i] = (char)data[i];
        names[named++ % NAMES][length] = 0;
        return 0;
    case NUMBER: {
        u64 value = 0;
        if (length > 8)
            return TOO_LONG;
        for (u32 i = 0; i < length; i++)
            value |= (u64)data[i] << 8 * i;
        sum += value;
        return 0;
    }
    case HISTOGRAM:
        for (u32 i = 0; i < length; i++)
            histogram[data[i]]++;
        return 0;
    case COMMAND:
        return command(data, length, version);
    default:
        return UNKNOWN;
    }
}

__attribute__((noinline)) int parse(const u8 *data, u32 length) {
    static const u8 magic[] = {'A', 'V', 'M'};
    if (length < 5)
        return TOO_SHORT;
    for (u32 i = 0; i < sizeof magic; i++)
        if (data[i] != magic[i])
            return NOT_OURS;
    u8 version = data[3];
    if (version == 0 || version > 3)
        return NOT_OURS;
    u32 at = 5, count = data[4];
    for (u32 i = 0; i < count; i++) {
        if (length - at < 2)
            return TOO_SHORT;
        u8 type = data[at], size = data[at + 1];
        at += 2;
        if (length - at < size)
            return TOO_SHORT;
        int result = record(type, data + at, size, version);
        if (result < 0)
            return result;
        at += size;
    }
    return (int)count;
}

void main(const void *fdt) {
    static const u8 packet[] = "AVM\x01\x03\x01\x05hello\x02\x02\x39\x30\x03\x04" "abca";
    (void)fdt;
    check_equal("parse", (u64)parse(packet, sizeof packet - 1), 3);
    check_equal("parse.name", (u64)names[0][4], 'o');
    check_equal("parse.number", sum, 12345);
    check_equal("parse.histogram", histogram['a'], 2);
    check_equal("parse.short", (u64)parse(packet, 9), (u64)TOO_SHORT);
    check_equal("parse.not_ours", (u64)parse((const u8 *)"GET / HTTP", 10), (u64)NOT_OURS);
    summary("parser");
}
