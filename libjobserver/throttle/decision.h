/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Rule 10: how many tokens may be held while memory is short or the load is high. Pure: what is seen comes in,
 * with the time in nanoseconds of a monotonic clock.
 *
 * Memory that is less than the limit holds back all above min_jobs. A load average tells of a job when that has run
 * for a while, and is counted anew every five seconds: so one that is below its limit is believed for
 * load_recheck_ms, and so long no more are granted than the limit leaves: with 5.2 of 8, three.
 */

#include <stdbool.h>
#include <stdint.h>

#include "libjobserver/protocol.h"

#define THROTTLE_NONE UINT32_MAX /* as POOL_NO_THROTTLE */
#define THROTTLE_NEVER INT64_MAX /* as POOL_NO_DEADLINE */
/* How long what is known of the memory is believed: a compiler grows by some 50 MiB in that time. */
#define THROTTLE_MEMORY_NS INT64_C(100000000)

/* Zeroed: nothing was seen. */
struct throttle_state {
    bool has_memory, has_load; /* were seen */
    int64_t memory_seen_ns, load_seen_ns;
    uint64_t available_bytes, wanted_bytes;
    unsigned load_centi;
    unsigned load_leaves; /* so many may be held, by the load average that was seen */
    unsigned held_back_by;
    int64_t held_back_since_ns; /* while held_back_by is not 0 */
};

/* Is there a limit, and what was seen too old? Then it is to be looked at before the next decision. */
bool throttle_wants_memory(const struct throttle_state *state, const struct steved_limits *limits,
                           int64_t now_ns);
bool throttle_wants_load(const struct throttle_state *state, const struct steved_limits *limits,
                         int64_t now_ns);

/* total_bytes: of which per cent are counted. */
void throttle_saw_memory(struct throttle_state *state, const struct steved_limits *limits,
                         uint64_t available_bytes, uint64_t total_bytes, int64_t now_ns);
/* used: tokens that are held or set aside. */
void throttle_saw_load(struct throttle_state *state, const struct steved_limits *limits,
                       unsigned load_centi, unsigned used, int64_t now_ns);

/* By what was seen last: when so many are held or set aside nothing more is to be granted; never less than
 * min_jobs, THROTTLE_NONE: no matter how many. */
unsigned throttle_decide(struct throttle_state *state, const struct steved_limits *limits,
                         unsigned used, unsigned min_jobs, int64_t now_ns);

/* When to look again, if somebody waits for that; THROTTLE_NEVER without a limit. */
int64_t throttle_look_again_ns(const struct throttle_state *state,
                               const struct steved_limits *limits);
