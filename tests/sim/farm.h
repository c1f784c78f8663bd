/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The nodes of a farm and their scheduler. Nodes leave and come back, and the scheduler sees either some time later. A
 * task that is sent to a node which has left, or was there when it left, is lost; this is known when the scheduler
 * knows that the node has left.
 */

#include <sys/queue.h>

#include "tests/sim/agenda.h"

struct farm;
struct node;

/* The caller's. */
struct task {
    TAILQ_ENTRY(task) in_list;
    struct node *node; /* NULL: it waits for a slot, or is not there */
    bool is_queued;
    struct entry end;
    int64_t work_ns;
    void (*done)(void *context, bool is_lost);
    void *context;
};
TAILQ_HEAD(tasks, task);

enum node_state {
    NODE_HERE,
    NODE_LEFT, /* and the scheduler thinks it is here */
    NODE_GONE,
    NODE_BACK, /* and the scheduler does not know yet */
};

struct node {
    struct farm *farm;
    enum node_state state;
    struct entry turn; /* its state changes */
    struct tasks tasks;
    unsigned taken; /* slots */
    int64_t back_ns;
};

struct farm_plan {
    unsigned nodes, slots; /* of each node */
    int64_t lag_ns;        /* of the scheduler */
    int64_t stay_ns;       /* of a node, on the average; 0: for ever */
};

struct farm {
    struct agenda *agenda;
    struct farm_plan plan;
    uint64_t *random;
    struct node *nodes;
    struct tasks queue;
    unsigned here, seen; /* nodes: that are here, that the scheduler thinks are here */
    unsigned busy;       /* slots of nodes that are here */
    unsigned departures;
    /* Since when the first of the nodes has been back that the scheduler has seen since this was last set to
     * INT64_MAX, which stands for none. */
    int64_t back_since_ns;
};

void farm_init(struct farm *farm, struct agenda *agenda, const struct farm_plan *plan,
               uint64_t *random);
void farm_free(struct farm *farm);
/* As far as the scheduler knows. */
unsigned farm_seen_slots(const struct farm *farm);

/* Calls task->done(), not before it returns. */
void farm_send(struct farm *farm, struct task *task, int64_t work_ns);
/* Nobody wants it any more. Nothing, if it is not there. */
void farm_withdraw(struct farm *farm, struct task *task);
