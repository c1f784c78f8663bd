/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/farm.h"

#include <err.h>
#include <math.h>
#include <stdlib.h>

#include "tests/sim/random.h"

/* How long a node is away, at least; the scheduler sees each change before the next. */
#define AWAY_S 20

/* --- tasks --- */

static bool
is_seen(const struct node *node)
{
    return node->state == NODE_HERE || node->state == NODE_LEFT;
}

static bool
is_here(const struct node *node)
{
    return node->state == NODE_HERE || node->state == NODE_BACK;
}

/* As a scheduler does that spreads its load. NULL: no slot is free as far as it knows. */
static struct node *
emptiest(const struct farm *farm)
{
    struct node *found = NULL;

    for (unsigned i = 0; i < farm->plan.nodes; i++) {
        struct node *node = &farm->nodes[i];
        if (is_seen(node) && node->taken < farm->plan.slots &&
            (!found || node->taken < found->taken))
            found = node;
    }
    return found;
}

static void
place(struct farm *farm, struct node *node, struct task *task)
{
    task->node = node;
    node->taken++;
    TAILQ_INSERT_TAIL(&node->tasks, task, in_list);
    if (node->state == NODE_LEFT)
        return;
    farm->busy++;
    agenda_set(farm->agenda, &task->end, farm->agenda->now_ns + task->work_ns);
}

static void
leave(struct task *task)
{
    struct node *node = task->node;

    TAILQ_REMOVE(&node->tasks, task, in_list);
    node->taken--;
    node->farm->busy -= is_here(node);
    task->node = NULL;
}

static void
serve(struct farm *farm)
{
    struct task *task;
    struct node *node;

    while ((task = TAILQ_FIRST(&farm->queue)) && (node = emptiest(farm))) {
        TAILQ_REMOVE(&farm->queue, task, in_list);
        task->is_queued = false;
        place(farm, node, task);
    }
}

static void
on_task_end(void *context)
{
    struct task *task = context;
    struct farm *farm = task->node->farm;

    leave(task);
    serve(farm);
    task->done(task->context, false);
}

static void
on_no_farm(void *context)
{
    struct task *task = context;

    task->done(task->context, true);
}

void
farm_send(struct farm *farm, struct task *task, int64_t work_ns)
{
    task->work_ns = work_ns;
    task->node = NULL;
    task->is_queued = farm->seen > 0;
    entry_init(&task->end, task->is_queued ? on_task_end : on_no_farm, task);
    if (!task->is_queued) {
        agenda_set(farm->agenda, &task->end, farm->agenda->now_ns);
        return;
    }
    TAILQ_INSERT_TAIL(&farm->queue, task, in_list);
    serve(farm);
}

void
farm_withdraw(struct farm *farm, struct task *task)
{
    agenda_cancel(farm->agenda, &task->end);
    if (task->is_queued)
        TAILQ_REMOVE(&farm->queue, task, in_list);
    task->is_queued = false;
    if (task->node)
        leave(task);
    serve(farm);
}

static void
lose_all(struct tasks *tasks)
{
    struct task *task;

    while ((task = TAILQ_FIRST(tasks))) {
        if (task->node)
            leave(task);
        else
            TAILQ_REMOVE(tasks, task, in_list);
        task->is_queued = false;
        task->done(task->context, true);
    }
}

/* --- nodes --- */

static void
turn_after(struct node *node, int64_t ns)
{
    agenda_set(node->farm->agenda, &node->turn, node->farm->agenda->now_ns + ns);
}

static int64_t
any_stay_ns(struct farm *farm)
{
    return farm->plan.lag_ns + exponential_ns(farm->random, farm->plan.stay_ns);
}

static void
go(struct node *node)
{
    struct farm *farm = node->farm;
    struct task *task;

    farm->busy -= node->taken;
    farm->here--;
    farm->departures++;
    node->state = NODE_LEFT;
    TAILQ_FOREACH (task, &node->tasks, in_list)
        agenda_cancel(farm->agenda, &task->end);
    turn_after(node, farm->plan.lag_ns);
}

static void
be_missed(struct node *node)
{
    struct farm *farm = node->farm;
    int64_t away_ns = AWAY_S * NS_PER_S + exponential_ns(farm->random, AWAY_S * NS_PER_S);

    farm->seen--;
    node->state = NODE_GONE;
    turn_after(node, away_ns);
    lose_all(&node->tasks);
    if (farm->seen == 0)
        lose_all(&farm->queue);
}

static void
come_back(struct node *node)
{
    node->farm->here++;
    node->back_ns = node->farm->agenda->now_ns;
    node->state = NODE_BACK;
    turn_after(node, node->farm->plan.lag_ns);
}

static void
be_found(struct node *node)
{
    struct farm *farm = node->farm;

    farm->seen++;
    node->state = NODE_HERE;
    if (node->back_ns < farm->back_since_ns)
        farm->back_since_ns = node->back_ns;
    turn_after(node, any_stay_ns(farm));
    serve(farm);
}

static void
on_turn(void *context)
{
    static void (*const turns[])(struct node *) = {
        [NODE_HERE] = go,
        [NODE_LEFT] = be_missed,
        [NODE_GONE] = come_back,
        [NODE_BACK] = be_found,
    };
    struct node *node = context;

    turns[node->state](node);
}

void
farm_init(struct farm *farm, struct agenda *agenda, const struct farm_plan *plan, uint64_t *random)
{
    *farm = (struct farm){.agenda = agenda,
                          .plan = *plan,
                          .here = plan->nodes,
                          .seen = plan->nodes,
                          .back_since_ns = INT64_MAX};
    farm->random = random;
    TAILQ_INIT(&farm->queue);
    farm->nodes = calloc(plan->nodes + 1, sizeof(*farm->nodes));
    if (!farm->nodes)
        err(EXIT_FAILURE, "farm");
    for (unsigned i = 0; i < plan->nodes; i++) {
        struct node *node = &farm->nodes[i];
        node->farm = farm;
        TAILQ_INIT(&node->tasks);
        entry_init(&node->turn, on_turn, node);
        if (plan->stay_ns > 0)
            turn_after(node, any_stay_ns(farm));
    }
}

void
farm_free(struct farm *farm)
{
    free(farm->nodes);
}

unsigned
farm_seen_slots(const struct farm *farm)
{
    return farm->seen * farm->plan.slots;
}
