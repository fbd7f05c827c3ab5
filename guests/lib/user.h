/* Code that runs in any mode, in the page that map_guest() shows to EL0. Arguments x0, x1; each ends with RET, and
 * the label <name>_at is the instruction that may fault. */
#pragma once
#include "guest.h"

extern const char user_load[], user_load_at[];           /* x0 = [x0] */
extern const char user_store[], user_store_at[];         /* [x0] = x1 */
extern const char user_exclusive[], user_exclusive_at[]; /* x0 = [x0] by LDXR */
extern const char user_zva[], user_zva_at[];             /* DC ZVA, x0 */
extern const char user_jump[];                           /* branch to x0 */
extern const char user_push[], user_push_at[];           /* x1 to [sp] */
