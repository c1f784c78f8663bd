/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What an engine like icecc does with a compile job: it preprocesses at home, so many at once, sends the rest to the
 * farm, and does it at home if the farm has lost it.
 */

#include "tests/sim/farm.h"
#include "tests/sim/home.h"

struct engine;

/* A job that the engine has; the caller's. */
struct errand {
    TAILQ_ENTRY(errand) in_all, in_queue;
    struct engine *engine;
    int64_t preprocessing_ns, compiling_ns;
    enum { ERRAND_WAITS, ERRAND_PREPROCESSES, ERRAND_FARMED, ERRAND_AT_HOME } stage;
    struct home_process process;
    struct task task;
    void (*ended)(void *context);
    void (*killed)(void *context);
    void *context;
};
TAILQ_HEAD(errands, errand);

struct engine {
    struct home *home;
    struct farm *farm;
    struct errands all, queue; /* queue: for the preprocessor */
    unsigned count;            /* of all */
    unsigned preprocessors, preprocessors_max;
    unsigned lost, killed;
};

void engine_init(struct engine *engine, struct home *home, struct farm *farm,
                 unsigned preprocessors_max);
/* Sets all but the two durations, the two calls and their context, which the caller has set. */
void engine_begin(struct engine *engine, struct errand *errand);
/* One of those that there are ends without a result: errand->killed() instead of errand->ended(). */
void engine_kill(struct engine *engine, unsigned number);
