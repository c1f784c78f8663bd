/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How many tokens were used, and how many waited, second by second: what stevectl top shows as bars. It is told
 * of each change, and adds up for how long things were as they were, so that a second has a mean and a peak, however
 * short that was. Pure: no clock; times are nanoseconds of one that is monotonic.
 */

#include <stdbool.h>
#include <stdint.h>

#define TOP_HISTORY_S 60u

struct top_second {
    int64_t known_ns;            /* for so long of it, it is known what was; 0: nothing is */
    int64_t used_ns, waiting_ns; /* tokens and waiters, each times how long */
    unsigned most_used, most_waiting;
};

struct top_history {
    bool is_known;          /* what is now */
    int64_t now_ns;         /* up to here it is added up */
    unsigned used, waiting; /* since then */
    struct top_second seconds[TOP_HISTORY_S];
};

/* From this time on, which may be one that is past (then it is from the latest time that was told on), it is so. */
void top_history_note(struct top_history *history, int64_t time_ns, unsigned used,
                      unsigned waiting);
/* It has not changed until now. */
void top_history_advance(struct top_history *history, int64_t now_ns);
/* What is now is not known, until it is noted: the server is gone. */
void top_history_interrupt(struct top_history *history, int64_t now_ns);

struct top_bar {
    bool is_known;
    double used, waiting; /* means */
    unsigned most_used, most_waiting;
};
/* Of the second that began so many seconds before the present one, 0 to TOP_HISTORY_S - 1. */
struct top_bar top_history_bar(const struct top_history *history, unsigned seconds_ago);
/* The most that was used at any time that is remembered. */
unsigned top_history_most(const struct top_history *history);
