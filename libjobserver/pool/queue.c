/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Who waits, and whose turn it is (rule 8).
 *
 * Within an account it is first come, first served. Among the accounts that wait, those that have no
 * token at all come before all others. Then it is the one with the fewest tokens for its weight, found
 * in a heap; among equals the one that was served (or came to the queue first) longest ago, so that an
 * account with many waiters gains nothing by them, not even against one that comes back to the queue
 * only after each of its jobs.
 *
 * An account that was passed over `capacity` times goes before those that have some: whenever one is served, those that
 * stand before it in pool->waiting, which is in the order of waiting, have been passed over once
 * more. The first of the list has always been passed over most often, so only its count is needed:
 * passed_over_first. The others' are kept as steps from one to the next (the count of an account is
 * the sum of passed_over_step from it to the end of the list), and adding one to all that stand
 * before somebody is one addition.
 */
#include "libjobserver/pool/private.h"

#include <assert.h>
#include <stdlib.h>

bool
pool_has_none(const struct pool_account *account)
{
    return account->tokens + account->claimed == 0 || account->needy > 0;
}

uint64_t
pool_tokens_counted(const struct pool_account *account)
{
    return account->tokens - account->implicit;
}

bool
pool_account_before(struct heap_node *a, struct heap_node *b)
{
    const struct pool_account *first = container_of(a, struct pool_account, in_by_share);
    const struct pool_account *second = container_of(b, struct pool_account, in_by_share);
    uint64_t first_share = pool_tokens_counted(first) * second->weight;
    uint64_t second_share = pool_tokens_counted(second) * first->weight;

    if (pool_has_none(first) != pool_has_none(second))
        return pool_has_none(first);
    if (first_share != second_share)
        return first_share < second_share;
    return first->last_served < second->last_served;
}

bool
pool_deadline_before(struct heap_node *a, struct heap_node *b)
{
    return container_of(a, struct pool_waiter, in_deadlines)->deadline_ns <
           container_of(b, struct pool_waiter, in_deadlines)->deadline_ns;
}

void
pool_account_changed(struct pool *pool, struct pool_account *account)
{
    if (heap_contains(&account->in_by_share))
        heap_moved(&pool->by_share, &account->in_by_share);
}

/* --- accounts that wait --- */

static void
account_starts_waiting(struct pool *pool, struct pool_account *account)
{
    account->passed_over_step = 0;
    if (account->last_served == 0) {
        account->last_served = ++pool->next_turn;
        pool_row_changed(pool, POOL_ROW_ACCOUNT, account->row);
    }
    TAILQ_INSERT_TAIL(&pool->waiting, account, in_waiting);
    heap_insert(&pool->by_share, &account->in_by_share);
}

static void
account_stops_waiting(struct pool *pool, struct pool_account *account)
{
    struct pool_account *longer = TAILQ_PREV(account, pool_accounts, in_waiting);

    if (longer)
        longer->passed_over_step += account->passed_over_step;
    else
        pool->passed_over_first -= account->passed_over_step;
    TAILQ_REMOVE(&pool->waiting, account, in_waiting);
    heap_remove(&pool->by_share, &account->in_by_share);
}

static void
count_passed_over(struct pool *pool, struct pool_account *served)
{
    struct pool_account *longer = TAILQ_PREV(served, pool_accounts, in_waiting);

    if (!longer)
        return;
    longer->passed_over_step++;
    pool->passed_over_first++;
}

static struct pool_account *
next_account(const struct pool *pool)
{
    if (TAILQ_EMPTY(&pool->waiting))
        return NULL;
    struct pool_account *poorest =
        container_of(heap_first(&pool->by_share), struct pool_account, in_by_share);
    if (!pool_has_none(poorest) && pool->passed_over_first >= pool->capacity)
        return TAILQ_FIRST(&pool->waiting);
    return poorest;
}

unsigned
pool_count_needy(const struct pool *pool)
{
    const struct pool_account *account;
    unsigned count = 0;

    TAILQ_FOREACH (account, &pool->waiting, in_waiting)
        count += pool_has_none(account);
    return count;
}

const struct pool_account *
pool_poorest_waiting(const struct pool *pool)
{
    struct heap_node *first = heap_first(&pool->by_share);

    return first ? container_of(first, struct pool_account, in_by_share) : NULL;
}

/* --- waiters in and out of the queue --- */

bool
pool_holder_is_full(const struct pool *pool, const struct pool_holder *holder)
{
    return pool->per_process_limit > 0 &&
           holder->held + holder->reserved >= pool->per_process_limit;
}

static void
enqueue(struct pool *pool, struct pool_waiter *waiter)
{
    struct pool_account *account = waiter->holder->account;

    waiter->state = WAITER_QUEUED;
    waiter->holder->queued++;
    TAILQ_INSERT_TAIL(&account->queue, waiter, in_queue);
    if (!heap_contains(&account->in_by_share))
        account_starts_waiting(pool, account);
}

static void
dequeue(struct pool *pool, struct pool_waiter *waiter)
{
    struct pool_account *account = waiter->holder->account;

    waiter->holder->queued--;
    TAILQ_REMOVE(&account->queue, waiter, in_queue);
    if (TAILQ_EMPTY(&account->queue))
        account_stops_waiting(pool, account);
}

static void
park(struct pool_waiter *waiter)
{
    waiter->state = WAITER_PARKED;
    waiter->holder->parked++;
    TAILQ_INSERT_TAIL(&waiter->holder->parked_waiters, waiter, in_queue);
}

static void
unpark(struct pool_waiter *waiter)
{
    waiter->holder->parked--;
    TAILQ_REMOVE(&waiter->holder->parked_waiters, waiter, in_queue);
}

/* More waiters of a holder in the queue than it could be served would only be turned away there. */
static bool
may_queue(const struct pool *pool, const struct pool_holder *holder)
{
    return pool->per_process_limit == 0 ||
           holder->held + holder->reserved + holder->queued < pool->per_process_limit;
}

void
pool_unpark(struct pool *pool, struct pool_holder *holder)
{
    struct pool_waiter *waiter;

    while ((waiter = TAILQ_FIRST(&holder->parked_waiters)) && may_queue(pool, holder)) {
        unpark(waiter);
        enqueue(pool, waiter);
    }
}

static void
leave_line(struct pool *pool, struct pool_waiter *waiter)
{
    if (waiter->state == WAITER_QUEUED)
        dequeue(pool, waiter);
    else if (waiter->state == WAITER_PARKED)
        unpark(waiter);
}

static void
join_line(struct pool *pool, struct pool_waiter *waiter)
{
    if (may_queue(pool, waiter->holder))
        enqueue(pool, waiter);
    else
        park(waiter);
}

struct pool_waiter *
pool_wait(struct pool *pool, enum waiter_kind kind, struct pool_opening *opening,
          struct pool_process *process, void *reader)
{
    struct pool_waiter *waiter = calloc(1, sizeof(*waiter));

    if (!waiter)
        return NULL;
    waiter->kind = kind;
    waiter->process = process;
    waiter->opening = opening;
    waiter->holder = pool_holder_of(opening, process);
    waiter->reader = reader;
    TAILQ_INSERT_TAIL(&process->waiters, waiter, in_process);
    if (kind == WAITER_READER)
        TAILQ_INSERT_TAIL(&opening->waiters, waiter, in_opening);
    else
        TAILQ_INSERT_HEAD(&opening->waiters, waiter, in_opening);
    pool->waiter_count++;
    join_line(pool, waiter);
    return waiter;
}

struct pool_waiter *
pool_next_waiter(struct pool *pool)
{
    struct pool_account *account;

    while ((account = next_account(pool))) {
        struct pool_waiter *waiter = TAILQ_FIRST(&account->queue);

        if (pool_holder_is_full(pool, waiter->holder)) {
            dequeue(pool, waiter);
            park(waiter);
            continue;
        }
        count_passed_over(pool, account);
        waiter->holder->queued--;
        TAILQ_REMOVE(&account->queue, waiter, in_queue);
        account_stops_waiting(pool, account);
        account->last_served = ++pool->next_turn;
        pool_row_changed(pool, POOL_ROW_ACCOUNT, account->row);
        if (!TAILQ_EMPTY(&account->queue))
            account_starts_waiting(pool, account);
        waiter->state = WAITER_NEXT;
        return waiter;
    }
    return NULL;
}

/* --- tokens set aside --- */

void
pool_set_deadline(struct pool *pool, struct pool_waiter *waiter, int64_t deadline_ns)
{
    waiter->deadline_ns = deadline_ns;
    if (heap_contains(&waiter->in_deadlines))
        heap_moved(&pool->deadlines, &waiter->in_deadlines);
    else
        heap_insert(&pool->deadlines, &waiter->in_deadlines);
}

void
pool_set_aside(struct pool *pool, struct pool_waiter *waiter, enum waiter_state state,
               int64_t deadline_ns)
{
    assert(pool->free > 0);
    pool->free--;
    pool->reserved++;
    waiter->state = state;
    TAILQ_REMOVE(&waiter->process->waiters, waiter, in_process);
    TAILQ_INSERT_HEAD(&waiter->process->waiters, waiter, in_process);
    waiter->holder->reserved++;
    waiter->holder->account->tokens++;
    pool_account_changed(pool, waiter->holder->account);
    pool_set_deadline(pool, waiter, deadline_ns);
}

static void
end_set_aside(struct pool *pool, struct pool_waiter *waiter)
{
    assert(pool->debt == 0);
    heap_remove(&pool->deadlines, &waiter->in_deadlines);
    pool->reserved--;
    pool->free++;
    waiter->holder->reserved--;
    waiter->holder->account->tokens--;
    pool_account_changed(pool, waiter->holder->account);
}

void
pool_waiter_end(struct pool *pool, struct pool_waiter *waiter)
{
    struct pool_holder *holder = waiter->holder;

    if (heap_contains(&waiter->in_deadlines))
        end_set_aside(pool, waiter);
    else
        leave_line(pool, waiter);
    TAILQ_REMOVE(&waiter->process->waiters, waiter, in_process);
    TAILQ_REMOVE(&waiter->opening->waiters, waiter, in_opening);
    pool->waiter_count--;
    if (waiter->state != WAITER_ANSWERED)
        free(waiter);
    pool_unpark(pool, holder);
}

void
pool_waiter_answer(struct pool *pool, struct pool_waiter *waiter, enum pool_due_kind answer)
{
    leave_line(pool, waiter);
    waiter->state = WAITER_ANSWERED;
    pool_due(pool, &waiter->due, answer);
    pool_waiter_end(pool, waiter);
}

void
pool_waiter_recharge(struct pool *pool, struct pool_waiter *waiter)
{
    struct pool_holder *before = waiter->holder;
    struct pool_holder *now = pool_holder_of(waiter->opening, waiter->process);

    if (before == now)
        return;
    if (heap_contains(&waiter->in_deadlines)) {
        before->reserved--;
        before->account->tokens--;
        now->reserved++;
        now->account->tokens++;
        pool_account_changed(pool, before->account);
        pool_account_changed(pool, now->account);
        waiter->holder = now;
    } else {
        leave_line(pool, waiter);
        waiter->holder = now;
        join_line(pool, waiter);
    }
    pool_unpark(pool, before);
}
