/* What a program needs of Linux where there is no libc: system calls, messages, files in memory, threads, a lock. */
#ifndef SYSTEM_H
#define SYSTEM_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

/* include/uapi/asm-generic/unistd.h. */
enum system_call {
    SYS_IOCTL = 29,
    SYS_OPENAT = 56,
    SYS_LSEEK = 62,
    SYS_READ = 63,
    SYS_WRITE = 64,
    SYS_EXIT = 93,
    SYS_EXIT_GROUP = 94,
    SYS_FUTEX = 98,
    SYS_CLOCK_GETTIME = 113,
    SYS_CLONE = 220,
    SYS_MMAP = 222,
};

enum { STDIN, STDOUT, STDERR };

/* A system call: its result, or minus an error's number. */
long call(enum system_call number, long a, long b, long c, long d, long e, long f);

__attribute__((noreturn)) void end(int status);

/* One line on stderr, "kvm: WHAT: error NUMBER" (without the number where it is 0), and status 1. */
__attribute__((noreturn)) void fail(const char *what, long error);

/* An ioctl that has to work; `what` is for the message. */
long control(int file, u32 request, const void *argument, const char *what);

u64 length(const char *text);
u64 number(const char *text);

/* Words and numbers on stdout. */
void put(const char *text);
void put_hex(u64 value);
void put_decimal(u64 value);

/* Fresh zeroed memory, which nobody gives back. */
void *fresh(u64 bytes);

/* Shared memory of a file descriptor. */
void *shared(int file, u64 bytes, const char *what);

/* Opens a file for reading, or for both; fails where it isn't there. */
int open_file(const char *path, int writable);

/* Reads a whole file to `at`, where there is room for `room` bytes; how many it had. */
u64 load(const char *path, u8 *at, u64 room);

/* Monotonic time in nanoseconds. */
u64 now(void);

/* function(argument) in a thread of its own; it may return. */
void spawn(void (*function)(void *), void *argument);

/* A lock, and a place to wait at (futex(2)). Both start as zero. */
struct lock {
    u32 state; /* 0 free, 1 taken, 2 taken and waited for */
};
void take(struct lock *lock);
void release(struct lock *lock);
void wait_while(u32 *word, u32 value);
void wake(u32 *word);

/* The terminal on stdin passes each byte as it is, until it is restored; nothing where there is no terminal. */
struct terminal {
    u32 flags[4]; /* c_iflag, c_oflag, c_cflag, c_lflag */
    u8 line, control[19];
    int is_one;
};
void make_raw(struct terminal *before);
void restore(const struct terminal *before);

#endif
