/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Who waits, and whose turn it is (rule 8).
 *
 * First it is decided between users, then between the accounts of the user, and within an account it is first
 * come, first served. Of users, and of accounts, those that have no token at all come before all others. Then
 * it is the one with the fewest tokens for its weight, found in a heap; among equals the one that was served
 * (or came to the queue first) longest ago, so that an account with many waiters, or a user with many
 * accounts, gains nothing by them, not even against one that comes back to the queue only after each of its
 * jobs.
 *
 * An account that was passed over `capacity` times goes before those of the same user that have some: whenever
 * one is served, those that stand before it in user->waiting, which is in the order of waiting, have been
 * passed over once more. The first of the list has always been passed over most often, so only its count is
 * needed: passed_over_first. The others' are kept as steps from one to the next (the count of an account is
 * the sum of passed_over_step from it to the end of the list), and adding one to all that stand
 * before somebody is one addition. Users have no such turns: who keeps what it gets would have all in the end.
 *
 * An account that is paused stands in neither list, whatever its queue.
 */
#include "libjobserver/pool/private.h"

#include <assert.h>
#include <stdlib.h>

/* --- orders --- */

bool
pool_share_is_none(const struct pool_share *share)
{
    return share->tokens + share->claimed == 0;
}

bool
pool_has_none(const struct pool_account *account)
{
    return pool_share_is_none(&account->share) || account->needy > 0;
}

uint64_t
pool_tokens_counted(const struct pool_share *share)
{
    return share->tokens - share->implicit;
}

static bool
share_before(const struct pool_share *first, const struct pool_share *second)
{
    uint64_t first_share = pool_tokens_counted(first) * second->weight;
    uint64_t second_share = pool_tokens_counted(second) * first->weight;

    if (first_share != second_share)
        return first_share < second_share;
    return first->last_served < second->last_served;
}

bool
pool_account_before(struct heap_node *a, struct heap_node *b)
{
    const struct pool_account *first = container_of(a, struct pool_account, in_by_share);
    const struct pool_account *second = container_of(b, struct pool_account, in_by_share);

    if (pool_has_none(first) != pool_has_none(second))
        return pool_has_none(first);
    return share_before(&first->share, &second->share);
}

/* What somebody needs below one of its accounts is for that one's order only: anybody can say so. */
bool
pool_user_before(struct heap_node *a, struct heap_node *b)
{
    const struct pool_share *first = &container_of(a, struct pool_user, in_by_share)->share;
    const struct pool_share *second = &container_of(b, struct pool_user, in_by_share)->share;

    if (pool_share_is_none(first) != pool_share_is_none(second))
        return pool_share_is_none(first);
    return share_before(first, second);
}

bool
pool_deadline_before(struct heap_node *a, struct heap_node *b)
{
    return container_of(a, struct pool_waiter, in_deadlines)->deadline_ns <
           container_of(b, struct pool_waiter, in_deadlines)->deadline_ns;
}

/* --- users and accounts that wait --- */

bool
pool_user_is_full(const struct pool *pool, const struct pool_user *user)
{
    return pool->per_user_limit > 0 && user->share.tokens >= pool->per_user_limit;
}

void
pool_user_changed(struct pool *pool, struct pool_user *user)
{
    bool may_be_next = user->by_share.count > 0 && !pool_user_is_full(pool, user);

    if (!heap_contains(&user->in_by_share)) {
        if (may_be_next)
            heap_insert(&pool->by_share, &user->in_by_share);
    } else if (!may_be_next) {
        heap_remove(&pool->by_share, &user->in_by_share);
    } else if (pool->by_share.count > 1) {
        heap_moved(&pool->by_share, &user->in_by_share);
    }
}

void
pool_account_changed(struct pool *pool, struct pool_account *account)
{
    if (heap_contains(&account->in_by_share))
        heap_moved(&account->user->by_share, &account->in_by_share);
    pool_user_changed(pool, account->user);
}

static void
set_last_served(struct pool *pool, struct pool_account *account)
{
    account->share.last_served = ++pool->next_turn;
    pool_row_changed(pool, POOL_ROW_ACCOUNT, account->row);
}

static void
account_starts_waiting(struct pool *pool, struct pool_account *account)
{
    struct pool_user *user = account->user;

    account->passed_over_step = 0;
    if (account->share.last_served == 0)
        set_last_served(pool, account);
    if (user->share.last_served == 0)
        user->share.last_served = account->share.last_served;
    TAILQ_INSERT_TAIL(&user->waiting, account, in_waiting);
    heap_insert(&user->by_share, &account->in_by_share);
    pool_user_changed(pool, user);
}

static void
leave_waiting(struct pool_account *account)
{
    struct pool_account *longer = TAILQ_PREV(account, pool_accounts, in_waiting);

    if (longer)
        longer->passed_over_step += account->passed_over_step;
    else
        account->user->passed_over_first -= account->passed_over_step;
    TAILQ_REMOVE(&account->user->waiting, account, in_waiting);
}

static void
account_stops_waiting(struct pool *pool, struct pool_account *account)
{
    leave_waiting(account);
    heap_remove(&account->user->by_share, &account->in_by_share);
    pool_user_changed(pool, account->user);
}

/* The first of its queue has gone. */
static void
account_served(struct pool *pool, struct pool_account *account)
{
    struct pool_user *user = account->user;

    leave_waiting(account);
    set_last_served(pool, account);
    user->share.last_served = account->share.last_served;
    if (TAILQ_EMPTY(&account->queue)) {
        heap_remove(&user->by_share, &account->in_by_share);
    } else {
        account->passed_over_step = 0;
        TAILQ_INSERT_TAIL(&user->waiting, account, in_waiting);
        heap_moved(&user->by_share, &account->in_by_share);
    }
    pool_user_changed(pool, user);
}

static void
count_passed_over(struct pool_account *served)
{
    struct pool_account *longer = TAILQ_PREV(served, pool_accounts, in_waiting);

    if (!longer)
        return;
    longer->passed_over_step++;
    served->user->passed_over_first++;
}

static struct pool_account *
poorest_waiting(const struct pool *pool)
{
    struct heap_node *first = heap_first(&pool->by_share);

    if (!first)
        return NULL;
    const struct pool_user *user = container_of(first, struct pool_user, in_by_share);
    return container_of(heap_first(&user->by_share), struct pool_account, in_by_share);
}

const struct pool_account *
pool_poorest_waiting(const struct pool *pool)
{
    return poorest_waiting(pool);
}

static struct pool_account *
next_account(const struct pool *pool)
{
    struct pool_account *poorest = poorest_waiting(pool);

    if (poorest && !pool_has_none(poorest) && poorest->user->passed_over_first >= pool->capacity)
        return TAILQ_FIRST(&poorest->user->waiting);
    return poorest;
}

unsigned
pool_count_needy(const struct pool *pool)
{
    const struct pool_user *user;
    const struct pool_account *account;
    unsigned count = 0;

    TAILQ_FOREACH (user, &pool->users, in_pool)
        TAILQ_FOREACH (account, &user->waiting, in_waiting)
            count += pool_has_none(account);
    return count;
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
    if (account->pause)
        pool->paused_waiters++;
    else if (!heap_contains(&account->in_by_share))
        account_starts_waiting(pool, account);
}

static void
dequeue(struct pool *pool, struct pool_waiter *waiter)
{
    struct pool_account *account = waiter->holder->account;

    waiter->holder->queued--;
    TAILQ_REMOVE(&account->queue, waiter, in_queue);
    if (account->pause)
        pool->paused_waiters--;
    else if (TAILQ_EMPTY(&account->queue))
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
    waiter->since_ns = pool_told_ns(pool);
    pool_tell_of(pool, STEVED_EVENT_WAITS, waiter->holder, 0);
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
        count_passed_over(account);
        waiter->holder->queued--;
        TAILQ_REMOVE(&account->queue, waiter, in_queue);
        account_served(pool, account);
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
    pool_account_add(pool, waiter->holder->account, (struct pool_change){.tokens = 1});
    pool_set_deadline(pool, waiter, deadline_ns);
    pool_tell_of(pool, STEVED_EVENT_RESERVED, waiter->holder, 1);
}

static void
end_set_aside(struct pool *pool, struct pool_waiter *waiter)
{
    assert(pool->debt == 0);
    heap_remove(&pool->deadlines, &waiter->in_deadlines);
    pool->reserved--;
    pool->free++;
    waiter->holder->reserved--;
    pool_account_add(pool, waiter->holder->account, (struct pool_change){.tokens = -1});
}

void
pool_waiter_end(struct pool *pool, struct pool_waiter *waiter, enum steved_event_kind why)
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
    if (why != POOL_WAIT_GRANTED)
        pool_tell_of(pool, why, holder, 0);
    pool_unpark(pool, holder);
}

void
pool_waiter_answer(struct pool *pool, struct pool_waiter *waiter, enum pool_due_kind answer)
{
    leave_line(pool, waiter);
    waiter->state = WAITER_ANSWERED;
    pool_due(pool, &waiter->due, answer);
    pool_waiter_end(pool, waiter,
                    answer == POOL_DUE_GRANT ? POOL_WAIT_GRANTED : STEVED_EVENT_WAITS_NO_MORE);
}

void
pool_waiter_recharge(struct pool *pool, struct pool_waiter *waiter)
{
    struct pool_holder *before = waiter->holder;
    struct pool_holder *now = pool_holder_of(waiter->opening, waiter->process);

    if (before == now)
        return;
    pool_tell_came(pool, now);
    if (heap_contains(&waiter->in_deadlines)) {
        before->reserved--;
        pool_account_add(pool, before->account, (struct pool_change){.tokens = -1});
        now->reserved++;
        pool_account_add(pool, now->account, (struct pool_change){.tokens = 1});
        waiter->holder = now;
        if (now->account->pause)
            pool_waiter_end(pool, waiter, STEVED_EVENT_WAITS_NO_MORE);
    } else {
        leave_line(pool, waiter);
        waiter->holder = now;
        join_line(pool, waiter);
    }
    pool_unpark(pool, before);
}

/* --- accounts that are paused --- */

/* Whoever has been told of it asks again, and then waits. */
static void
end_all_set_aside(struct pool *pool, const struct pool_account *account)
{
    for (size_t i = 0; i < pool->deadlines.count;) {
        struct pool_waiter *waiter =
            container_of(pool->deadlines.nodes[i], struct pool_waiter, in_deadlines);
        bool is_its = waiter->holder->account == account;
        if (is_its)
            pool_waiter_end(pool, waiter, STEVED_EVENT_WAITS_NO_MORE);
        i = is_its ? 0 : i + 1; /* the heap has another order now */
    }
}

static unsigned
count_queue(const struct pool_account *account)
{
    const struct pool_waiter *waiter;
    unsigned count = 0;

    TAILQ_FOREACH (waiter, &account->queue, in_queue)
        count++;
    return count;
}

void
pool_account_mark_pause(struct pool *pool, struct pool_account *account, enum pool_pause pause)
{
    pool->paused_accounts += pause != POOL_NOT_PAUSED;
    pool->paused_accounts -= account->pause != POOL_NOT_PAUSED;
    account->pause = pause;
}

void
pool_account_set_pause(struct pool *pool, struct pool_account *account, enum pool_pause pause,
                       int64_t now_ns)
{
    const bool was_paused = account->pause, is_paused = pause;

    if (account->pause == pause)
        return;
    pool_account_mark_pause(pool, account, pause);
    pool_row_changed(pool, POOL_ROW_ACCOUNT, account->row);
    if (pool_is_read(pool))
        pool_add_pause(pool, account);
    if (was_paused == is_paused)
        return;
    if (is_paused) {
        pool->paused_waiters += count_queue(account);
        if (!TAILQ_EMPTY(&account->queue))
            account_stops_waiting(pool, account);
        end_all_set_aside(pool, account);
    } else {
        pool->paused_waiters -= count_queue(account);
        if (!TAILQ_EMPTY(&account->queue))
            account_starts_waiting(pool, account);
    }
    pool_serve(pool, now_ns);
    pool_recall(pool, now_ns);
}
