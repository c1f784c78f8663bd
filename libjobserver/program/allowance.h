/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How much of a server's time each user may take for what costs it far more than a token does, and can be
 * asked for again and again: above all looking at processes. A user owes what was spent for it. The debts are
 * written off at a steady rate, evenly for all that have one, and who owes too much is refused: so nobody who
 * asks for much keeps those waiting who ask for little. Pure; zeroed memory is an empty table.
 */

#include <stdbool.h>
#include <stdint.h>

/* Of all users together, this part of the time is written off. */
#define ALLOWANCE_PART 5
/* Who owes no more than its part of this is not refused. */
#define ALLOWANCE_BURST_NS (100 * INT64_C(1000000))
/* Those that come when so many owe something share the last line. */
#define ALLOWANCE_USERS 64

struct allowance {
    uint32_t uid;
    int64_t owed_ns;
};

struct allowances {
    struct allowance users[ALLOWANCE_USERS];
    unsigned count;
    int64_t settled_ns;
};

/* now_ns: of any monotonic clock. */
bool allowance_is_left(struct allowances *allowances, uint32_t uid, int64_t now_ns);
void allowance_charge(struct allowances *allowances, uint32_t uid, int64_t spent_ns,
                      int64_t now_ns);
