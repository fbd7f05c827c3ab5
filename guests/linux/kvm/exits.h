/* What an exit costs. */
#ifndef EXITS_H
#define EXITS_H

#include "system.h"

/* Prints a line for each kind of exit: how many nanoseconds one of `count` takes. */
void time_exits(u64 count);

#endif
