/* A reader of the flattened device tree, just large enough to find one property of one node.
 * Devicetree Specification 0.4, chapter 5. */
#include "guest.h"

#define FDT_MAGIC 0xd00dfeedu
enum token { FDT_BEGIN_NODE = 1, FDT_END_NODE = 2, FDT_PROP = 3, FDT_NOP = 4, FDT_END = 9 };
enum header { TOTALSIZE = 4, OFF_DT_STRUCT = 8, OFF_DT_STRINGS = 12 };

static u32 be32(const void *p) { return __builtin_bswap32(*(const u32 *)p); }

const void *fdt_start(u64 x0) {
    const void *candidates[] = {(const void *)x0, (const void *)RAM_BASE};
    for (unsigned i = 0; i < 2; i++)
        if (candidates[i] && (u64)candidates[i] % 8 == 0 && be32(candidates[i]) == FDT_MAGIC)
            return candidates[i];
    return NULL;
}

static size_t length_of(const char *s) {
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

static bool equal(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* A node is named with or without its unit address: "memory" finds "memory@40000000"; "" is the root. */
static bool names_node(const char *wanted, const char *name) {
    while (*wanted && *wanted == *name)
        wanted++, name++;
    return !*wanted && (!*name || *name == '@');
}

const void *fdt_property(const void *fdt, const char *node, const char *name, u32 *length) {
    if (!fdt)
        return NULL;
    const char *base = fdt, *strings = base + be32(base + OFF_DT_STRINGS);
    const char *p = base + be32(base + OFF_DT_STRUCT);
    const char *end = base + be32(base + TOTALSIZE);
    bool inside = false;
    while (p < end) {
        u32 token = be32(p);
        p += 4;
        if (token == FDT_BEGIN_NODE) {
            inside = names_node(node, p);
            p += (length_of(p) + 4) & ~3ul;
        } else if (token == FDT_PROP) {
            u32 size = be32(p);
            if (inside && equal(strings + be32(p + 4), name)) {
                *length = size;
                return p + 8;
            }
            p += 8 + ((size + 3) & ~3u);
        } else if (token == FDT_END_NODE) {
            inside = false; /* properties come before subnodes: what follows is not this node's */
        } else if (token != FDT_NOP) {
            return NULL;
        }
    }
    return NULL;
}

u64 fdt_cells(const void *value, u32 cells) {
    u64 number = 0;
    for (u32 i = 0; i < cells; i++)
        number = number << 32 | be32((const u8 *)value + 4 * i);
    return number;
}
