/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Whether another server follows one that has ended, and when. No I/O, no clock. */

#include <stdbool.h>
#include <stdint.h>

/* So many servers in a row die before they are ready, then it is given up. */
#define LIVES_DEATHS_MAX 5u
/* So many that were ready may crash within this time; then the next one is started when it is over. */
#define LIVES_CRASHES_MAX 5u
#define LIVES_CRASHES_NS (10 * INT64_C(1000000000))

struct lives {
    bool has_served;   /* one was ready, this one or before */
    bool is_ready;     /* the one that runs */
    bool is_ending;    /* there is to be none any more */
    bool is_replacing; /* the one that runs was asked to make room for another */
    unsigned deaths;   /* in a row, of servers that were not ready yet, nor to be replaced */
    int64_t crashed_ns[LIVES_CRASHES_MAX]; /* the last of those that were; 0: there were fewer */
    unsigned oldest;                       /* of these */
};

void lives_ready(struct lives *lives);
/* May the server be asked to make room? Only one that has something to leave. */
bool lives_replace(struct lives *lives);
/* The server has ended with this status of waitpid(2): does another one follow? *pause_ns: how long after that; 0: at
 * once. now_ns: of a monotonic clock. */
bool lives_go_on(struct lives *lives, int status, int64_t now_ns, int64_t *pause_ns);
/* Has it been given up? */
bool lives_are_over(const struct lives *lives);
