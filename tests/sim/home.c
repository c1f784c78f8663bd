/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/home.h"

#include <err.h>
#include <math.h>
#include <stdlib.h>

/* Less work than this is none: what is left when a sum of fractions has been taken off. */
#define NOTHING_S 1e-9

static struct home_process *
process_of(struct heap_node *node)
{
    return (struct home_process *)(void *)((char *)node - offsetof(struct home_process, node));
}

static bool
ends_before(struct heap_node *a, struct heap_node *b)
{
    return process_of(a)->end < process_of(b)->end;
}

static double
speed(const struct home *home)
{
    size_t count = home->running.count;

    return count <= home->cpus ? 1 : (double)home->cpus / (double)count;
}

static void
advance(struct home *home)
{
    double passed_s = (double)(home->agenda->now_ns - home->since_ns) / NS_PER_S * speed(home);

    home->clock_s += passed_s;
    home->work_s += passed_s * (double)home->running.count;
    home->since_ns = home->agenda->now_ns;
}

static void
plan(struct home *home)
{
    struct heap_node *first = heap_first(&home->running);

    if (!first) {
        agenda_cancel(home->agenda, &home->first_ends);
        return;
    }
    double left_s = fmax(0, process_of(first)->end - home->clock_s) / speed(home);
    agenda_set(home->agenda, &home->first_ends,
               home->agenda->now_ns + (int64_t)ceil(left_s * NS_PER_S));
}

static void
on_first_ends(void *context)
{
    struct home *home = context;
    struct heap_node *first;

    advance(home);
    while ((first = heap_first(&home->running)) &&
           process_of(first)->end <= home->clock_s + NOTHING_S) {
        struct home_process *process = process_of(first);
        heap_remove(&home->running, first);
        process->ended(process->context);
    }
    plan(home);
}

void
home_init(struct home *home, struct agenda *agenda, unsigned cpus)
{
    *home = (struct home){.agenda = agenda, .cpus = cpus, .running = {.before = ends_before}};
    entry_init(&home->first_ends, on_first_ends, home);
}

void
home_free(struct home *home)
{
    heap_free(&home->running);
}

void
home_start(struct home *home, struct home_process *process, int64_t work_ns)
{
    advance(home);
    if (heap_reserve(&home->running, home->running.count + 1) < 0)
        err(EXIT_FAILURE, "home");
    process->end = home->clock_s + (double)work_ns / NS_PER_S;
    heap_insert(&home->running, &process->node);
    if (home->running.count > home->peak)
        home->peak = (unsigned)home->running.count;
    plan(home);
}

void
home_stop(struct home *home, struct home_process *process)
{
    if (!heap_contains(&process->node))
        return;
    advance(home);
    heap_remove(&home->running, &process->node);
    plan(home);
}
