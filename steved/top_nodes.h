/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How many jobs of this machine run at which node of a farm, as events tell (STEVED_EVENT_JOB_PLACED). Pure. */

#include <stddef.h>

#include "libjobserver/events/place.h"

/* More are not shown. */
#define TOP_NODES_MAX 64u

struct top_nodes {
    size_t count;
    struct top_node {
        char name[EVENT_NODE_SIZE];
        unsigned jobs;     /* at least 1 */
    } list[TOP_NODES_MAX]; /* the one that was told of first comes first */
};

void top_nodes_note(struct top_nodes *nodes, const struct steved_event *event);
/* "NODE JOBS, NODE JOBS, ...", as many as fit into `size` with the NUL, and "..." where more would follow. */
void top_nodes_text(const struct top_nodes *nodes, char *text, size_t size);
