/* Edges: how often the guest has gone from one block to another, in a map as fuzzers have it.
 *
 * A block counts in the byte at (hash of the block before) xor (its own hash), and then is the block before. The bytes are
 * those of AFL's map and of libFuzzer's "8-bit counters". It is four loads and stores inline, and is there only while
 * somebody wants the map.
 */
#include "emit.h"

enum { MAP_BITS = 16 };

static uint64_t hash(uint64_t pc) { return (pc >> 2) * 0x9E3779B97F4A7C15u >> (64 - MAP_BITS); } /* by the golden ratio */

void emit_edge(struct engine *e, void *tcg)
{
    uint64_t own = hash(AT(uint64_t, e->translated_block, TB_PC));
    uintptr_t base = constant(tcg, &e->shared), map = constant(tcg, e->edges), one = constant(tcg, (void *)1);
    uintptr_t here = constant(tcg, (void *)own), next = constant(tcg, (void *)(own >> 1)), at = new_temp(tcg, TYPE_I64);
    uintptr_t number = new_temp(tcg, TYPE_I64);
    real.tcg_gen_op3(tcg, OP_LD_I64, at, base, offsetof(struct shared, edge));
    real.tcg_gen_op3(tcg, OP_XOR_I64, at, at, here);
    real.tcg_gen_op3(tcg, OP_ADD_I64, at, at, map);
    real.tcg_gen_op3(tcg, OP_LD8U_I64, number, at, 0);
    real.tcg_gen_op3(tcg, OP_ADD_I64, number, number, one);
    real.tcg_gen_op3(tcg, OP_ST8_I64, number, at, 0);
    real.tcg_gen_op3(tcg, OP_ST_I64, next, base, offsetof(struct shared, edge));
    free_temp(tcg, base), free_temp(tcg, map), free_temp(tcg, one), free_temp(tcg, here), free_temp(tcg, next);
    free_temp(tcg, at), free_temp(tcg, number);
}

/* Count in a map of 64 KiB from the next translation on, or, null, no more; what was translated must be forgotten. */
EXPORT void shim_count_edges(struct engine *e, uint8_t *map)
{
    e->edges = map;
    e->shared.edge = 0;
}
