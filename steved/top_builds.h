/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The builds at a server, an account each, of the clients that it lists: what they have, and what share is theirs.
 * Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libjobserver/protocol.h"

struct top_build {
    uint64_t account;
    uint32_t uid;
    uint32_t weight;
    unsigned held, reserved, waiting, clients;
    bool is_paused;
    double
        share; /* tokens that it would have if all that use any, and are not paused, wanted more; 0: it is none */
    const struct steved_client *first; /* whose name it has: a wrapper, or the oldest client */
};

enum top_order { TOP_BY_HELD, TOP_BY_WAITING, TOP_BY_SHARE, TOP_BY_AGE, TOP_ORDERS };

/* builds: room for as many as there are clients. Returns how many there are; they are in no order. */
size_t top_builds_collect(const struct steved_client *clients, size_t count,
                          struct top_build *builds);
/* Of so many tokens: between users by the largest weight of their builds, and then between the builds of each. */
void top_builds_share(struct top_build *builds, size_t count, unsigned jobs);
void top_builds_sort(struct top_build *builds, size_t count, enum top_order order);
const char *top_order_name(enum top_order order);
