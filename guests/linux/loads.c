/* loads: what a shell script can't make a Linux kernel do, for `make bench`. No libc: system calls by their numbers
 * (Linux, include/uapi/asm-generic/unistd.h).
 *
 *     loads faults      64 MiB mapped, touched page by page and unmapped, ten times
 *     loads switches    20,000 context switches: a byte between two processes through two pipes
 */
enum system_call {
    SYS_PIPE2 = 59,
    SYS_READ = 63,
    SYS_WRITE = 64,
    SYS_EXIT_GROUP = 94,
    SYS_MUNMAP = 215,
    SYS_CLONE = 220,
    SYS_MMAP = 222,
    SYS_WAIT4 = 260,
};
#define SIGCHLD 17
#define PROT_READ_WRITE 3
#define MAP_PRIVATE_ANONYMOUS 0x22

#define SIZE (64ul << 20)
#define PAGE 4096ul
#define MAPPINGS 10
#define ROUNDS 10000 /* two switches each */

static long call(enum system_call number, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5), "r"(x8) : "memory", "cc");
    return x0;
}

static int faults(void) {
    for (int i = 0; i < MAPPINGS; i++) {
        long at = call(SYS_MMAP, 0, SIZE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
        if (at < 0)
            return 1;
        for (unsigned long offset = 0; offset < SIZE; offset += PAGE)
            *(volatile char *)(at + offset) = 1;
        if (call(SYS_MUNMAP, at, SIZE, 0, 0, 0, 0))
            return 1;
    }
    return 0;
}

/* Reads what the other one wrote, and answers. */
static int answer(const int in, const int out) {
    char byte;
    for (int i = 0; i < ROUNDS; i++)
        if (call(SYS_READ, in, (long)&byte, 1, 0, 0, 0) != 1 || call(SYS_WRITE, out, (long)&byte, 1, 0, 0, 0) != 1)
            return 1;
    return 0;
}

static int switches(void) {
    int there[2], back[2];
    char byte = 0;
    if (call(SYS_PIPE2, (long)there, 0, 0, 0, 0, 0) || call(SYS_PIPE2, (long)back, 0, 0, 0, 0, 0))
        return 1;
    long child = call(SYS_CLONE, SIGCHLD, 0, 0, 0, 0, 0);
    if (child < 0)
        return 1;
    if (!child)
        call(SYS_EXIT_GROUP, answer(there[0], back[1]), 0, 0, 0, 0, 0);
    for (int i = 0; i < ROUNDS; i++)
        if (call(SYS_WRITE, there[1], (long)&byte, 1, 0, 0, 0) != 1 ||
            call(SYS_READ, back[0], (long)&byte, 1, 0, 0, 0) != 1)
            return 1;
    int status = 1;
    call(SYS_WAIT4, child, (long)&status, 0, 0, 0, 0);
    return status != 0;
}

/* `stack` is as the kernel leaves it: argc, argv[0], argv[1], ... */
__attribute__((noreturn, used)) void main(const long *stack) {
    const char *what = stack[0] > 1 ? (const char *)stack[2] : "";
    int status = what[0] == 'f' ? faults() : what[0] == 's' ? switches() : 2;
    for (;;)
        call(SYS_EXIT_GROUP, status, 0, 0, 0, 0, 0);
}

__attribute__((naked, noreturn)) void _start(void) { __asm__ volatile("mov x0, sp\n\tmov x29, xzr\n\tb main"); }
