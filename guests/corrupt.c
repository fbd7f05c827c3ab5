/* corrupt: a variable has a wrong value, long after somebody wrote it who should not have: for a debugger that goes back.
 *
 * Orders come in and are counted by customer. One of them has a number that is one too large, so `count_order` writes
 * behind its table, where the bank's balance lies. Everything goes on; the audit at the end finds a sum that is wrong.
 * No function is inlined and each keeps a frame. */
#include "guest.h"

enum { CUSTOMERS = 16, ORDERS = 2000, STOLEN = 1234 };

struct books {
    u64 orders[CUSTOMERS]; /* of each customer */
    u64 balance;           /* of the bank, which one function only is to change */
};

struct books books;
static volatile u64 paid;

__attribute__((noinline)) void count_order(struct books *of, u64 customer) { of->orders[customer] += 1; }

__attribute__((noinline)) void pay(struct books *of, u64 amount) {
    of->balance += amount;
    paid += amount;
}

__attribute__((noinline)) void take_order(u64 number) {
    u64 customer = number * 7 % CUSTOMERS;
    if (number == STOLEN)
        customer = CUSTOMERS;
    count_order(&books, customer);
    if (number % 10 == 0)
        pay(&books, 5);
}

__attribute__((noinline)) void audit(void) {
    if (books.balance == paid)
        pass("corrupt: the books are right");
    else
        fail("corrupt: the books", "the balance is %lu, and %lu have been paid", books.balance, paid);
}

void main(const void *fdt) {
    (void)fdt;
    for (u64 number = 0; number < ORDERS; number++)
        take_order(number);
    audit();
    summary("corrupt");
}
