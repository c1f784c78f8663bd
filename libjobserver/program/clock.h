/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The one clock: monotonic, in nanoseconds. What people are shown is the time on the wall. */

#include <stdint.h>
#include <sys/time.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

int64_t clock_now_ns(void);
/* What clocks on the wall said then: since 1970, as they are set now. */
int64_t clock_on_the_wall_ns(int64_t time_ns);
/* What this thread has used of a processor. */
int64_t clock_spent_ns(void);

/* How long it is from `now_ns` to `deadline_ns`, rounded up, so that a timer never fires too early to
 * find its deadline passed; zero if it has passed. */
struct timeval clock_until(int64_t deadline_ns, int64_t now_ns);
