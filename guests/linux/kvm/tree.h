/* The device tree of the board (Devicetree Specification v0.4, 5: the flattened format). */
#ifndef TREE_H
#define TREE_H

#include "vm.h"

struct boot {
    const char *arguments;
    u64 kernel, initrd, initrd_end;
};

/* Writes it to `at`, where there is room for TREE_ROOM bytes. */
enum { TREE_ROOM = 0x10000 };
void write_tree(const struct vm *vm, const struct boot *boot, u8 *at);

#endif
