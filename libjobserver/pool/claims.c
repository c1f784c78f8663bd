/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Claims: whose token pays for whose implicit slot (rule 2), and who waits for that.
 *
 * Who has asked in vain has a wish, which names its ancestors. Whatever adds to what may be claimed only
 * notes that; before a call returns pool_serve_wishes() looks through all wishes, the oldest first. There
 * are as many as programs that wait for their first token, and mostly none.
 */
#include "libjobserver/pool/private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* --- claims --- */

/* What it holds, and what it has claimed itself: else processes that start one another, each of which
 * waits for the next, would need a token each, and wait for ever once all are taken so. */
unsigned
pool_holder_claimable(const struct pool_holder *holder)
{
    return holder->held + (holder->claimed_from != NULL);
}

/* The program that made the claim is gone, and its keeper is all that is left of the group. */
static bool
is_left_behind(struct pool_holder *claimer)
{
    return claimer->is_group && !container_of(claimer, struct pool_group, holder)->founder;
}

static struct pool_holder *
first_to_lose(const struct pool_holder *holder)
{
    struct pool_holder *claimer;

    TAILQ_FOREACH (claimer, &holder->claimers, in_claimers)
        if (is_left_behind(claimer))
            return claimer;
    return TAILQ_LAST(&holder->claimers, pool_holders);
}

/* Of what the holder has, what pays for nobody. */
static unsigned
idle_of(struct pool_holder *holder)
{
    const struct pool_opening *opening;
    unsigned idle = 0;

    if (!holder->is_group)
        return 0;
    TAILQ_FOREACH (opening, &container_of(holder, struct pool_group, holder)->openings, in_group)
        idle += opening->idle;
    return idle;
}

struct pool_holder *
pool_claimer_to_pay(struct pool_holder *holder)
{
    unsigned idle = idle_of(holder);

    /* Where some are idle it is one of these. */
    if (holder->claims + (idle > 0 ? idle - 1 : 0) < pool_holder_claimable(holder))
        return NULL;
    struct pool_holder *claimer = first_to_lose(holder);
    return claimer && !claimer->pays_implicit ? claimer : NULL;
}

/* And with it those that were claimed on, from one to the next: it was one token's worth. */
void
pool_claim_end(struct pool *pool, struct pool_holder *claimer)
{
    while (claimer && claimer->claimed_from) {
        struct pool_holder *ancestor = claimer->claimed_from;

        TAILQ_REMOVE(&ancestor->claimers, claimer, in_claimers);
        ancestor->claims--;
        claimer->claimed_from = NULL;
        claimer->claim_ordinal = 0;
        pool_holder_count_unpaid(pool, claimer);
        pool_holder_changed(pool, claimer);
        pool_account_add(pool, claimer->account, (struct pool_change){.claimed = -1});
        pool->has_new_claimable = true;
        claimer = claimer->claims > pool_holder_claimable(claimer) ? first_to_lose(claimer) : NULL;
    }
}

void
pool_claim_begin(struct pool *pool, struct pool_holder *claimer, struct pool_holder *ancestor)
{
    claimer->claimed_from = ancestor;
    claimer->claim_ordinal = ++pool->next_ordinal;
    pool_holder_count_unpaid(pool, claimer);
    pool_holder_changed(pool, claimer);
    pool_account_add(pool, claimer->account, (struct pool_change){.claimed = 1});
    ancestor->claims++;
    TAILQ_INSERT_TAIL(&ancestor->claimers, claimer, in_claimers);
    pool->has_new_claimable = true; /* it may be claimed on */
}

bool
pool_claim_is_circle(const struct pool_holder *claimer, const struct pool_holder *ancestor)
{
    for (const struct pool_holder *up = ancestor; up; up = up->claimed_from)
        if (up == claimer)
            return true;
    return false;
}

static bool
may_claim(const struct pool_holder *claimer, struct pool_holder *ancestor)
{
    /* Mostly there is nothing, which is soon seen. */
    return ancestor->claims < pool_holder_claimable(ancestor) &&
           ancestor->claims + idle_of(ancestor) < pool_holder_claimable(ancestor) &&
           !pool_claim_is_circle(claimer, ancestor);
}

/* Whose tokens the process has: its group's, or its own. */
static struct pool_holder *
claimable_of(const struct pool_holder *claimer, struct pool_process *ancestor)
{
    if (may_claim(claimer, &ancestor->holder))
        return &ancestor->holder;
    if (ancestor->group && may_claim(claimer, &ancestor->group->holder))
        return &ancestor->group->holder;
    return NULL;
}

static struct pool_holder *
claimer_of(struct pool_process *process)
{
    return process->group ? &process->group->holder : &process->holder;
}

bool
pool_claim_implicit(struct pool *pool, struct pool_process *process, struct pool_process *ancestor,
                    int64_t now_ns)
{
    struct pool_holder *claimer = claimer_of(process);
    bool is_paid = claimer->claimed_from || claimer->pays_implicit;
    struct pool_holder *holder = is_paid || !ancestor ? NULL : claimable_of(claimer, ancestor);

    if (!is_paid && !holder)
        return false;
    if (holder)
        pool_claim_begin(pool, claimer, holder);
    pool_wish_end(pool, claimer);
    pool_serve(pool, now_ns);
    return true;
}

void
pool_trim_claims(struct pool *pool, struct pool_holder *holder)
{
    while (holder->claims > pool_holder_claimable(holder))
        pool_claim_end(pool, first_to_lose(holder));
}

static bool
is_trimmed_by(const struct pool_holder *holder, size_t returned)
{
    return holder->claims > pool_holder_claimable(holder) -
                                (returned < holder->held ? (unsigned)returned : holder->held);
}

bool
pool_write_ends_claims(const struct pool_process *process, size_t n)
{
    return is_trimmed_by(&process->holder, n) ||
           (process->group && is_trimmed_by(&process->group->holder, n));
}

bool
pool_process_has_claimed(struct pool_process *process)
{
    return claimer_of(process)->claimed_from != NULL;
}

bool
pool_process_awaits_claim(struct pool_process *process)
{
    return claimer_of(process)->wish != NULL;
}

void
pool_claim_move(struct pool *pool, struct pool_holder *from, struct pool_holder *to)
{
    struct pool_holder *ancestor = from->claimed_from;

    if (ancestor && !to->claimed_from) {
        pool_claim_end(pool, from);
        if (may_claim(to, ancestor))
            pool_claim_begin(pool, to, ancestor);
    }
    if (from->wish && !to->wish) {
        to->wish = from->wish;
        to->wish->holder = to;
        from->wish = NULL;
        pool_holder_changed(pool, to);
        pool_holder_changed(pool, from);
    }
    pool_wish_end(pool, from);
    pool->has_new_claimable = true; /* what the group has, to those below its new member */
}

/* --- waiting for one --- */

static void
wish_destroy(struct pool *pool, struct pool_wish *wish)
{
    wish->user->wishes--;
    for (size_t i = 0; i < wish->count; i++)
        wish->ancestors[i]->wishes--;
    TAILQ_REMOVE(&pool->wishes, wish, in_pool);
    TAILQ_REMOVE(&wish->opening->wishes, wish, in_opening);
    free(wish);
}

void
pool_wish_change_user(struct pool_holder *holder, struct pool_user *user)
{
    if (!holder->wish)
        return;
    holder->wish->user->wishes--;
    holder->wish->user = user;
    user->wishes++;
}

void
pool_wish_end(struct pool *pool, struct pool_holder *holder)
{
    if (!holder->wish)
        return;
    wish_destroy(pool, holder->wish);
    holder->wish = NULL;
    pool_holder_changed(pool, holder);
}

/* In the place of the one that the holder has already. */
static struct pool_wish *
wish_create(struct pool *pool, struct pool_holder *holder, struct pool_opening *opening,
            struct pool_process *const *ancestors, size_t count)
{
    struct pool_wish *wish = calloc(1, sizeof(*wish) + count * sizeof(struct pool_process *));

    if (!wish)
        return NULL;
    wish->user = holder->account->user;
    wish->user->wishes++;
    wish->holder = holder;
    wish->opening = opening;
    wish->count = count;
    for (size_t i = 0; i < count; i++) {
        wish->ancestors[i] = ancestors[i];
        ancestors[i]->wishes++;
    }
    if (holder->wish)
        TAILQ_INSERT_BEFORE(holder->wish, wish, in_pool);
    else
        TAILQ_INSERT_TAIL(&pool->wishes, wish, in_pool);
    TAILQ_INSERT_TAIL(&opening->wishes, wish, in_opening);
    return wish;
}

/* Each of a user's makes whatever may be claimed cost more, for all. */
static bool
may_wish(const struct pool_holder *holder)
{
    const struct pool_user *user = holder->account->user;

    return user->wishes < WISHES_PER_USER || (holder->wish && holder->wish->user == user);
}

int
pool_await_claim(struct pool *pool, struct pool_opening *opening, struct pool_process *process,
                 struct pool_process *const *ancestors, size_t count)
{
    struct pool_holder *holder = claimer_of(process);
    struct pool_wish *wish =
        count > 0 && may_wish(holder) ? wish_create(pool, holder, opening, ancestors, count) : NULL;

    pool_wish_end(pool, holder);
    if (!wish)
        return count > 0 ? -ENOMEM : 0;
    holder->wish = wish;
    pool_holder_changed(pool, holder);
    return 0;
}

int
pool_wish_restore(struct pool *pool, struct pool_holder *holder, struct pool_opening *opening)
{
    holder->wish = wish_create(pool, holder, opening, NULL, 0);
    if (!holder->wish)
        return -ENOMEM;
    holder->wish->is_granted = true;
    return 0;
}

void
pool_wishes_forget(struct pool *pool, struct pool_process *ancestor)
{
    struct pool_wish *wish;

    TAILQ_FOREACH (wish, &pool->wishes, in_pool) {
        size_t kept = 0;

        if (ancestor->wishes == 0)
            return;
        for (size_t i = 0; i < wish->count; i++) {
            if (wish->ancestors[i] == ancestor)
                ancestor->wishes--;
            else
                wish->ancestors[kept++] = wish->ancestors[i];
        }
        wish->count = kept;
    }
}

/* --- getting it --- */

void
pool_claimable_grew(struct pool *pool, struct pool_holder *holder)
{
    const struct pool_process *process;

    if (!holder->is_group) {
        process = container_of(holder, struct pool_process, holder);
        pool->has_new_claimable |= process->wishes > 0;
        return;
    }
    TAILQ_FOREACH (process, &container_of(holder, struct pool_group, holder)->members, in_group)
        pool->has_new_claimable |= process->wishes > 0;
}

static struct pool_holder *
find_claimable(const struct pool_wish *wish)
{
    struct pool_holder *found = NULL;

    for (size_t i = 0; i < wish->count && !found; i++)
        found = claimable_of(wish->holder, wish->ancestors[i]);
    return found;
}

bool
pool_wish_is_grantable(const struct pool_wish *wish)
{
    return !wish->is_granted && (wish->holder->claimed_from || find_claimable(wish));
}

/* A blocked read stays: whoever waits for a claim as well must poll. */
static void
leave_queue(struct pool *pool, const struct pool_wish *wish)
{
    struct pool_waiter *waiter, *next;

    for (waiter = TAILQ_FIRST(&wish->opening->waiters); waiter; waiter = next) {
        next = TAILQ_NEXT(waiter, in_opening);
        if (waiter->kind == WAITER_READER)
            return;
        if (waiter->holder == wish->holder)
            pool_waiter_end(pool, waiter, STEVED_EVENT_WAITS_NO_MORE);
    }
}

static void
wish_grant(struct pool *pool, struct pool_wish *wish)
{
    if (!wish->holder->claimed_from) {
        struct pool_holder *ancestor = find_claimable(wish);
        assert(ancestor);
        pool_claim_begin(pool, wish->holder, ancestor);
    }
    wish->is_granted = true;
    leave_queue(pool, wish);
    pool_due(pool, &wish->opening->notify_due, POOL_DUE_NOTIFY);
}

/* What is granted may be claimed on by somebody who has waited longer. */
void
pool_serve_wishes(struct pool *pool)
{
    struct pool_wish *wish;

    while (pool->has_new_claimable) {
        pool->has_new_claimable = false;
        TAILQ_FOREACH (wish, &pool->wishes, in_pool)
            if (pool_wish_is_grantable(wish))
                wish_grant(pool, wish);
    }
}

/* --- being told --- */

bool
pool_claim_has_come(struct pool_opening *opening)
{
    struct pool_wish *wish;
    bool has_come = false;

    TAILQ_FOREACH (wish, &opening->wishes, in_opening) {
        wish->is_told |= wish->is_granted;
        has_come |= wish->is_granted;
    }
    return has_come;
}

/* An older client waits for a token only: told again and again it would never sleep. */
void
pool_wishes_read_in_vain(struct pool *pool, struct pool_opening *opening)
{
    struct pool_wish *wish, *next;

    for (wish = TAILQ_FIRST(&opening->wishes); wish; wish = next) {
        next = TAILQ_NEXT(wish, in_opening);
        if (wish->is_told)
            pool_wish_end(pool, wish->holder);
    }
}
