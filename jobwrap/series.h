/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How a number has changed over time, in as much memory as it takes for a minute, however long it lasts: what is
 * remembered gets coarser. Pure; times are nanoseconds of any monotonic clock. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIES_STEPS 720u
#define SERIES_FIRST_STEP_NS INT64_C(10000000)

struct series_step {
    double integral;    /* of the value over what is known of the step, by nanoseconds */
    int64_t known_ns;   /* so much of it */
    double least, most; /* of the value; meaningless if nothing is known */
};

struct series {
    int64_t begin_ns, step_ns;
    bool has_value;
    int64_t since_ns; /* it has had `value` since then */
    double value;
    struct series_step steps[SERIES_STEPS];
};

void series_init(struct series *series, int64_t begin_ns);
/* It is so much from now on. What comes before an earlier call's time counts from that time on. */
void series_note(struct series *series, double value, int64_t now_ns);
/* It stays as it was until now. */
void series_end(struct series *series, int64_t now_ns);
/* How many steps there are with what is known. */
size_t series_count(const struct series *series);
/* Of a step of which something is known. */
double series_mean(const struct series_step *step);
/* Of the value over all the time (in nanoseconds) for which it is known. */
double series_integral(const struct series *series);
/* The highest of all; 0 if nothing is known. */
double series_highest(const struct series *series);
