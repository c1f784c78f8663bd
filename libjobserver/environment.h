/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef JOBSERVER_ENVIRONMENT_H
#define JOBSERVER_ENVIRONMENT_H

/*
 * The jobserver in our environment: what whoever started us wants us to use.
 */

#include "libjobserver/auth.h"
#include "libjobserver/client.h"

/* Opens the jobserver that MAKEFLAGS names; where it names descriptors that are not for us, the FIFO in
 * JOBWRAP_FIFO, of the jobwrap around us.
 *   - 1: *client is open. `auth` says how it was named; AUTH_NONE: by JOBWRAP_FIFO, and the descriptors
 *     in MAKEFLAGS, whatever they are by now, are not it.
 *   - 0: none is named.
 *   - a negative errno: one is named that is not for us. *error, to be freed, says why; NULL: it is
 *     AUTH_CLOSED, or there is no memory.
 * `auth` is to be cleared in all three cases. */
int client_open_inherited(struct auth *auth, struct client **client, char **error);

/* How many jobs run at most, implicit slot included, if this jobserver lends all that it has. A steved
 * knows it; of others MAKEFLAGS says it by -jN (`makeflags`), or jobwrap by JOBWRAP_JOBS
 * (`wrapper_jobs`). NULL: not known, or not about this jobserver. 0: nobody can tell. */
unsigned client_total_jobs(struct client *client, const char *makeflags, const char *wrapper_jobs);

#endif
