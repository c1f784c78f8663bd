/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Builds that use the server and the engine, in one of two ways:
 *
 *   gate   a ninja behind the gate: the real queue of the gate (ninja-shim/gate/queue.h) decides. A job takes a token of
 *          remote instead of one of the cpu; one that links takes one of link besides.
 *   make   a make whose compile jobs are launchers: a job takes a token of the cpu, waits with it for one of remote, and
 *          gives the first back as soon as it has the second.
 *
 * Where remote has no tokens at all, jobs that would take one use the cpu.
 */

#include "ninja-shim/gate/queue.h"
#include "tests/sim/engine.h"
#include "tests/sim/jobs.h"
#include "tests/sim/server.h"

struct build;

struct build_job {
    struct job job; /* of the gate's queue */
    TAILQ_ENTRY(build_job) in_list;
    struct build *build;
    unsigned number;
    bool is_done;
    struct errand errand;        /* on the farm */
    struct home_process process; /* without it */
    struct port launcher;        /* of a make */
    int64_t ready_ns;
};
TAILQ_HEAD(build_jobs, build_job);

struct build {
    struct server *server;
    struct engine *engine;
    bool is_make;
    unsigned number; /* from 1 on: the key of its account */
    unsigned window; /* jobs that ninja starts at most */
    struct graph graph;
    struct build_job *jobs;
    unsigned *left; /* of each group: jobs that compile */
    unsigned done, present;
    struct build_jobs ready; /* that have not come to the gate, or for which make has no token */
    struct build_jobs launching; /* launchers that wait */
    struct queue queue;
    struct port ports[POOLS];
    struct entry look;
    unsigned wanting; /* jobs that wait for a token of remote */
    unsigned remote;  /* jobs that have one */
    double remote_s;  /* for so long, all together */
    int64_t finished_ns, waited_most_ns;
    void (*finished)(void *context);
    void *context;
};

struct build_plan {
    bool is_make;
    unsigned number, window;
    struct server *server;
    struct engine *engine;
    void (*finished)(void *context);
    void *context;
};

/* The graph is the build's from then on. */
void build_init(struct build *build, const struct build_plan *plan, const struct graph *graph);
void build_start(struct build *build);
void build_free(struct build *build);
