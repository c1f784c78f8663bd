/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What can be seen of a pool, and the check that everything in it hangs together. */
#include "libjobserver/pool/private.h"

#include <stdlib.h>

void
pool_get_status(const struct pool *pool, struct pool_status *status)
{
    *status = (struct pool_status){
        .capacity = pool->capacity,
        .free = pool->free,
        .held = pool->held,
        .reserved = pool->reserved,
        .debt = pool->debt,
        .waiting = pool->waiter_count - pool->reserved,
        .paused = pool->paused_waiters,
        .unpaid = pool->unpaid_count,
        .accounts = pool->account_count,
        .processes = pool->process_count,
        .granted = pool->granted,
        .returned = pool->returned,
        .foreign = pool->foreign,
        .dropped = pool->dropped,
        .reclaimed = pool->reclaimed,
        .lapsed = pool->lapsed,
    };
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
        .uid = holder->account->user->uid,
        .account = holder->account->key,
        .weight = holder->account->share.weight,
        .pid = first->pid,
        .keeper = second ? second->pid : 0,
        .held = holder->held,
        .reserved = holder->reserved,
        .waiting = holder->queued + holder->parked,
        .claims = holder->claims,
        .has_claimed = holder->claimed_from != NULL,
        .is_group = holder->is_group,
        .pays_implicit = holder->pays_implicit,
        .is_unpaid = !holder->is_group && first->is_unpaid,
        .is_paused = holder->account->pause,
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
    unsigned held, reserved, queued, parked, holders, implicit, claimed, loans, wishes, unpaid;
    unsigned paused_accounts, paused_waiters;
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
        if (set_aside && waiter->holder->account->pause)
            return "a token is set aside for an account that is paused";
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
        if (holder->is_group)
            continue;
        const struct pool_process *process = container_of(holder, struct pool_process, holder);
        if (process->is_unpaid != pool_process_is_unpaid(process))
            return "an implicit slot that nobody pays for is not counted, or another is";
        totals->unpaid += process->is_unpaid;
        totals->wishes += process->wishes;
    }
    return NULL;
}

static const char *
check_account(const struct pool_account *account, struct totals *sum)
{
    struct pool_waiter *waiter;
    bool waits = !TAILQ_EMPTY(&account->queue) && !account->pause;

    if (waits != heap_contains(&account->in_by_share))
        return "an account waits with no waiter or while it is paused, or does not with one";
    if (account->holders == 0)
        return "an account has nobody in it";
    TAILQ_FOREACH (waiter, &account->queue, in_queue) {
        if (waiter->state != WAITER_QUEUED || waiter->holder->account != account)
            return "a waiter is in another account's queue";
        sum->queued++;
        sum->paused_waiters += account->pause != POOL_NOT_PAUSED;
    }
    sum->paused_accounts += account->pause != POOL_NOT_PAUSED;
    sum->held += account->share.tokens;
    sum->implicit += account->share.implicit;
    sum->claimed += account->share.claimed;
    sum->holders += account->holders;
    return NULL;
}

static bool
is_in_order(const struct heap *heap)
{
    for (size_t i = 1; i < heap->count; i++)
        if (heap->before(heap->nodes[i], heap->nodes[(i - 1) / 2]))
            return false;
    return true;
}

static const char *
check_waiting(const struct pool *pool, const struct pool_user *user)
{
    const struct pool_account *account;
    unsigned waiting = 0;
    uint64_t passed_over = 0;

    TAILQ_FOREACH (account, &user->waiting, in_waiting) {
        passed_over += account->passed_over_step;
        waiting++;
    }
    if (waiting != user->by_share.count || passed_over != user->passed_over_first)
        return "the list of waiting accounts is wrong";
    if (heap_contains(&user->in_by_share) != (waiting > 0 && !pool_user_is_full(pool, user)))
        return "a user waits with no account, or is at its limit, or does not wait with one";
    return is_in_order(&user->by_share) ? NULL : "accounts are not in the order of rule 8";
}

static const char *
check_user(const struct pool *pool, const struct pool_user *user, struct totals *sum)
{
    const struct pool_account *account;
    struct totals own = {0};
    unsigned weight = 0, count = 0;

    TAILQ_FOREACH (account, &user->accounts, in_user) {
        const char *wrong = check_account(account, &own);
        if (wrong)
            return wrong;
        if (account->user != user)
            return "an account is in another user's list";
        weight = account->share.weight > weight ? account->share.weight : weight;
        count++;
    }
    if (count == 0 || count != user->account_count || weight != user->share.weight)
        return "a user's number of accounts, or its weight, is wrong";
    if (own.held != user->share.tokens || own.implicit != user->share.implicit ||
        own.claimed != user->share.claimed)
        return "a user's share is not its accounts'";
    sum->held += own.held;
    sum->queued += own.queued;
    sum->implicit += own.implicit;
    sum->claimed += own.claimed;
    sum->holders += own.holders;
    sum->paused_accounts += own.paused_accounts;
    sum->paused_waiters += own.paused_waiters;
    return check_waiting(pool, user);
}

static const char *
check_users(const struct pool *pool, const struct totals *totals)
{
    const struct pool_user *user;
    struct totals sum = {0};

    TAILQ_FOREACH (user, &pool->users, in_pool) {
        const char *wrong = check_user(pool, user, &sum);
        if (wrong)
            return wrong;
    }
    if (!is_in_order(&pool->by_share))
        return "users are not in the order of rule 8";
    if (sum.held != totals->held + totals->reserved || sum.queued != totals->queued)
        return "the accounts' sums are not the holders'";
    if (sum.implicit != totals->implicit || sum.holders != totals->holders ||
        sum.claimed != totals->claimed)
        return "the accounts' implicit slots, claims or references are wrong";
    if (sum.paused_accounts != pool->paused_accounts || sum.paused_waiters != pool->paused_waiters)
        return "the number of accounts that are paused, or of their waiters, is wrong";
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
        pool->reserved != pool->deadlines.count || totals->unpaid != pool->unpaid_count)
        return "the sums of held, reserved and unpaid are wrong";
    if (pool->free + pool->held + pool->reserved != pool->capacity + pool->debt)
        return "free + held + reserved is not capacity + debt";
    if (pool->debt > 0 && pool->free + pool->reserved > 0)
        return "there is a debt, and tokens are free or reserved";
    if (totals->reserved + totals->queued + totals->parked != pool->waiter_count)
        return "the number of waiters is wrong";
    return NULL;
}

static const char *
check_rules_3_and_10(const struct pool *pool)
{
    if (pool->free > 0 && pool_used(pool) < pool->throttle && pool->by_share.count > 0)
        return "a token is free, and somebody waits";
    return NULL;
}

const char *
pool_check(const struct pool *pool)
{
    struct totals totals = {0};
    const char *wrong = check_holders(pool, &totals);
    if (!wrong)
        wrong = check_users(pool, &totals);
    if (!wrong)
        wrong = check_wishes(pool, &totals);
    if (!wrong)
        wrong = check_rule_1(pool, &totals);
    if (!wrong)
        wrong = check_rules_3_and_10(pool);
    return wrong;
}
