/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Kills the server of which it is part (steved/steps.h) after some steps, a number of its own for each that is
 * started, of STEVED_STEPS on the average: so that all places at which a server can be killed are met. Without
 * the variable it counts only. With STEVED_POISON each request to set a weight kills it, too. With
 * STEVED_NO_CUSTOM_IO it serves as with a libfuse that is built without (steved/channel.h).
 */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libjobserver/serve.h"
#include "steved/steps.h"

int __real_serve_set_weight(struct pool *pool, struct pool_opening *opening,
                            const struct steved_weight *weight, bool is_owner, int64_t now_ns);
int __wrap_serve_set_weight(struct pool *pool, struct pool_opening *opening,
                            const struct steved_weight *weight, bool is_owner, int64_t now_ns);

static void
die(void)
{
    syscall(SYS_tgkill, getpid(), gettid(), SIGKILL);
}

/* At the first step there is no filter yet. */
static uint64_t
draw(void)
{
    const char *mean = getenv("STEVED_STEPS");
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned seed = (unsigned)now.tv_nsec ^ (unsigned)getpid();
    uint64_t steps = mean ? strtoul(mean, NULL, 10) : 0;
    return steps ? 1 + (unsigned)rand_r(&seed) % (2 * steps) : UINT64_MAX;
}

void
steps_count(void)
{
    static uint64_t left;

    if (left == 0)
        left = draw();
    if (--left == 0)
        die();
}

bool
steps_allow_custom_io(void)
{
    return !getenv("STEVED_NO_CUSTOM_IO");
}

int
__wrap_serve_set_weight(struct pool *pool, struct pool_opening *opening,
                        const struct steved_weight *weight, bool is_owner, int64_t now_ns)
{
    if (getenv("STEVED_POISON"))
        die();
    return __real_serve_set_weight(pool, opening, weight, is_owner, now_ns);
}
