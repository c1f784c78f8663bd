/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Answers that are due to others than the caller: made by the calls, taken by the server. */
#include "libjobserver/pool/private.h"

#include <stdlib.h>

void
pool_due(struct pool *pool, struct due *due, enum pool_due_kind kind)
{
    if (due->is_due)
        return;
    due->is_due = true;
    due->kind = kind;
    TAILQ_INSERT_TAIL(&pool->dues, due, in_pool);
    if (!pool->first_new_due)
        pool->first_new_due = due;
}

void
pool_due_forget(struct pool *pool, struct due *due)
{
    if (!due->is_due)
        return;
    due->is_due = false;
    if (pool->first_new_due == due)
        pool->first_new_due = TAILQ_NEXT(due, in_pool);
    TAILQ_REMOVE(&pool->dues, due, in_pool);
}

void
pool_due_orphan(struct pool *pool, const struct pool_opening *opening,
                const struct pool_process *process)
{
    struct due *due;

    TAILQ_FOREACH (due, &pool->dues, in_pool) {
        if (due->kind != POOL_DUE_GRANT && due->kind != POOL_DUE_CANCEL)
            continue;
        struct pool_waiter *waiter = container_of(due, struct pool_waiter, due);
        bool is_named =
            (opening && waiter->opening == opening) || (process && waiter->process == process);
        if (!is_named)
            continue;
        waiter->opening = NULL;
        waiter->process = NULL;
    }
}

static struct pool_due
describe(struct due *due)
{
    struct pool_due described = {.kind = due->kind};

    if (due->kind == POOL_DUE_NOTIFY) {
        described.owner = container_of(due, struct pool_opening, notify_due)->owner;
    } else if (due->kind == POOL_DUE_RECALL) {
        described.owner = container_of(due, struct pool_opening, recall_due)->owner;
    } else {
        struct pool_waiter *waiter = container_of(due, struct pool_waiter, due);
        described.reader = waiter->reader;
        described.opening = waiter->opening;
        described.process = waiter->process;
    }
    return described;
}

/* Of a waiter nothing is left when its answer has been taken. */
static void
discard(struct due *due)
{
    if (due->kind == POOL_DUE_GRANT || due->kind == POOL_DUE_CANCEL)
        free(container_of(due, struct pool_waiter, due));
}

bool
pool_next_new_due(struct pool *pool, struct pool_due *due)
{
    if (!pool->first_new_due)
        return false;
    *due = describe(pool->first_new_due);
    pool->first_new_due = TAILQ_NEXT(pool->first_new_due, in_pool);
    return true;
}

bool
pool_next_due(struct pool *pool, struct pool_due *due)
{
    struct due *first = TAILQ_FIRST(&pool->dues);

    if (!first)
        return false;
    pool_due_forget(pool, first);
    *due = describe(first);
    discard(first);
    return true;
}
