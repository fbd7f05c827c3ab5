/* mmio: loads and stores of every kind to a device that only a handler on the host serves.
 *
 * At 0x0B000000 the board has nothing. The handler is to be 256 bytes of plain storage, little-endian, and at offset
 * 0x100 a 32-bit counter of the reads from that storage. Without a handler every access takes an external abort. */
#include "guest.h"

#define DEVICE 0x0b000000ul
#define READ_COUNTER (DEVICE + 0x100)

#define CODE(name) extern const char mmio_##name[];
CODE(ldrb) CODE(ldrh) CODE(ldrw) CODE(ldrx) CODE(ldrsb_w) CODE(ldrsb_x) CODE(ldrsh_w) CODE(ldrsh_x) CODE(ldrsw_x)
CODE(ldr_wzr) CODE(ldr_x30) CODE(strb) CODE(strh) CODE(strw) CODE(strx) CODE(str_xzr) CODE(str_wzr) CODE(ldr_offset)
CODE(ldr_register) CODE(ldp) CODE(stp) CODE(ldr_post) CODE(str_pre)

/* One access; false, and a FAIL line, where it aborts. */
static bool access(const char *name, const char *code, u64 offset, u64 value, u64 *result) {
    struct frame f = attempt(code, DEVICE + offset, value);
    if (!returned(&f))
        fail(name, "ESR_EL1 0x%lx, FAR_EL1 0x%lx: %s", f.esr, f.far,
             bits(f.esr, 5, 0) == 0x10 ? "external abort, nothing serves 0x0b000000" : "an abort");
    *result = f.x[0];
    return returned(&f);
}

struct load_case {
    const char *name, *code;
    u64 want;
};
/* Offset 8 holds 0x8899aabbccddeeff. */
static const struct load_case loads[] = {
    {"ldrb w", mmio_ldrb, 0xff},
    {"ldrh w", mmio_ldrh, 0xeeff},
    {"ldr w", mmio_ldrw, 0xccddeeff},
    {"ldr x", mmio_ldrx, 0x8899aabbccddeeff},
    {"ldrsb w", mmio_ldrsb_w, 0xffffffff},
    {"ldrsb x", mmio_ldrsb_x, 0xffffffffffffffff},
    {"ldrsh w", mmio_ldrsh_w, 0xffffeeff},
    {"ldrsh x", mmio_ldrsh_x, 0xffffffffffffeeff},
    {"ldrsw x", mmio_ldrsw_x, 0xffffffffccddeeff},
    {"ldr x30", mmio_ldr_x30, 0x8899aabbccddeeff},
    {"ldr w with offset", mmio_ldr_offset, 0xccddeeff},
    {"ldr w with register offset", mmio_ldr_register, 0xccddeeff},
};

static void all_loads(void) {
    u64 got;
    if (!access("str x", mmio_strx, 8, 0x8899aabbccddeeff, &got))
        return;
    for (unsigned i = 0; i < sizeof loads / sizeof *loads; i++)
        if (access(loads[i].name, loads[i].code, 8, 0, &got))
            check_equal(loads[i].name, got, loads[i].want);
    if (access("ldrb at +15", mmio_ldrb, 15, 0, &got))
        check_equal("ldrb at +15", got, 0x88);
}

/* Each store writes into eight bytes of 0x77 and must change its own only. */
static const struct load_case stores[] = {
    {"strb", mmio_strb, 0x77777777777777ef},
    {"strh", mmio_strh, 0x777777777777cdef},
    {"str w", mmio_strw, 0x7777777789abcdef},
    {"str x", mmio_strx, 0x0123456789abcdef},
    {"str wzr", mmio_str_wzr, 0x7777777700000000},
    {"str xzr", mmio_str_xzr, 0},
};

static void all_stores(void) {
    u64 got;
    for (unsigned i = 0; i < sizeof stores / sizeof *stores; i++) {
        if (!access(stores[i].name, mmio_strx, 16, 0x7777777777777777, &got))
            continue;
        access(stores[i].name, stores[i].code, 16, 0x0123456789abcdef, &got);
        if (access(stores[i].name, mmio_ldrx, 16, 0, &got))
            check_equal(stores[i].name, got, stores[i].want);
    }
}

/* A load reaches the device exactly once, one to XZR too. */
static void counted_loads(void) {
    static const struct load_case counted[] = {
        {"one read by ldrb", mmio_ldrb, 1},
        {"one read by ldr w", mmio_ldrw, 1},
        {"one read by ldr wzr", mmio_ldr_wzr, 1},
    };
    u64 before, after, ignored;
    for (unsigned i = 0; i < sizeof counted / sizeof *counted; i++)
        if (access(counted[i].name, mmio_ldrw, 0x100, 0, &before) &&
            access(counted[i].name, counted[i].code, 8, 0, &ignored) &&
            access(counted[i].name, mmio_ldrw, 0x100, 0, &after))
            check_equal(counted[i].name, after - before, counted[i].want);
}

/* These carry no syndrome (ESR_EL2.ISS.ISV = 0), so a hypervisor need not serve them: reported, not judged. */
static void without_syndrome(void) {
    static const struct load_case cases[] = {
        {"ldp", mmio_ldp, 0}, {"stp", mmio_stp, 0}, {"ldr post-index", mmio_ldr_post, 0}, {"str pre-index", mmio_str_pre, 0},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct frame f = attempt(cases[i].code, DEVICE + 32, 0x1234);
        if (returned(&f))
            print("NOTE %s: served\n", cases[i].name);
        else
            print("NOTE %s: aborted, ESR_EL1 0x%lx\n", cases[i].name, f.esr);
    }
}

void main(const void *fdt) {
    (void)fdt;
    all_loads();
    all_stores();
    counted_loads();
    without_syndrome();
    summary("mmio");
}
