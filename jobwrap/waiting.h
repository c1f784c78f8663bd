/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Waiting for the token of the command's implicit slot. */

#include <event2/event.h>
#include <stdbool.h>

#include "libjobserver/ledger.h"

/* Waits until one token is borrowed, while the events of `base` are served. Longer than a second, and
 * it is said who holds the tokens. 0; -EINTR once *ended is true; or a negative errno of the parent. */
int waiting_borrow(struct ledger *ledger, struct event_base *base, const bool *ended);
