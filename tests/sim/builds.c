/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/builds.h"

#include <err.h>
#include <stdlib.h>

#define CLASS_REMOTE (QUEUE_CPU << REMOTE)
#define CLASS_LINK (QUEUE_CPU << LINK)
/* A class that has lost all its tokens, or gets some again, is noticed so. */
#define LOOK_NS (1 * NS_PER_S)

static void serve(struct build *build);

/* --- jobs --- */

static const struct record *
record_of(const struct build_job *job)
{
    return &job->build->graph.jobs[job->number];
}

static void
set_ready(struct build_job *job, bool is_first)
{
    struct build_jobs *ready = &job->build->ready;

    job->ready_ns = job->build->server->agenda->now_ns;
    if (is_first)
        TAILQ_INSERT_HEAD(ready, job, in_list);
    else
        TAILQ_INSERT_TAIL(ready, job, in_list);
}

/* The one that ends a group waits for the group; the last for all. */
static void
set_ready_after(struct build *build, unsigned number)
{
    const struct graph *graph = &build->graph;
    unsigned last = graph->count - 1, group = graph->groups[number];

    if (build->done == last)
        set_ready(&build->jobs[last], false);
    if (graph->jobs[number].kind != JOB_COMPILES || --build->left[group] > 0)
        return;
    while (graph->jobs[number].kind == JOB_COMPILES)
        number++;
    if (number != last)
        set_ready(&build->jobs[number], false);
}

static void
note_begun(struct build_job *job)
{
    struct build *build = job->build;
    int64_t waited_ns = build->server->agenda->now_ns - job->ready_ns;

    if (waited_ns > build->waited_most_ns)
        build->waited_most_ns = waited_ns;
}

static void
end(struct build_job *job)
{
    struct build *build = job->build;

    job->is_done = true;
    build->done++;
    if (build->done < build->graph.count)
        set_ready_after(build, job->number);
    serve(build);
    if (build->done < build->graph.count)
        return;
    build->finished_ns = build->server->agenda->now_ns;
    agenda_cancel(build->server->agenda, &build->look);
    build->finished(build->context);
}

static void
begin_on_farm(struct build_job *job, void (*ended)(void *), void (*killed)(void *))
{
    note_begun(job);
    job->build->remote++;
    job->errand = (struct errand){.preprocessing_ns = record_of(job)->preprocessing_ns,
                                  .compiling_ns = record_of(job)->work_ns,
                                  .ended = ended,
                                  .killed = killed,
                                  .context = job};
    engine_begin(job->build->engine, &job->errand);
}

static void
begin_at_home(struct build_job *job, void (*ended)(void *))
{
    const struct record *record = record_of(job);

    note_begun(job);
    job->process = (struct home_process){.ended = ended, .context = job};
    home_start(job->build->engine->home, &job->process, record->preprocessing_ns + record->work_ns);
}

static bool
has_none(const struct build *build, enum pool_index index)
{
    struct pool_status status;

    server_get_status(build->server, index, &status);
    return status.capacity == 0;
}

/* --- behind the gate --- */

static struct build_job *
job_of(struct job *job)
{
    return (struct build_job *)job;
}

static void
give_classes(struct build *build, struct job *job)
{
    for (unsigned i = REMOTE; i < POOLS; i++) {
        if (!(job->held >> i & 1))
            continue;
        job->held &= ~(QUEUE_CPU << i);
        port_give(&build->ports[i]);
        queue_set_open(&build->queue, build->queue.empty & QUEUE_CPU << i);
    }
}

/* All or none. */
static bool
take_classes(struct build *build, struct job *job)
{
    const unsigned needs = queue_needs(&build->queue, job);

    for (unsigned i = REMOTE; i < POOLS; i++) {
        if (!(needs >> i & 1))
            continue;
        if (!port_try(&build->ports[i])) {
            if (has_none(build, i))
                queue_set_shut(&build->queue, QUEUE_CPU << i);
            else
                queue_set_empty(&build->queue, QUEUE_CPU << i);
            give_classes(build, job);
            return false;
        }
        job->held |= QUEUE_CPU << i;
    }
    return true;
}

/* Its tokens go back. */
static void
leave_gate(struct build_job *job)
{
    struct build *build = job->build;
    enum job_pay pay = queue_remove(&build->queue, &job->job);

    build->present--;
    build->remote -= pay == PAY_CLASSES;
    give_classes(build, &job->job);
    if (pay == PAY_TOKEN)
        port_give(&build->ports[CPU]);
}

static void
on_gate_job_end(void *context)
{
    struct build_job *job = context;

    leave_gate(job);
    end(job);
}

static void
on_gate_job_killed(void *context)
{
    struct build_job *job = context;

    leave_gate(job);
    set_ready(job, true);
    serve(job->build);
}

static void
run_at_gate(struct build *build, struct job *job, enum job_pay pay)
{
    queue_run(&build->queue, job, pay);
    build->wanting -= (job->instead & CLASS_REMOTE) != 0;
    if (pay == PAY_CLASSES)
        begin_on_farm(job_of(job), on_gate_job_end, on_gate_job_killed);
    else
        begin_at_home(job_of(job), on_gate_job_end);
}

/* false: nothing more can be done now. */
static bool
take_step(struct build *build)
{
    struct job *job = queue_first(&build->queue);
    enum queue_step step = queue_next(&build->queue, job, 0);
    enum job_pay pay = step == QUEUE_USE_TOKEN ? PAY_TOKEN : PAY_CLASSES;

    if (step != QUEUE_USE_TOKEN && step != QUEUE_USE_CLASSES)
        return false;
    if (pay == PAY_TOKEN && !port_try(&build->ports[CPU]))
        queue_set_empty(&build->queue, QUEUE_CPU);
    else if (take_classes(build, job))
        run_at_gate(build, job, pay);
    else if (pay == PAY_TOKEN)
        port_give(&build->ports[CPU]);
    return true;
}

static void
come_to_gate(struct build *build)
{
    struct build_job *job;

    while (build->present < build->window && (job = TAILQ_FIRST(&build->ready))) {
        TAILQ_REMOVE(&build->ready, job, in_list);
        enum job_kind kind = record_of(job)->kind;
        job->job = (struct job){.instead = kind == JOB_COMPILES ? CLASS_REMOTE : 0,
                                .besides = kind == JOB_LINKS ? CLASS_LINK : 0};
        queue_add(&build->queue, &job->job);
        build->present++;
        build->wanting += kind == JOB_COMPILES;
    }
}

static void
serve_gate(struct build *build)
{
    const struct job *job;
    unsigned named = 0;

    come_to_gate(build);
    queue_set_open(&build->queue, QUEUE_CPU);
    while (take_step(build))
        ;
    TAILQ_FOREACH (job, &build->queue.waiting, in_queue)
        named |= job->instead | job->besides | QUEUE_CPU;
    queue_set_open(&build->queue, ~named);
    for (unsigned i = 0; i < POOLS; i++)
        port_poll(&build->ports[i], (named & build->queue.empty) >> i & 1);
}

/* --- below make --- */

static void
on_local_end(void *context)
{
    struct build_job *job = context;

    port_give(&job->build->ports[CPU]);
    end(job);
}

static void
on_launcher_end(void *context)
{
    struct build_job *job = context;

    job->build->remote--;
    port_give(&job->launcher);
    port_close(&job->launcher);
    end(job);
}

/* The server has seen it die; make starts it once more. */
static void
on_launcher_killed(void *context)
{
    struct build_job *job = context;

    job->build->remote--;
    port_close(&job->launcher);
    set_ready(job, true);
    serve(job->build);
}

static void
launch(struct build_job *job)
{
    begin_on_farm(job, on_launcher_end, on_launcher_killed);
    port_give(&job->build->ports[CPU]);
}

static void
stop_waiting(struct build_job *job)
{
    TAILQ_REMOVE(&job->build->launching, job, in_list);
    job->build->wanting--;
}

static void
on_launcher_token(struct port *port)
{
    struct build_job *job = port->context;

    stop_waiting(job);
    launch(job);
    serve(job->build);
}

/* It has a token of the cpu. */
static void
begin_below_make(struct build_job *job)
{
    struct build *build = job->build;

    if (record_of(job)->kind != JOB_COMPILES || has_none(build, REMOTE)) {
        begin_at_home(job, on_local_end);
        return;
    }
    port_open(&job->launcher, build->server, REMOTE, build->number, false, on_launcher_token, job);
    if (port_read(&job->launcher)) {
        launch(job);
        return;
    }
    TAILQ_INSERT_TAIL(&build->launching, job, in_list);
    build->wanting++;
}

static void
serve_make(struct build *build)
{
    struct build_job *job;

    while ((job = TAILQ_FIRST(&build->ready)) && port_try(&build->ports[CPU])) {
        TAILQ_REMOVE(&build->ready, job, in_list);
        begin_below_make(job);
    }
    port_poll(&build->ports[CPU], job != NULL);
}

/* --- both --- */

static void
serve(struct build *build)
{
    if (build->is_make)
        serve_make(build);
    else
        serve_gate(build);
}

static void
on_port_token(struct port *port)
{
    struct build *build = port->context;

    queue_set_open(&build->queue, QUEUE_CPU << port->index);
    serve(build);
}

static void
leave_remote(struct build *build)
{
    struct build_job *job;

    while ((job = TAILQ_FIRST(&build->launching))) {
        stop_waiting(job);
        port_close(&job->launcher);
        begin_at_home(job, on_local_end);
    }
    if (!build->is_make)
        queue_set_shut(&build->queue, CLASS_REMOTE);
}

static void
on_look(void *context)
{
    struct build *build = context;

    if (has_none(build, REMOTE))
        leave_remote(build);
    else
        queue_set_open(&build->queue, build->queue.shut);
    serve(build);
    agenda_set(build->server->agenda, &build->look, build->server->agenda->now_ns + LOOK_NS);
}

static void
make_jobs(struct build *build)
{
    const struct graph *graph = &build->graph;

    build->jobs = calloc(graph->count, sizeof(*build->jobs));
    build->left = calloc(graph->group_count, sizeof(*build->left));
    if (!build->jobs || !build->left)
        err(EXIT_FAILURE, "build of %u jobs", graph->count);
    for (unsigned i = 0; i < graph->count; i++) {
        build->jobs[i].build = build;
        build->jobs[i].number = i;
        build->left[graph->groups[i]] += graph->jobs[i].kind == JOB_COMPILES;
    }
}

void
build_init(struct build *build, const struct build_plan *plan, const struct graph *graph)
{
    const struct queue_rules rules = {0};

    *build = (struct build){.server = plan->server,
                            .engine = plan->engine,
                            .is_make = plan->is_make,
                            .number = plan->number,
                            .window = plan->window,
                            .graph = *graph,
                            .finished = plan->finished,
                            .context = plan->context};
    TAILQ_INIT(&build->ready);
    TAILQ_INIT(&build->launching);
    queue_init(&build->queue, &rules);
    entry_init(&build->look, on_look, build);
    make_jobs(build);
}

void
build_start(struct build *build)
{
    const struct graph *graph = &build->graph;

    for (unsigned i = 0; i < POOLS; i++)
        port_open(&build->ports[i], build->server, i, build->number, true, on_port_token, build);
    for (unsigned i = 0; i < graph->count; i++) {
        bool waits_for_group =
            graph->jobs[i].kind != JOB_COMPILES && build->left[graph->groups[i]] > 0;
        if (!waits_for_group && (i + 1 < graph->count || graph->count == 1))
            set_ready(&build->jobs[i], false);
    }
    agenda_set(build->server->agenda, &build->look, build->server->agenda->now_ns + LOOK_NS);
    serve(build);
}

void
build_free(struct build *build)
{
    for (unsigned i = 0; i < POOLS; i++)
        port_close(&build->ports[i]);
    graph_free(&build->graph);
    free(build->jobs);
    free(build->left);
}
