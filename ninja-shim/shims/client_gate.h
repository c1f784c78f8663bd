/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What stands before a make or a cargo, which take tokens for their jobs themselves: where memory may not suffice for
 * all of these, or they need tokens of classes besides, it becomes jobgate, which has them wait for that, and which
 * becomes the real program. Where memory is ample, and there is no such class, the real program is executed at once.
 */

#define CLIENT_GATE_JOBS_UNLIMITED 0u
/* The names of processes whose children are jobs. */
#define CLIENT_GATE_STARTERS "make", "gmake", "remake", "cargo"

/* How many jobs does a client run at once that has been given no number? As many as its jobserver has, if MAKEFLAGS (or
 * `flags`, if set) names one; else `otherwise`. */
unsigned client_gate_jobs(const char *flags, unsigned otherwise);

/* If so many jobs at once have to wait for memory, by JOBWRAP_MEMORY or by what is available, or for classes, it becomes
 * jobgate, and then the program `real` with this argv, in which the jobs of make and cargo, and of what `client` is the
 * path of, wait. Returns if they need not, or there is no jobgate. Ends the program, and says why, if it cannot become
 * it, or the variable makes no sense. */
void client_gate_become(unsigned jobs, const char *real, const char *client, char **argv);
