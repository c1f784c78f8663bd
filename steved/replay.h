/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Sessions that another server has begun, of which the state tells. The kernel sends nothing twice: what it has said
 * to that server is said again here, as it came.
 */

#include "steved/session.h"

/* The greeting of one, before anything else: 0; -EINVAL after having said it: the other server has agreed to what we
 * would not. */
int replay_greeting(struct session *session);
/* What was decided is answered, if it was not. Then what was not decided is asked again: the reads that wait; `settle`
 * is called; the request that was being served. All who poll are told to do so again. `sessions`: by their numbers; of
 * those that are not inherited the kernel has forgotten all. */
void replay_requests(struct session sessions[STATE_FILES_MAX],
                     void (*settle)(struct server *server));
