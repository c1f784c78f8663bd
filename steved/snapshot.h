/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* All that a server tells of itself at one time, and what its clients are. */

#include <stdbool.h>
#include <stddef.h>

#include "libjobserver/client.h"
#include "libjobserver/process.h"

/* {0} at first; snapshot_clear() frees what is in it, after an error too. */
struct snapshot {
    struct steved_status status;
    bool has_throttle; /* the server knows limits */
    struct steved_throttle throttle;
    struct steved_classes classes; /* none, where the server knows none */
    struct steved_client *clients;
    struct process_label *labels; /* of each client; NULL: not asked for */
    size_t count;
};

/* 0 or a negative errno. */
int snapshot_take(struct client *client, struct snapshot *snapshot);
/* Finds out what the clients are, for which they may let us wait for a second, all together: 0 or -ENOMEM. */
int snapshot_label(struct snapshot *snapshot);
void snapshot_clear(struct snapshot *snapshot);
