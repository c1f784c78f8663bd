/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/world.h"

#include <err.h>
#include <math.h>
#include <stdlib.h>

#include "libjobserver/program/numbers.h"
#include "tests/sim/random.h"

/* How often the follower asks the scheduler. */
#define LOOK_NS (1 * NS_PER_S)
/* A build that takes so many times longer than it could does not end. */
#define PATIENCE 100

static double
seconds(int64_t ns)
{
    return (double)ns / NS_PER_S;
}

/* --- what happens by itself --- */

static void
on_look(void *context)
{
    struct world *world = context;

    server_set_remote(&world->server, farm_seen_slots(&world->farm), world->farm.back_since_ns);
    world->farm.back_since_ns = INT64_MAX;
    agenda_set(&world->agenda, &world->look, world->agenda.now_ns + LOOK_NS);
}

static void
set_kill(struct world *world)
{
    int64_t mean_ns = world->options.kill_ms * NS_PER_MS;

    if (mean_ns > 0)
        agenda_set(&world->agenda, &world->kill,
                   world->agenda.now_ns + exponential_ns(&world->random, mean_ns));
}

/* Each job is in the same danger, however many there are. */
static void
on_kill(void *context)
{
    struct world *world = context;
    unsigned number = below(&world->random, world->options.nodes * world->options.slots + 1);

    if (number < world->engine.count)
        engine_kill(&world->engine, number);
    set_kill(world);
}

static void
on_finished(void *context)
{
    struct world *world = context;

    world->unfinished--;
    for (unsigned i = 0; !world->has_finished && i < world->options.clients; i++)
        world->shares[i] = world->builds[i].remote_s;
    world->has_finished = true;
}

/* --- setting up --- */

static void
add_work(struct world *world, const struct graph *graph)
{
    for (unsigned i = 0; i < graph->count; i++) {
        const struct record *job = &graph->jobs[i];
        bool is_remote = job->kind == JOB_COMPILES && world->options.nodes > 0;
        world->home_work_s += seconds(job->preprocessing_ns);
        world->link_work_s += job->kind == JOB_LINKS ? seconds(job->work_ns) : 0;
        *(is_remote ? &world->remote_work_s : &world->home_work_s) += seconds(job->work_ns);
    }
    world->critical_s = fmax(world->critical_s, seconds(graph_critical_ns(graph)));
}

static void
make_build(struct world *world, const struct records *records, unsigned i)
{
    const struct options *options = &world->options;
    const struct build_plan plan = {
        .is_make = i < options->makes,
        .number = i + 1,
        .window = options->cpus + options->nodes * options->slots + options->links + 1,
        .server = &world->server,
        .engine = &world->engine,
        .finished = on_finished,
        .context = world,
    };
    unsigned jobs = options->jobs / options->clients + (i < options->jobs % options->clients);
    struct graph graph;

    graph_make(&graph, records, jobs, &world->random);
    add_work(world, &graph);
    build_init(&world->builds[i], &plan, &graph);
}

static void
make_builds(struct world *world)
{
    struct records records;

    world->unfinished = world->options.clients;
    world->builds = calloc(world->options.clients, sizeof(*world->builds));
    world->shares = calloc(world->options.clients, sizeof(*world->shares));
    if (!world->builds || !world->shares)
        err(EXIT_FAILURE, "%u builds", world->options.clients);
    records_read(&records, world->options.log);
    for (unsigned i = 0; i < world->options.clients; i++)
        make_build(world, &records, i);
    records_free(&records);
}

void
world_init(struct world *world, const struct options *options)
{
    const struct farm_plan plan = {.nodes = options->nodes,
                                   .slots = options->slots,
                                   .lag_ns = options->lag_ms * NS_PER_MS,
                                   .stay_ns = options->stay_s * NS_PER_S};
    const unsigned capacity[POOLS] = {options->cpus, options->nodes * options->slots,
                                      options->links};

    *world = (struct world){.options = *options, .random = options->seed};
    agenda_init(&world->agenda);
    home_init(&world->home, &world->agenda, options->cpus);
    make_builds(world);
    farm_init(&world->farm, &world->agenda, &plan, &world->random);
    engine_init(&world->engine, &world->home, &world->farm, options->preprocessors);
    server_init(&world->server, &world->agenda, capacity, options->latency_us * NS_PER_US,
                options->checks_all);
    entry_init(&world->look, on_look, world);
    entry_init(&world->kill, on_kill, world);
    agenda_set(&world->agenda, &world->look, LOOK_NS);
    set_kill(world);
}

void
world_free(struct world *world)
{
    for (unsigned i = 0; i < world->options.clients; i++)
        build_free(&world->builds[i]);
    server_free(&world->server);
    farm_free(&world->farm);
    home_free(&world->home);
    agenda_free(&world->agenda);
    free(world->builds);
    free(world->shares);
}

/* --- measuring --- */

static void
measure_idle(struct world *world, unsigned wanting, double passed_s)
{
    struct idle *idle = &world->idle;
    unsigned slots = world->farm.here * world->farm.plan.slots;
    unsigned unused = lesser(wanting, slots - world->farm.busy), part;
    struct pool_status status;

    server_get_status(&world->server, REMOTE, &status);
    world->slots_s += slots * passed_s;
    part = lesser(unused, status.free + status.reserved);
    idle->pool_s += part * passed_s;
    unused -= part;
    part = lesser(unused, slots > status.capacity ? slots - status.capacity : 0);
    idle->lag_s += part * passed_s;
    idle->home_s += (unused - part) * passed_s;
}

/* As it has been until the next entry. */
static void
measure(struct world *world)
{
    double passed_s = seconds(agenda_next_ns(&world->agenda) - world->agenda.now_ns);
    unsigned wanting = 0;

    for (unsigned i = 0; i < world->options.clients; i++) {
        wanting += world->builds[i].wanting;
        world->builds[i].remote_s += world->builds[i].remote * passed_s;
    }
    measure_idle(world, wanting, passed_s);
}

static double
average_slots(const struct world *world)
{
    double now_s = seconds(world->agenda.now_ns);

    return now_s > 0 ? world->slots_s / now_s : 0;
}

double
world_bound_s(const struct world *world)
{
    double bound_s = fmax(world->critical_s, world->home_work_s / world->options.cpus);

    if (world->remote_work_s > 0 && average_slots(world) > 0)
        bound_s = fmax(bound_s, world->remote_work_s / average_slots(world));
    return bound_s;
}

static void
run_out_of_patience(const struct world *world)
{
    for (unsigned i = 0; i < world->options.clients; i++) {
        const struct build *build = &world->builds[i];
        if (build->done < build->graph.count)
            warnx("build %u: %u of %u jobs done, %u wait for remote", build->number, build->done,
                  build->graph.count, build->wanting);
    }
    errx(EXIT_FAILURE, "seed %u: after %.0f s a job waits for ever", world->options.seed,
         seconds(world->agenda.now_ns));
}

void
world_run(struct world *world)
{
    double all_at_home_s = (world->remote_work_s + world->home_work_s) / world->options.cpus;
    double patience_s = PATIENCE * (world->critical_s + all_at_home_s);

    for (unsigned i = 0; i < world->options.clients; i++)
        build_start(&world->builds[i]);
    while (world->unfinished > 0) {
        measure(world);
        agenda_step(&world->agenda);
        if (seconds(world->agenda.now_ns) > patience_s)
            run_out_of_patience(world);
    }
}
