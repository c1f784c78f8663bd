/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Whether another server follows one that has ended. No I/O. */

#include <stdbool.h>

/* So many servers in a row die before they are ready, then it is given up. */
#define LIVES_DEATHS_MAX 5u

struct lives {
    bool has_served;   /* one was ready, this one or before */
    bool is_ready;     /* the one that runs */
    bool is_ending;    /* there is to be none any more */
    bool is_replacing; /* the one that runs was asked to make room for another */
    unsigned deaths;   /* in a row, of servers that were not ready yet, nor to be replaced */
};

void lives_ready(struct lives *lives);
/* May the server be asked to make room? Only one that has something to leave. */
bool lives_replace(struct lives *lives);
/* The server has ended with this status of waitpid(2): does another one follow? */
bool lives_go_on(struct lives *lives, int status);
/* Has it been given up? */
bool lives_are_over(const struct lives *lives);
