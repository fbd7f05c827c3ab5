/* What every guest uses: console, PASS and FAIL lines, exceptions, PSCI, the device tree.
 *
 * A guest is one file with a main(); when main() returns the machine is powered off by PSCI SYSTEM_OFF. */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define RAM_BASE 0x40000000ul
#define UART_BASE 0x09000000ul /* PL011, Arm DDI 0183 */

/* System registers, by any name or S<op0>_<op1>_C<n>_C<m>_<op2> that the assembler takes. */
#define read_sysreg(name)                                                                                              \
    ({                                                                                                                 \
        u64 value_;                                                                                                    \
        __asm__ volatile("mrs %0, " #name : "=r"(value_)::"memory");                                                   \
        value_;                                                                                                        \
    })
#define write_sysreg(name, value) __asm__ volatile("msr " #name ", %x0" ::"rZ"((u64)(value)) : "memory")
#define isb() __asm__ volatile("isb" ::: "memory")
#define dsb() __asm__ volatile("dsb sy" ::: "memory")
#define bits(value, high, low) (((u64)(value) >> (low)) & (~0ul >> (63 - ((high) - (low)))))

/* Device accesses are single loads and stores without write-back: only those carry a syndrome (ESR_EL2.ISS.ISV). */
static inline u32 read32(u64 address) {
    u32 value;
    __asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
    return value;
}
static inline void write32(u64 address, u32 value) {
    __asm__ volatile("str %w0, [%1]" ::"r"(value), "r"(address) : "memory");
}

/* console.c */
void put_char(char c);
void put_string(const char *s);
int get_char(void); /* -1 while nothing has arrived */
/* %s %c %d %u %x, 64-bit with %l, zero-padded width, %% */
__attribute__((format(printf, 1, 2))) void print(const char *format, ...);

/* console.c too: results, each on a line of its own, and the sum at the end. */
__attribute__((format(printf, 1, 2))) void pass(const char *format, ...);
__attribute__((format(printf, 2, 3))) void fail(const char *name, const char *format, ...);
void skip(const char *name, const char *why);
void check(const char *name, bool good);
void check_equal(const char *name, u64 got, u64 want);
void summary(const char *guest);

/* psci.c: one SMCCC call by HVC, and power off */
u64 hvc(u64 x0, u64 x1, u64 x2, u64 x3);
__attribute__((noreturn)) void power_off(void);

/* fdt.c: the flattened device tree (Devicetree Specification 0.4, chapter 5) */
const void *fdt_start(u64 x0); /* looks at x0, then at the start of RAM; NULL when neither holds a tree */
const void *fdt_property(const void *fdt, const char *node, const char *name, u32 *length);
u64 fdt_cells(const void *value, u32 cells); /* big-endian number of 1 or 2 cells */

/* exception.c: layout shared with asm.h */
struct frame {
    u64 x[31], sp_el0, elr, spsr, esr, far, sp, vector;
};
enum mode { EL0t = 0, EL1t = 4, EL1h = 5 };
#define SPSR_DAIF 0x3c0ul
/* Called for an exception before anything else; true means: handled, go on at frame->elr. */
extern bool (*on_exception)(struct frame *frame);
/* Runs `code` with PSTATE = spsr until it takes an exception, and returns that exception. Code that returns normally
 * ends with SVC #0xffff at EL0 or EL1. */
struct frame run_at(u64 spsr, const void *code, u64 sp_el0, u64 x0, u64 x1);
/* The same at EL1h with plain arguments. */
struct frame attempt(const void *code, u64 x0, u64 x1);
bool returned(const struct frame *frame); /* ended with SVC #0xffff */
#define ESR_EC(esr) bits(esr, 31, 26)
#define ESR_IL(esr) bits(esr, 25, 25)
#define ESR_ISS(esr) bits(esr, 24, 0)
extern void user_return(void);
extern u64 return_address; /* x30 for run_at(): where user_return() is mapped; 0 is its own address */

/* A device tree found at entry, or NULL. */
void main(const void *fdt);
