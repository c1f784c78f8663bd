/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What can be said about a pipeline of jobwraps of which one waits for a token. */

#include <stdio.h>

#include "libjobserver/client.h"

/* While we wait: if somebody has the claim that we could have, and may not go on without what the command
 * would write, or read, then this cannot end by itself. Adds that to the line, with who it is, for which it
 * waits as holder_label(). */
void pipeline_print_deadlock(FILE *out, struct client *client, int *patience_ms);
