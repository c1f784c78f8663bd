/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What gates below this jobwrap have told of their jobs is handed on to its parent, as long as anybody reads there. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "libjobserver/client.h"
#include "libjobserver/events/readers.h"

struct told {
    struct event_readers readers; /* at the parent */
};

/* events: as the process `pid` has told them. true: somebody reads at the parent. */
bool told_hand_on(struct told *told, struct client *parent, const struct steved_told *events,
                  pid_t pid, int64_t now_ns);
