/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The limits of one pool (rule 10): looks at memory and load, and tells the pool how many tokens may be held. What is
 * decided, and for how long a look is believed, is in decision.h. The server calls throttle_look() before whatever
 * may grant a token, and again at the time that throttle_deadline_ns() tells.
 */

#include <stdbool.h>
#include <stdint.h>

#include "libjobserver/memory/limits.h"
#include "libjobserver/protocol.h"
#include "libjobserver/throttle/decision.h"

struct pool;

struct throttle {
    struct steved_limits limits; /* as set now */
    struct throttle_state state;
    struct memory_limits *memory; /* NULL: not open */
    int load_fd;                  /* -1: not open */
    unsigned told;                /* to the pool */
};

/* limits: with which it begins. */
void throttle_init(struct throttle *throttle, const struct steved_limits *limits);
/* Opens all that may have to be read, for a server that gives up its rights. root: "", or a directory that has a
 * /proc. 0, or a negative errno. What is open already stays so. */
int throttle_open(struct throttle *throttle, const char *root);
void throttle_close(struct throttle *throttle);

/* Is there a limit? */
bool throttle_is_set(const struct throttle *throttle);
/* Other limits from now on; throttle_look() is to follow. 0, -EINVAL, or what throttle_open() says; then nothing has
 * changed. */
int throttle_set(struct throttle *throttle, const struct steved_settings *settings);

/* Whoever may be served is served, and told by what is due. Costs nothing without a limit. */
void throttle_look(struct throttle *throttle, struct pool *pool, unsigned min_jobs, int64_t now_ns);
/* Until the next look nothing is granted at all. */
void throttle_hold(struct throttle *throttle, struct pool *pool, int64_t now_ns);
/* The time of the next look, or THROTTLE_NEVER: nobody waits for one. `is_lying`: tokens lie where they can be
 * taken without asking. */
int64_t throttle_deadline_ns(const struct throttle *throttle, const struct pool *pool,
                             bool is_lying);

/* What is seen from outside, as of the last look. */
void throttle_tell(const struct throttle *throttle, struct steved_throttle *told, int64_t now_ns);
