/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * farm-sim: builds that share a machine and a compile farm, in simulated time, with the real pool and the real queue
 * of the gate. Prints what has been measured.
 */
#include <err.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/world.h"

static double
part(double of, double all)
{
    return all > 0 ? 100 * of / all : 0;
}

static void
show_time(const struct world *world, double makespan_s)
{
    const struct options *options = &world->options;
    double slots = world->slots_s / makespan_s, bound_s = world_bound_s(world);

    printf("makespan: %.1f s, %.2f times the bound of %.1f s\n", makespan_s, makespan_s / bound_s,
           bound_s);
    printf("  bounds: critical path %.1f s; remote work / slots %.1f s (%.0f s / %.1f); work at "
           "home / processors %.1f s "
           "(%.0f s / %u)\n",
           world->critical_s, slots > 0 ? world->remote_work_s / slots : 0, world->remote_work_s,
           slots, world->home_work_s / options->cpus, world->home_work_s, options->cpus);
}

static void
show_idle(const struct world *world)
{
    const struct idle *idle = &world->idle;
    double all_s = idle->pool_s + idle->lag_s + idle->home_s;

    printf("slots idle while a job waits: %.0f slot-seconds, %.1f %% of %.0f\n", all_s,
           part(all_s, world->slots_s), world->slots_s);
    printf("  token not taken yet %.1f (%.2f %%); node not seen yet %.0f (%.1f %%); job still, or "
           "again, at home %.0f "
           "(%.1f %%)\n",
           idle->pool_s, part(idle->pool_s, world->slots_s), idle->lag_s,
           part(idle->lag_s, world->slots_s), idle->home_s, part(idle->home_s, world->slots_s));
}

struct ends {
    double first_s, last_s;
};

static struct ends
ends_of(const struct world *world, unsigned from, unsigned to)
{
    struct ends ends = {.first_s = INFINITY};

    for (unsigned i = from; i < to; i++) {
        double end_s = (double)world->builds[i].finished_ns / NS_PER_S;
        ends.first_s = fmin(ends.first_s, end_s);
        ends.last_s = fmax(ends.last_s, end_s);
    }
    return ends;
}

/* Jain's index is 1 where all have the same, and 1/n where one has all. */
static void
show_fairness(const struct world *world, const char *who, unsigned from, unsigned to)
{
    double sum = 0, squares = 0, least = INFINITY, most = 0;

    if (from == to)
        return;
    for (unsigned i = from; i < to; i++) {
        double share = world->shares[i];
        sum += share;
        squares += share * share;
        least = fmin(least, share);
        most = fmax(most, share);
    }
    struct ends ends = ends_of(world, from, to);
    printf("fairness, %u %s: Jain's index of tokens of remote %.4f, most / least %.2f; last / "
           "first end %.2f (%.1f s "
           "/ %.1f s)\n",
           to - from, who, squares > 0 ? sum * sum / ((to - from) * squares) : 1,
           least > 0 ? most / least : 0, ends.last_s / ends.first_s, ends.last_s, ends.first_s);
}

static void
show_rest(const struct world *world, double makespan_s)
{
    const struct server *server = &world->server;
    double waited_s = 0;

    for (unsigned i = 0; i < world->options.clients; i++)
        waited_s = fmax(waited_s, (double)world->builds[i].waited_most_ns / NS_PER_S);
    printf("longest wait of a job: %.1f s\n", waited_s);
    printf("from more tokens to their use: mean %.4f s, most %.4f s, %u times; from a node's "
           "return: most %.1f s\n",
           server->rises > 0 ? server->fill_s / server->rises : 0, server->fill_most_s,
           server->rises, server->back_most_s);
    printf("jobs done again: %u lost with %u nodes that left, %u launchers killed\n",
           world->engine.lost, world->farm.departures, world->engine.killed);
    printf("server: %.0f reads and %.0f polls a second, at most %" PRIu64 " together\n",
           (double)server->reads / makespan_s, (double)server->polls / makespan_s,
           server->most_in_second);
    printf(
        "processes at home: at most %u on %u processors, which were busy for %.0f %% of the time\n",
        world->home.peak, world->options.cpus,
        part(world->home.work_s, world->options.cpus * makespan_s));
}

static void
show(const struct world *world)
{
    const struct options *options = &world->options;
    double makespan_s = (double)world->agenda.now_ns / NS_PER_S;

    printf("%u jobs of %u builds; %u nodes of %u slots, seen %.1f s late; seed %u\n", options->jobs,
           options->clients, options->nodes, options->slots, options->lag_ms / 1e3, options->seed);
    show_time(world, makespan_s);
    show_idle(world);
    show_fairness(world, "builds", 0, options->clients);
    if (options->makes > 0 && options->makes < options->clients) {
        show_fairness(world, "makes", 0, options->makes);
        show_fairness(world, "ninjas", options->makes, options->clients);
    }
    show_rest(world, makespan_s);
}

/* Nobody has anything any more, and nothing is missing. */
static void
check_end(const struct world *world)
{
    double idle_permille = 10 * part(world->idle.pool_s, world->slots_s);
    struct pool_status status;

    for (enum pool_index i = 0; i < POOLS; i++) {
        server_get_status(&world->server, i, &status);
        if (status.held > 0 || status.debt > 0)
            errx(EXIT_FAILURE, "seed %u: %u tokens of pool %d are held at the end, and %u missing",
                 world->options.seed, status.held, i, status.debt);
    }
    if (idle_permille > world->options.idle_max_permille)
        errx(EXIT_FAILURE,
             "seed %u: the pool left %.1f thousandths of the slots idle while somebody waited",
             world->options.seed, idle_permille);
}

int
main(int argc, char **argv)
{
    struct options options;
    struct world world;

    options_parse(&options, argc, argv);
    world_init(&world, &options);
    world_run(&world);
    show(&world);
    check_end(&world);
    world_free(&world);
    return 0;
}
