/* A guest of a few instructions, and what KVM tells of it. */
#ifndef SMALL_H
#define SMALL_H

void run_small(void);

#endif
