/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What comes from a network that claims to be a compile farm, and how users name one. */

#include "stevefarm/answers.h"
#include "stevefarm/engine.h"
#include "tests/fuzz/input.h"

#define BEFORE (SLOTS_MAX + 1)

static void
check_answer(const char *(*parse)(const char *text, unsigned *slots), const char *text)
{
    unsigned slots = BEFORE;
    const char *wrong = parse(text, &slots);

    ALWAYS(wrong ? slots == BEFORE : slots <= SLOTS_MAX);
}

static void
check_engine(const char *text, const char *distcc_hosts)
{
    struct engine *engine = malloc(sizeof(*engine));

    ALWAYS(engine);
    if (!engine_parse(engine, text, distcc_hosts)) {
        ALWAYS(engine->count <= ENGINE_PLACES_MAX && engine->fixed_slots <= SLOTS_MAX);
        ALWAYS((engine->count == 0) == (engine->kind == ENGINE_FIXED));
        for (unsigned i = 0; i < engine->count; i++)
            ALWAYS(engine->places[i].host[0] && engine->places[i].port[0]);
    }
    free(engine);
}

static void
count_event(void *context, const struct steved_event *event)
{
    struct event_place place;

    event_place_read(&place, event);
    ALWAYS(place.node[0] && event->kind == STEVED_EVENT_JOB_PLACED);
    ++*(size_t *)context;
}

static void
check_jobs(const char *text)
{
    struct farm_jobs *jobs = calloc(2, sizeof(*jobs));
    size_t count = 0;

    ALWAYS(jobs);
    answer_icecc_jobs(text, "a", &jobs[1]);
    ALWAYS(jobs[1].count <= FARM_JOBS_MAX);
    farm_jobs_compare(&jobs[0], &jobs[1], count_event, &count);
    ALWAYS(count == jobs[1].count);
    farm_jobs_compare(&jobs[1], &jobs[1], count_event, &count);
    ALWAYS(count == jobs[1].count);
    free(jobs);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    char *text = malloc(size + 1);

    ALWAYS(text);
    input_bytes(&input, text, size);
    text[size] = '\0';
    check_answer(answer_icecc, text);
    check_answer(answer_distcc, text);
    check_answer(answer_sccache, text);
    check_jobs(text);
    check_engine(text, NULL);
    check_engine("distcc", text);
    free(text);
    return 0;
}
