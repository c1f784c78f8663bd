/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A client that a server lists (STEVED_IOC_CLIENTS), as a user knows it. */

#include "libjobserver/process.h"
#include "libjobserver/protocol.h"

/* As process_label(); of a process that is not to be seen from here (another pid namespace, hidepid=)
 * the label is the name that the server gives, in parentheses. 0 or -ENOMEM. */
int holder_label(const struct steved_client *client, int *patience_ms, struct process_label *label);
