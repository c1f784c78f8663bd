/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/clock.h"

#include <time.h>

int64_t
clock_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t
clock_on_the_wall_ns(int64_t time_ns)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec - (clock_now_ns() - time_ns);
}

int64_t
clock_spent_ns(void)
{
    struct timespec spent;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return spent.tv_sec * NS_PER_S + spent.tv_nsec;
}

struct timeval
clock_until(int64_t deadline_ns, int64_t now_ns)
{
    int64_t left_us = (deadline_ns - now_ns + NS_PER_US - 1) / NS_PER_US;

    if (left_us < 0)
        left_us = 0;
    return (struct timeval){.tv_sec = (time_t)(left_us / 1000000),
                            .tv_usec = (suseconds_t)(left_us % 1000000)};
}
