/* smccc: firmware calls by HVC and SMC: the SMC Calling Convention (DEN 0028) and PSCI (DEN 0022). */
#include "guest.h"

enum result { NOT_SUPPORTED = -1, INVALID_PARAMETERS = -2, ALREADY_ON = -4 };
#define PSCI_VERSION 0x84000000u
#define AFFINITY_INFO 0x84000004u
#define CPU_ON 0x84000003u
#define MIGRATE_INFO_TYPE 0x84000006u
#define PSCI_FEATURES 0x8400000au
#define SMCCC_VERSION 0x80000000u
#define SMCCC_ARCH_FEATURES 0x80000001u
#define SMC64 0x40000000u
#define ABSENT_CPU 0x00ffff00ul

extern const char call_hvc[], call_smc[];
static const char *conduit, *conduit_name;
static u64 registers[18];

/* SMC32 results are signed 32-bit numbers in w0. */
static int64_t call(u32 function, u64 x1, u64 x2, u64 x3) {
    registers[0] = function, registers[1] = x1, registers[2] = x2, registers[3] = x3;
    for (u64 i = 4; i < 18; i++)
        registers[i] = 0x1111111111111111ul * (i % 15) + i;
    attempt(conduit, (u64)registers, 0);
    return function & SMC64 ? (int64_t)registers[0] : (int32_t)registers[0];
}

static void expect(const char *name, int64_t got, int64_t want) {
    if (got == want)
        pass("%s, %s", name, conduit_name);
    else
        fail(name, "%s, got %ld, expected %ld", conduit_name, got, want);
}

struct function {
    const char *name;
    u32 number;
    bool mandatory; /* DEN 0022, 5.1: in PSCI 1.0 and above */
};
static const struct function functions[] = {
    {"PSCI_VERSION", 0x84000000, true},
    {"CPU_SUSPEND", 0x84000001, true},
    {"CPU_SUSPEND64", 0xc4000001, true},
    {"CPU_OFF", 0x84000002, true},
    {"CPU_ON", 0x84000003, true},
    {"CPU_ON64", 0xc4000003, true},
    {"AFFINITY_INFO", 0x84000004, true},
    {"AFFINITY_INFO64", 0xc4000004, true},
    {"MIGRATE", 0x84000005, false},
    {"MIGRATE_INFO_TYPE", 0x84000006, false},
    {"SYSTEM_OFF", 0x84000008, true},
    {"SYSTEM_RESET", 0x84000009, true},
    {"PSCI_FEATURES", 0x8400000a, true},
    {"CPU_FREEZE", 0x8400000b, false},
    {"CPU_DEFAULT_SUSPEND", 0x8400000c, false},
    {"NODE_HW_STATE", 0x8400000d, false},
    {"SYSTEM_SUSPEND", 0x8400000e, false},
    {"PSCI_SET_SUSPEND_MODE", 0x8400000f, false},
    {"SYSTEM_RESET2", 0x84000012, false},
    {"MEM_PROTECT", 0x84000013, false},
    {"SMCCC_VERSION", SMCCC_VERSION, false},
};

static void psci_version(void) {
    int64_t version = call(PSCI_VERSION, 0, 0, 0);
    print("PSCI %ld.%ld by %s\n", version >> 16, version & 0xffff, conduit_name);
    expect("PSCI_VERSION at least 1.0", version >= 0x10000, true);
}

static void psci_features(void) {
    for (unsigned i = 0; i < sizeof functions / sizeof *functions; i++) {
        int64_t flags = call(PSCI_FEATURES, functions[i].number, 0, 0);
        print("FEATURES %s %ld\n", functions[i].name, flags);
        if (functions[i].mandatory)
            expect(functions[i].name, flags >= 0, true);
    }
    expect("PSCI_FEATURES of an unknown function", call(PSCI_FEATURES, 0x8400001f, 0, 0), NOT_SUPPORTED);
}

static void processors(void) {
    u64 self = read_sysreg(mpidr_el1) & 0xff00fffffful;
    expect("AFFINITY_INFO of this CPU is ON", call(AFFINITY_INFO, self, 0, 0), 0);
    expect("AFFINITY_INFO64 of this CPU is ON", call(AFFINITY_INFO | SMC64, self, 0, 0), 0);
    expect("AFFINITY_INFO of an absent CPU", call(AFFINITY_INFO | SMC64, ABSENT_CPU, 0, 0), INVALID_PARAMETERS);
    expect("CPU_ON of this CPU", call(CPU_ON, self, RAM_BASE, 0), ALREADY_ON);
    expect("CPU_ON64 of this CPU", call(CPU_ON | SMC64, self, RAM_BASE, 0), ALREADY_ON);
    expect("CPU_ON64 of an absent CPU", call(CPU_ON | SMC64, ABSENT_CPU, RAM_BASE, 0), INVALID_PARAMETERS);
    int64_t type = call(MIGRATE_INFO_TYPE, 0, 0, 0);
    expect("MIGRATE_INFO_TYPE is 2 or absent", type == 2 || type == NOT_SUPPORTED, true);
}

static void smccc(void) {
    if (call(PSCI_FEATURES, SMCCC_VERSION, 0, 0) < 0) {
        skip("SMCCC_VERSION", "PSCI_FEATURES says not supported: SMCCC 1.0");
    } else {
        int64_t version = call(SMCCC_VERSION, 0, 0, 0);
        print("SMCCC %ld.%ld by %s\n", version >> 16, version & 0xffff, conduit_name);
        expect("SMCCC_VERSION at least 1.1", version >= 0x10001, true);
        expect("SMCCC_ARCH_FEATURES of itself", call(SMCCC_ARCH_FEATURES, SMCCC_ARCH_FEATURES, 0, 0) >= 0, true);
        expect("SMCCC_ARCH_FEATURES of nothing", call(SMCCC_ARCH_FEATURES, 0x80007f00, 0, 0), NOT_SUPPORTED);
    }
    expect("unknown SMC32 function", call(0x8400001f, 0, 0, 0), NOT_SUPPORTED);
    expect("unknown SMC64 function", call(0xc400001f, 0, 0, 0), NOT_SUPPORTED);
    expect("function of an owner that is not there", call(0x82000000, 0, 0, 0), NOT_SUPPORTED);
    unsigned changed = 0;
    call(PSCI_VERSION, 0, 0, 0);
    for (u64 i = 4; i < 18; i++)
        changed += registers[i] != 0x1111111111111111ul * (i % 15) + i;
    expect("x4 to x17 kept", changed, 0);
}

static void by(const char *code, const char *name) {
    conduit = code, conduit_name = name;
    registers[0] = PSCI_VERSION;
    struct frame f = attempt(code, (u64)registers, 0);
    if (!returned(&f)) {
        if (f.esr == 0x02000000 && code == call_smc)
            skip("smc", "UNDEFINED: no EL3 and no hypervisor that traps it");
        else
            fail(name, "ESR_EL1 0x%lx", f.esr);
        return;
    }
    psci_version();
    psci_features();
    processors();
    smccc();
}

void main(const void *fdt) {
    (void)fdt;
    by(call_hvc, "hvc");
    by(call_smc, "smc");
    summary("smccc");
}
