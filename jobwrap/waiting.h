/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Waiting until the command's implicit slot is paid for. */

#include <event2/event.h>
#include <stdbool.h>

#include "libjobserver/implicit.h"
#include "libjobserver/ledger.h"

enum waiting_result {
    WAITING_BORROWED, /* by a token of the ledger's */
    WAITING_CLAIMED,  /* by an ancestor's */
};

/* Waits while the events of `base` are served. Longer than a second, and it is said who holds the tokens.
 * enum waiting_result; -EINTR once *ended is true; or a negative errno of the parent. */
int waiting_pay_implicit(struct ledger *ledger, enum implicit_policy policy,
                         struct event_base *base, const bool *ended);

/* From now on the loop of `base` returns when the parent may have a token. The caller's, to be freed; NULL:
 * out of memory. */
struct event *waiting_watch(const struct ledger *ledger, struct event_base *base);
