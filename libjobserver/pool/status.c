/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What can be seen of a pool, and the check that everything in it hangs together. */
#include "libjobserver/pool/private.h"

#include <stdlib.h>

/* Rule 2: a direct client runs one job more than it holds, unless somebody paid for that one. */
static bool
is_unpaid(const struct pool_process *process)
{
    return process->is_client && !process->is_paid_by_parent && !process->group &&
           !process->holder.claimed_from && !process->holder.pays_implicit;
}

void
pool_get_status(const struct pool *pool, struct pool_status *status)
{
    struct pool_holder *holder;

    *status = (struct pool_status){
        .capacity = pool->capacity,
        .free = pool->free,
        .held = pool->held,
        .reserved = pool->reserved,
        .debt = pool->debt,
        .waiting = pool->waiter_count - pool->reserved,
        .accounts = pool->account_count,
        .processes = pool->process_count,
        .granted = pool->granted,
        .returned = pool->returned,
        .foreign = pool->foreign,
        .dropped = pool->dropped,
        .reclaimed = pool->reclaimed,
        .lapsed = pool->lapsed,
    };
    TAILQ_FOREACH (holder, &pool->holders, in_pool)
        if (!holder->is_group)
            status->unpaid += is_unpaid(container_of(holder, struct pool_process, holder));
}

unsigned
pool_used(const struct pool *pool)
{
    return pool->held + pool->reserved;
}

unsigned
pool_excess(const struct pool *pool)
{
    unsigned used = pool_used(pool);

    return used > pool->throttle ? used - pool->throttle : 0;
}

bool
pool_is_throttled(const struct pool *pool)
{
    return pool_used(pool) >= pool->throttle && pool->waiter_count > pool->reserved;
}

static bool
is_shown(struct pool_holder *holder)
{
    if (holder->is_group || holder->held + holder->reserved + holder->queued + holder->parked > 0)
        return true;
    return container_of(holder, struct pool_process, holder)->is_client;
}

static struct pool_client
describe(struct pool_holder *holder)
{
    struct pool_process *first = container_of(holder, struct pool_process, holder), *second = NULL;

    if (holder->is_group) {
        first = TAILQ_FIRST(&container_of(holder, struct pool_group, holder)->members);
        second = TAILQ_NEXT(first, in_group);
    }
    return (struct pool_client){
        .account = holder->account->key,
        .weight = holder->account->weight,
        .pid = first->pid,
        .keeper = second ? second->pid : 0,
        .held = holder->held,
        .reserved = holder->reserved,
        .waiting = holder->queued + holder->parked,
        .claims = holder->claims,
        .has_claimed = holder->claimed_from != NULL,
        .is_group = holder->is_group,
        .pays_implicit = holder->pays_implicit,
        .is_unpaid = !holder->is_group && is_unpaid(first),
    };
}

size_t
pool_get_clients(const struct pool *pool, uint64_t *cursor, struct pool_client *clients, size_t max)
{
    struct pool_holder *holder;
    size_t count = 0;

    TAILQ_FOREACH (holder, &pool->holders, in_pool) {
        if (count == max)
            break;
        if (holder->ordinal <= *cursor || !is_shown(holder))
            continue;
        clients[count++] = describe(holder);
        *cursor = holder->ordinal;
    }
    return count;
}

/* --- the check --- */

struct totals {
    unsigned held, reserved, queued, parked, holders, implicit, claimed, loans, wishes;
};

static const char *
check_waiters(const struct pool_process *process, struct totals *totals)
{
    struct pool_waiter *waiter;
    bool all_set_aside = true;

    TAILQ_FOREACH (waiter, &process->waiters, in_process) {
        bool set_aside = waiter->state == WAITER_OFFERED || waiter->state == WAITER_RESERVED;
        if (set_aside && !all_set_aside)
            return "those for whom a token is set aside do not come first";
        all_set_aside = set_aside;
        if (waiter->process != process)
            return "a waiter is in another process' list";
        if (waiter->holder != pool_holder_of(waiter->opening, waiter->process))
            return "a waiter is charged to the wrong holder";
        if (set_aside != heap_contains(&waiter->in_deadlines))
            return "a reservation has no deadline, or a waiter has one";
        if (set_aside && waiter->kind == WAITER_READER)
            return "a token is set aside for a blocked read";
        totals->reserved += set_aside;
        totals->queued += waiter->state == WAITER_QUEUED;
        totals->parked += waiter->state == WAITER_PARKED;
        if (waiter->state == WAITER_NEXT)
            return "a waiter stands nowhere";
    }
    return NULL;
}

static const char *
check_holder(const struct pool *pool, const struct pool_holder *holder)
{
    struct pool_loan *loan;
    struct pool_holder *claimer;
    unsigned held = 0, claims = 0;

    TAILQ_FOREACH (loan, &holder->loans, in_holder) {
        if (loan->holder != holder)
            return "a loan is in another holder's list";
        if (loan->is_passed_on && (loan->opening || !holder->pays_implicit))
            return "a token that was passed on pays for no implicit slot";
        held++;
    }
    TAILQ_FOREACH (claimer, &holder->claimers, in_claimers) {
        if (claimer->claimed_from != holder)
            return "a claim is in another holder's list";
        claims++;
    }
    if (held != holder->held)
        return "a holder's count of tokens is wrong";
    if (claims != holder->claims || claims > pool_holder_claimable(holder))
        return "a holder's claims are wrong, or more than it holds or has claimed";
    if (holder->pays_implicit && held == 0)
        return "an implicit slot is paid for by no token";
    if (holder->parked > 0 && pool->per_process_limit == 0)
        return "somebody is parked, and there is no limit";
    return NULL;
}

static const char *
check_holders(const struct pool *pool, struct totals *totals)
{
    struct pool_holder *holder;
    uint64_t last_ordinal = 0;

    TAILQ_FOREACH (holder, &pool->holders, in_pool) {
        const char *wrong = check_holder(pool, holder);
        if (!wrong && !holder->is_group)
            wrong = check_waiters(container_of(holder, struct pool_process, holder), totals);
        if (!wrong && holder->wish && holder->wish->holder != holder)
            wrong = "a wish is another holder's";
        if (!wrong && holder->ordinal <= last_ordinal)
            wrong = "the holders are not in their order";
        if (wrong)
            return wrong;
        last_ordinal = holder->ordinal;
        totals->held += holder->held;
        totals->implicit += holder->pays_implicit;
        totals->claimed += holder->claimed_from != NULL;
        totals->holders++;
        if (!holder->is_group)
            totals->wishes += container_of(holder, struct pool_process, holder)->wishes;
    }
    return NULL;
}

static const char *
check_account(const struct pool_account *account, struct totals *sum)
{
    struct pool_waiter *waiter;

    if (TAILQ_EMPTY(&account->queue) == heap_contains(&account->in_by_share))
        return "an account waits with no waiter, or does not with one";
    if (account->holders == 0)
        return "an account has nobody in it";
    TAILQ_FOREACH (waiter, &account->queue, in_queue) {
        if (waiter->state != WAITER_QUEUED || waiter->holder->account != account)
            return "a waiter is in another account's queue";
        sum->queued++;
    }
    sum->held += account->tokens;
    sum->implicit += account->implicit;
    sum->claimed += account->claimed;
    sum->holders += account->holders;
    return NULL;
}

static const char *
check_accounts(const struct pool *pool, const struct totals *totals)
{
    struct pool_account *account;
    struct totals sum = {0};
    unsigned waiting = 0;
    uint64_t passed_over = 0;

    TAILQ_FOREACH (account, &pool->accounts, in_pool) {
        const char *wrong = check_account(account, &sum);
        if (wrong)
            return wrong;
    }
    TAILQ_FOREACH (account, &pool->waiting, in_waiting) {
        passed_over += account->passed_over_step;
        waiting++;
    }
    if (waiting != pool->by_share.count || passed_over != pool->passed_over_first)
        return "the list of waiting accounts is wrong";
    for (size_t i = 1; i < pool->by_share.count; i++)
        if (pool_account_before(pool->by_share.nodes[i], pool->by_share.nodes[(i - 1) / 2]))
            return "the waiting accounts are not in the order of rule 8";
    if (sum.held != totals->held + totals->reserved || sum.queued != totals->queued)
        return "the accounts' sums are not the holders'";
    if (sum.implicit != totals->implicit || sum.holders != totals->holders ||
        sum.claimed != totals->claimed)
        return "the accounts' implicit slots, claims or references are wrong";
    return NULL;
}

/* Rule 2. */
static const char *
check_wishes(const struct pool *pool, const struct totals *totals)
{
    const struct pool_wish *wish;
    size_t named = 0;

    TAILQ_FOREACH (wish, &pool->wishes, in_pool) {
        if (wish->holder->wish != wish)
            return "a wish is not its holder's";
        if (wish->is_told && !wish->is_granted)
            return "a claim that has not come was told of";
        if (pool_wish_is_grantable(wish))
            return "a token may be claimed, and somebody waits for that";
        named += wish->count;
    }
    return named == totals->wishes ? NULL : "the wishes' ancestors are wrong";
}

static const char *
check_rule_1(const struct pool *pool, const struct totals *totals)
{
    if (totals->held != pool->held || totals->reserved != pool->reserved ||
        pool->reserved != pool->deadlines.count)
        return "the sums of held and reserved are wrong";
    if (pool->free + pool->held + pool->reserved != pool->capacity + pool->debt)
        return "free + held + reserved is not capacity + debt";
    if (pool->debt > 0 && pool->free + pool->reserved > 0)
        return "there is a debt, and tokens are free or reserved";
    if (totals->reserved + totals->queued + totals->parked != pool->waiter_count)
        return "the number of waiters is wrong";
    return NULL;
}

static const char *
check_rules_3_and_10(const struct pool *pool, const struct totals *totals)
{
    if (pool->free > 0 && pool_used(pool) < pool->throttle && totals->queued > 0)
        return "a token is free, and somebody waits";
    return NULL;
}

const char *
pool_check(const struct pool *pool)
{
    struct totals totals = {0};
    const char *wrong = check_holders(pool, &totals);
    if (!wrong)
        wrong = check_accounts(pool, &totals);
    if (!wrong)
        wrong = check_wishes(pool, &totals);
    if (!wrong)
        wrong = check_rule_1(pool, &totals);
    if (!wrong)
        wrong = check_rules_3_and_10(pool, &totals);
    return wrong;
}
