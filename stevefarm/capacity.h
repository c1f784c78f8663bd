/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The jobs of a class at a server, set with a lease: if nobody sets them again, they become 0. */

#include <stdint.h>

#include "libjobserver/client.h"
#include "stevefarm/trouble.h"

#define CAPACITY_LEASE_MS 5000u

struct capacity {
    const char *server; /* its file; NULL: the user's steved, or the system's */
    const char *class_name;
    struct client *client; /* of the class; NULL: the server has gone */
    struct trouble trouble;
};

/* 0, or -1 and capacity->trouble. */
int capacity_open(struct capacity *capacity);
/* The same; a server that has gone is looked for again. */
int capacity_set(struct capacity *capacity, unsigned jobs);
void capacity_close(struct capacity *capacity);
