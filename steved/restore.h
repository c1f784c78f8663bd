/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A server that goes on where another one has ended. */

#include "steved/server.h"

/* Pool, openings and clients as server->state tells of them, after server_init(). Nobody waits yet, and nothing
 * is granted until restore_settle(). Settings that were given otherwise on the command line than to the other
 * server are as they are given now, the others as they were set last. 0; -EINVAL: the state is no good; or another
 * negative errno; after having said it. */
int restore(struct server *server);
/* Who waits has asked again: tokens that are free are granted. */
void restore_settle(struct server *server);
