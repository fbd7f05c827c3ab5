/* The functions that a freestanding compiler may call on its own (GCC and Clang documentation). */
#include "guest.h"

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    char *t = to;
    const char *f = from;
    for (size_t i = 0; i < n; i++)
        t[i] = f[i];
    return to;
}

void *memset(void *to, int value, size_t n) {
    char *t = to;
    for (size_t i = 0; i < n; i++)
        t[i] = (char)value;
    return to;
}
