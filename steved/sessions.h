/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * All sessions of a server, by their numbers: the first alone for a mount, or one for the device of each file. Those
 * that are not needed stay closed.
 */

#include "steved/notify.h"
#include "steved/session.h"

void sessions_init(struct session sessions[STATE_FILES_MAX], struct server *server,
                   const struct session_calls *calls);
/* The server's files appear, and the kernel has greeted us: clients wait for their first answer. 0, or a negative errno
 * after having said it. */
int sessions_open(struct session sessions[STATE_FILES_MAX]);
/* They are there already, open as `fds`, which are the sessions' from now on. The device of a class that has none (-1) is
 * made anew, or the class withdrawn. 0; -EINVAL: that does not go with the state; or another negative errno; after having
 * said it. */
int sessions_take_over(struct session sessions[STATE_FILES_MAX], const int fds[STATE_FILES_MAX]);
/* The next server will need them: those that are not inherited. 0, or a negative errno after having said it. */
int sessions_store(const struct session sessions[STATE_FILES_MAX], const struct notify *notify);
/* It will not, nor those that were inherited as `fds`. */
void sessions_unstore(const struct session sessions[STATE_FILES_MAX],
                      const int fds[STATE_FILES_MAX], const struct notify *notify);
/* Serves from now on, as part of the event loop. 0, or a negative errno after having said it. */
int sessions_serve(struct session sessions[STATE_FILES_MAX], struct event_base *base);
/* Has the kernel closed one? */
bool sessions_have_ended(const struct session sessions[STATE_FILES_MAX]);
/* Who still waits gets an error. */
void sessions_end(struct session sessions[STATE_FILES_MAX]);
