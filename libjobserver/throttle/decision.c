/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/throttle/decision.h"

#define MS INT64_C(1000000)
#define CENTI 100u

/* --- when --- */

static bool
has_memory_limit(const struct steved_limits *limits)
{
    return limits->memory_mib > 0 || limits->memory_percent > 0;
}

static int64_t
memory_end_ns(const struct throttle_state *state)
{
    return state->has_memory ? state->memory_seen_ns + THROTTLE_MEMORY_NS : 0;
}

static int64_t
load_end_ns(const struct throttle_state *state, const struct steved_limits *limits)
{
    return state->has_load ? state->load_seen_ns + limits->load_recheck_ms * MS : 0;
}

bool
throttle_wants_memory(const struct throttle_state *state, const struct steved_limits *limits,
                      int64_t now_ns)
{
    return has_memory_limit(limits) && now_ns >= memory_end_ns(state);
}

bool
throttle_wants_load(const struct throttle_state *state, const struct steved_limits *limits,
                    int64_t now_ns)
{
    return limits->load_centi > 0 && now_ns >= load_end_ns(state, limits);
}

int64_t
throttle_look_again_ns(const struct throttle_state *state, const struct steved_limits *limits)
{
    int64_t again_ns = THROTTLE_NEVER;

    if (has_memory_limit(limits))
        again_ns = memory_end_ns(state);
    if (limits->load_centi > 0 && load_end_ns(state, limits) < again_ns)
        again_ns = load_end_ns(state, limits);
    return again_ns;
}

/* --- what was seen --- */

static uint64_t
wanted_bytes(const struct steved_limits *limits, uint64_t total_bytes)
{
    const uint64_t percent = limits->memory_percent;

    if (limits->memory_mib > 0)
        return (uint64_t)limits->memory_mib << 20;
    return total_bytes / 100 * percent + total_bytes % 100 * percent / 100;
}

void
throttle_saw_memory(struct throttle_state *state, const struct steved_limits *limits,
                    uint64_t available_bytes, uint64_t total_bytes, int64_t now_ns)
{
    state->has_memory = true;
    state->memory_seen_ns = now_ns;
    state->available_bytes = available_bytes;
    state->wanted_bytes = wanted_bytes(limits, total_bytes);
}

void
throttle_saw_load(struct throttle_state *state, const struct steved_limits *limits,
                  unsigned load_centi, unsigned used, int64_t now_ns)
{
    state->has_load = true;
    state->load_seen_ns = now_ns;
    state->load_centi = load_centi;
    state->load_leaves = 0;
    if (load_centi < limits->load_centi)
        state->load_leaves = used + (limits->load_centi - load_centi - 1) / CENTI + 1;
}

/* --- the decision --- */

static void
note(struct throttle_state *state, unsigned held_back_by, int64_t now_ns)
{
    if (held_back_by && !state->held_back_by)
        state->held_back_since_ns = now_ns;
    state->held_back_by = held_back_by;
}

unsigned
throttle_decide(struct throttle_state *state, const struct steved_limits *limits, unsigned used,
                unsigned min_jobs, int64_t now_ns)
{
    unsigned most = THROTTLE_NONE, held_back_by = 0;

    if (limits->load_centi > 0 && state->has_load) {
        most = state->load_leaves;
        held_back_by |= used >= most ? STEVED_HELD_BACK_BY_LOAD : 0;
    }
    if (has_memory_limit(limits) && state->has_memory &&
        state->available_bytes < state->wanted_bytes) {
        most = 0;
        held_back_by |= STEVED_HELD_BACK_BY_MEMORY;
    }
    note(state, held_back_by, now_ns);
    return most > min_jobs ? most : min_jobs;
}
