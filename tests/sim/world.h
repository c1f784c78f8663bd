/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* All that is simulated, and what is measured of it. */

#include "tests/sim/builds.h"
#include "tests/sim/options.h"

/* Of the farm's slots, seconds. A slot is idle if its node is here and it has no job; it counts while a job waits for
 * a token of remote, once for each such job. */
struct idle {
    double pool_s; /* its token is free, or set aside */
    double lag_s;  /* the server does not know of its node yet */
    double
        home_s; /* its token is held by a job that is at home, or was sent to a node which has left */
};

struct world {
    struct options options;
    uint64_t random;
    struct agenda agenda;
    struct home home;
    struct farm farm;
    struct engine engine;
    struct server server;
    struct build *builds;
    unsigned unfinished;
    bool has_finished; /* one of them */
    struct entry look, kill;
    struct idle idle;
    double slots_s; /* of nodes that are here */
    double
        *shares; /* of each build: seconds of tokens of remote until the first build had finished */
    double remote_work_s, home_work_s, link_work_s, critical_s;
};

void world_init(struct world *world, const struct options *options);
void world_free(struct world *world);
/* Until all builds have finished. Ends the program with a message if a job waits for ever. */
void world_run(struct world *world);
/* The longest of the times which the builds cannot go below, with so many slots as the farm has had on the average. */
double world_bound_s(const struct world *world);
