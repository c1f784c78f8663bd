/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Tells the server, as long as anybody reads its events, that the job of make or cargo which this process is, or is part
 * of, runs on a token of a class (STEVED_EVENT_JOB_MOVED). Whatever goes wrong here does not matter to the job. */

#include <sys/types.h>

#include "libjobserver/client.h"

/* From now on. of_class: the client that has the token of the class with this name. Returns what launcher_tell_back()
 * needs. */
pid_t launcher_tell_moved(struct client *server, struct client *of_class, const char *class_name);
/* No longer. */
void launcher_tell_back(struct client *server, pid_t process);
