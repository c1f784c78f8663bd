/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/engine.h"

static void preprocess_next(struct engine *engine);

static void
forget(struct errand *errand)
{
    TAILQ_REMOVE(&errand->engine->all, errand, in_all);
    errand->engine->count--;
}

static void
on_done_at_home(void *context)
{
    struct errand *errand = context;

    forget(errand);
    errand->ended(errand->context);
}

static void
on_farm_done(void *context, bool is_lost)
{
    struct errand *errand = context;

    if (!is_lost) {
        on_done_at_home(errand);
        return;
    }
    errand->engine->lost++;
    errand->stage = ERRAND_AT_HOME;
    errand->process = (struct home_process){.ended = on_done_at_home, .context = errand};
    home_start(errand->engine->home, &errand->process, errand->compiling_ns);
}

static void
on_preprocessed(void *context)
{
    struct errand *errand = context;

    errand->engine->preprocessors--;
    errand->stage = ERRAND_FARMED;
    errand->task = (struct task){.done = on_farm_done, .context = errand};
    farm_send(errand->engine->farm, &errand->task, errand->compiling_ns);
    preprocess_next(errand->engine);
}

static void
preprocess_next(struct engine *engine)
{
    struct errand *errand;

    while (engine->preprocessors < engine->preprocessors_max &&
           (errand = TAILQ_FIRST(&engine->queue))) {
        TAILQ_REMOVE(&engine->queue, errand, in_queue);
        engine->preprocessors++;
        errand->stage = ERRAND_PREPROCESSES;
        errand->process = (struct home_process){.ended = on_preprocessed, .context = errand};
        home_start(engine->home, &errand->process, errand->preprocessing_ns);
    }
}

void
engine_init(struct engine *engine, struct home *home, struct farm *farm, unsigned preprocessors_max)
{
    *engine = (struct engine){.home = home, .farm = farm, .preprocessors_max = preprocessors_max};
    TAILQ_INIT(&engine->all);
    TAILQ_INIT(&engine->queue);
}

void
engine_begin(struct engine *engine, struct errand *errand)
{
    errand->engine = engine;
    errand->stage = ERRAND_WAITS;
    TAILQ_INSERT_TAIL(&engine->all, errand, in_all);
    TAILQ_INSERT_TAIL(&engine->queue, errand, in_queue);
    engine->count++;
    preprocess_next(engine);
}

static void
stop(struct engine *engine, struct errand *errand)
{
    switch (errand->stage) {
    case ERRAND_WAITS:
        TAILQ_REMOVE(&engine->queue, errand, in_queue);
        break;
    case ERRAND_PREPROCESSES:
        engine->preprocessors--;
        home_stop(engine->home, &errand->process);
        break;
    case ERRAND_FARMED:
        farm_withdraw(engine->farm, &errand->task);
        break;
    case ERRAND_AT_HOME:
        home_stop(engine->home, &errand->process);
        break;
    }
}

void
engine_kill(struct engine *engine, unsigned number)
{
    struct errand *errand = TAILQ_FIRST(&engine->all);

    while (number-- > 0)
        errand = TAILQ_NEXT(errand, in_all);
    stop(engine, errand);
    forget(errand);
    engine->killed++;
    preprocess_next(engine);
    errand->killed(errand->context);
}
