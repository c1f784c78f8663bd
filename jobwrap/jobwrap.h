/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The four steps of its life. */

#include "jobwrap/state.h"

/* From here on the keeper is there, and whatever happens, jobwrap_finish() must be called. */

/* Makes the private jobserver, acquires the implicit slot, fills or relays. false: do not run. */
bool jobwrap_begin(struct jobwrap *jobwrap);
/* Runs the command to its end. */
void jobwrap_run(struct jobwrap *jobwrap);
/* Returns all tokens but those of jobs that run on, and removes the private jobserver. */
void jobwrap_finish(struct jobwrap *jobwrap);
/* Writes the report; the exit status, or does not return (a fatal signal is raised again). */
int jobwrap_exit(struct jobwrap *jobwrap);
