/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/lives.h"

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

bool
lives_go_on(struct lives *lives, int status)
{
    const bool is_replaced = lives->is_replacing, was_ready = lives->is_ready;

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
    return !lives_are_over(lives);
}

bool
lives_are_over(const struct lives *lives)
{
    return lives->deaths >= LIVES_DEATHS_MAX;
}
