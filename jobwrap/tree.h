/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The processes that live below one: jobs, and what they have left behind. */

#include <stdbool.h>
#include <sys/types.h>

/* How many threads live below `top`, those of `except` (a process; 0: none) not counted: each of
 * them may run a job with a token of its own, as LLVM's and rustc's do. `session`: only what lives in
 * this session (0: all), since a process that has left it is a daemon and no job. -1: unknown, since
 * processes came or went while they were counted, and a job that took another's place in between is
 * seen neither as the one nor as the other. */
int tree_count_threads(pid_t top, pid_t except, pid_t session);

/* Sends a signal that is to end them to all that live below `top`. They are stopped first, and continue
 * when all have got it: a make that has not would take the end of its neighbour's job for a reason to
 * start the next one. */
void tree_end(pid_t top, int signal_number);

/* Reaps what has ended and is not `except` (0: none); false: there are no children any more. *reaped: how
 * many; may be NULL. */
bool tree_reap(pid_t except, unsigned *reaped);
