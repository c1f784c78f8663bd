/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/lives.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

void
lives_ready(struct lives *lives)
{
    lives->has_served = true;
    lives->is_ready = true;
    lives->deaths = 0;
}

bool
lives_replace(struct lives *lives)
{
    if (!lives->has_served || lives->is_ending)
        return false;
    lives->is_replacing = true;
    return true;
}

/* Who kills it sets the pace. */
static bool
was_killed(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* Whatever it is that a server ends by, the next one may meet again as soon as it serves. */
static int64_t
note_crash(struct lives *lives, int64_t now_ns)
{
    lives->crashed_ns[lives->oldest] = now_ns;
    lives->oldest = (lives->oldest + 1) % LIVES_CRASHES_MAX;
    const int64_t first_ns = lives->crashed_ns[lives->oldest];
    const int64_t over_ns = first_ns + LIVES_CRASHES_NS;
    return first_ns != 0 && over_ns > now_ns ? over_ns - now_ns : 0;
}

bool
lives_go_on(struct lives *lives, int status, int64_t now_ns, int64_t *pause_ns)
{
    const bool is_replaced = lives->is_replacing, was_ready = lives->is_ready;

    *pause_ns = 0;
    lives->is_replacing = false;
    lives->is_ready = false;
    if (lives->is_ending || !lives->has_served)
        return false;
    if (is_replaced)
        return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
        return false;
    if (!was_ready)
        lives->deaths++;
    else if (!was_killed(status))
        *pause_ns = note_crash(lives, now_ns);
    return !lives_are_over(lives);
}

bool
lives_are_over(const struct lives *lives)
{
    return lives->deaths >= LIVES_DEATHS_MAX;
}
