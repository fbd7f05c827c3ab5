/* System calls by their numbers, and what is made of them. No writable globals: there is no segment for them. */
#include "system.h"

enum { AT_FDCWD = -100, O_RDONLY = 0, O_RDWR = 2, O_CLOEXEC = 02000000, SEEK_SET = 0, SEEK_END = 2 };
enum { PROT_READ_WRITE = 3, MAP_SHARED = 1, MAP_PRIVATE_ANONYMOUS = 0x22 };
enum { FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129, CLOCK_MONOTONIC = 1, EINTR = 4 };
enum { STACK = 64 << 10 };

long call(enum system_call number, long a, long b, long c, long d, long e, long f) {
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

/* What clang calls for copies and zeroed structures, libc or not. */
void *memcpy(void *to, const void *from, u64 bytes) {
    for (u64 i = 0; i < bytes; i++)
        ((volatile u8 *)to)[i] = ((const u8 *)from)[i];
    return to;
}

void *memset(void *to, int byte, u64 bytes) {
    for (u64 i = 0; i < bytes; i++)
        ((volatile u8 *)to)[i] = (u8)byte;
    return to;
}

void end(int status) {
    for (;;)
        call(SYS_EXIT_GROUP, status, 0, 0, 0, 0, 0);
}

u64 length(const char *text) {
    u64 n = 0;
    while (text[n])
        n++;
    return n;
}

u64 number(const char *text) {
    u64 value = 0;
    if (!*text)
        fail("a number is empty", 0);
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || value > 1 << 20)
            fail("a number has other characters than digits, or is too large", 0);
        value = value * 10 + (u64)(*text - '0');
    }
    return value;
}

static void say(int file, const char *text) { call(SYS_WRITE, file, (long)text, (long)length(text), 0, 0, 0); }

/* `value` in a base of 10 or 16; `room` has 20 bytes and is filled from its end. */
static const char *digits(u64 value, u32 base, char room[21]) {
    char *at = room + 20;
    *at = 0;
    do
        *--at = "0123456789abcdef"[value % base];
    while (value /= base);
    return at;
}

void put(const char *text) { say(STDOUT, text); }

void put_hex(u64 value) {
    char room[21];
    say(STDOUT, "0x");
    say(STDOUT, digits(value, 16, room));
}

void put_decimal(u64 value) {
    char room[21];
    say(STDOUT, digits(value, 10, room));
}

void fail(const char *what, long error) {
    char room[21];
    say(STDERR, "kvm: ");
    say(STDERR, what);
    if (error) {
        say(STDERR, ": error ");
        say(STDERR, digits((u64)(error < 0 ? -error : error), 10, room));
    }
    say(STDERR, "\n");
    end(1);
}

long control(int file, u32 request, const void *argument, const char *what) {
    long result = call(SYS_IOCTL, file, request, (long)argument, 0, 0, 0);
    if (result < 0)
        fail(what, result);
    return result;
}

static void *map(u64 bytes, long flags, long file, const char *what) {
    long at = call(SYS_MMAP, 0, (long)bytes, PROT_READ_WRITE, flags, file, 0);
    if (at < 0 && at > -4096)
        fail(what, at);
    return (void *)at;
}

void *fresh(u64 bytes) { return map(bytes, MAP_PRIVATE_ANONYMOUS, -1, "no memory"); }

void *shared(int file, u64 bytes, const char *what) { return map(bytes, MAP_SHARED, file, what); }

int open_file(const char *path, int writable) {
    long flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC;
    long file = call(SYS_OPENAT, AT_FDCWD, (long)path, flags, 0, 0, 0);
    if (file < 0)
        fail(path, file);
    return (int)file;
}

u64 load(const char *path, u8 *at, u64 room) {
    int file = open_file(path, 0);
    long size = call(SYS_LSEEK, file, 0, SEEK_END, 0, 0, 0);
    call(SYS_LSEEK, file, 0, SEEK_SET, 0, 0, 0);
    if (size <= 0 || (u64)size > room)
        fail(path, size <= 0 ? 0 : 27); /* EFBIG */
    for (u64 done = 0; done < (u64)size;) {
        long n = call(SYS_READ, file, (long)(at + done), size - (long)done, 0, 0, 0);
        if (n <= 0)
            fail(path, n);
        done += (u64)n;
    }
    return (u64)size;
}

u64 now(void) {
    u64 time[2];
    call(SYS_CLOCK_GETTIME, CLOCK_MONOTONIC, (long)time, 0, 0, 0, 0);
    return time[0] * 1000000000 + time[1];
}

/* clone(2) with CLONE_VM, FS, FILES, SIGHAND, THREAD and SYSVSEM: the child starts with registers like these, on a
 * stack of its own, so that there is nothing for it to return to. */
long clone_to(void (*function)(void *), void *argument, void *stack);
__asm__(".text\n"
        "clone_to:\n"
        "    mov  x9, x0\n"
        "    mov  x10, x1\n"
        "    mov  x0, #0x0f00\n"
        "    movk x0, #0x5, lsl #16\n"
        "    mov  x1, x2\n"
        "    mov  x2, xzr\n"
        "    mov  x3, xzr\n"
        "    mov  x4, xzr\n"
        "    mov  x8, #220\n"
        "    svc  #0\n"
        "    cbnz x0, 1f\n"
        "    mov  x29, xzr\n"
        "    mov  x0, x10\n"
        "    blr  x9\n"
        "    mov  x0, xzr\n"
        "    mov  x8, #93\n"
        "    svc  #0\n"
        "1:  ret\n");

void spawn(void (*function)(void *), void *argument) {
    long thread = clone_to(function, argument, (u8 *)fresh(STACK) + STACK);
    if (thread < 0)
        fail("no thread", thread);
}

void wait_while(u32 *word, u32 value) { call(SYS_FUTEX, (long)word, FUTEX_WAIT_PRIVATE, value, 0, 0, 0); }

void wake(u32 *word) { call(SYS_FUTEX, (long)word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0); }

void take(struct lock *lock) {
    u32 free = 0;
    if (__atomic_compare_exchange_n(&lock->state, &free, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    while (__atomic_exchange_n(&lock->state, 2, __ATOMIC_ACQUIRE))
        wait_while(&lock->state, 2);
}

void release(struct lock *lock) {
    if (__atomic_exchange_n(&lock->state, 0, __ATOMIC_RELEASE) == 2)
        wake(&lock->state);
}

/* ioctl_tty(2) and termios(3): include/uapi/asm-generic/termbits.h. */
enum { TCGETS = 0x5401, TCSETS = 0x5402, VTIME = 5, VMIN = 6 };
enum { ISTRIP_INLCR_IGNCR_ICRNL_IXON = 0000040 | 0000100 | 0000200 | 0000400 | 0002000, OPOST = 1 };
enum { ISIG_ICANON_ECHO_IEXTEN = 0000001 | 0000002 | 0000010 | 0100000 };

void make_raw(struct terminal *before) {
    before->is_one = call(SYS_IOCTL, STDIN, TCGETS, (long)before, 0, 0, 0) == 0;
    struct terminal raw = *before;
    raw.flags[0] &= ~(u32)ISTRIP_INLCR_IGNCR_ICRNL_IXON;
    raw.flags[1] &= ~(u32)OPOST;
    raw.flags[3] &= ~(u32)ISIG_ICANON_ECHO_IEXTEN;
    raw.control[VTIME] = 0;
    raw.control[VMIN] = 1;
    restore(&raw);
}

void restore(const struct terminal *before) {
    if (before->is_one)
        call(SYS_IOCTL, STDIN, TCSETS, (long)before, 0, 0, 0);
}
