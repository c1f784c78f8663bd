/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Who comes and goes: accounts, processes, groups, open file descriptions (rules 2 and 6). */
#include "libjobserver/pool/private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* --- users --- */

/* One that is new has no account yet. */
static struct pool_user *
find_user(struct pool *pool, uint32_t uid)
{
    struct pool_user *user;

    TAILQ_FOREACH (user, &pool->users, in_pool)
        if (user->uid == uid)
            return user;
    if (heap_reserve(&pool->by_share, pool->user_count + 1) < 0)
        return NULL;
    user = calloc(1, sizeof(*user));
    if (!user)
        return NULL;
    user->uid = uid;
    user->by_share.before = pool_account_before;
    TAILQ_INIT(&user->accounts);
    TAILQ_INIT(&user->waiting);
    TAILQ_INSERT_TAIL(&pool->users, user, in_pool);
    pool->user_count++;
    return user;
}

static void
user_leave(struct pool *pool, struct pool_user *user)
{
    if (user->account_count > 0)
        return;
    assert(user->share.tokens + user->share.claimed + user->wishes == 0);
    TAILQ_REMOVE(&pool->users, user, in_pool);
    pool->user_count--;
    heap_free(&user->by_share);
    free(user);
}

/* An account has come or gone, or has another weight; none has more than `most`. */
static void
user_weigh(struct pool *pool, struct pool_user *user, unsigned most)
{
    const struct pool_account *account;
    unsigned largest = 0;

    TAILQ_FOREACH (account, &user->accounts, in_user) {
        if (account->share.weight > largest)
            largest = account->share.weight;
        if (largest == most)
            break;
    }
    user->share.weight = largest;
    pool_user_changed(pool, user);
}

/* --- accounts --- */

struct pool_account *
pool_account_next(const struct pool *pool, const struct pool_account *account)
{
    const struct pool_user *user =
        account ? TAILQ_NEXT(account->user, in_pool) : TAILQ_FIRST(&pool->users);

    if (account && TAILQ_NEXT(account, in_user))
        return TAILQ_NEXT(account, in_user);
    return user ? TAILQ_FIRST(&user->accounts) : NULL;
}

static struct pool_account *
account_create(struct pool *pool, struct pool_user *user, uint64_t key)
{
    if (heap_reserve(&user->by_share, user->account_count + 1) < 0)
        return NULL;
    struct pool_account *account = calloc(1, sizeof(*account));
    if (!account || pool_row_begin(pool, POOL_ROW_ACCOUNT, account, &account->row) < 0) {
        free(account);
        return NULL;
    }
    account->key = key;
    account->user = user;
    TAILQ_INIT(&account->queue);
    TAILQ_INSERT_TAIL(&user->accounts, account, in_user);
    user->account_count++;
    pool->account_count++;
    pool_account_weigh(pool, account, POOL_WEIGHT_DEFAULT);
    return account;
}

static struct pool_account *
account_of_user(const struct pool_user *user, uint64_t key)
{
    struct pool_account *account;

    TAILQ_FOREACH (account, &user->accounts, in_user)
        if (account->key == key)
            return account;
    return NULL;
}

struct pool_account *
pool_account_find(const struct pool *pool, uint32_t uid, uint64_t key)
{
    const struct pool_user *user;

    TAILQ_FOREACH (user, &pool->users, in_pool)
        if (user->uid == uid)
            return account_of_user(user, key);
    return NULL;
}

struct pool_account_info
pool_account_describe(const struct pool_account *account)
{
    return (struct pool_account_info){.key = account->key,
                                      .uid = account->user->uid,
                                      .weight = account->share.weight,
                                      .pause = account->pause};
}

struct pool_account *
pool_account(struct pool *pool, uint32_t uid, uint64_t key)
{
    struct pool_user *user = find_user(pool, uid);
    struct pool_account *account = user ? account_of_user(user, key) : NULL;

    if (account || !user)
        return account;
    account = account_create(pool, user, key);
    if (!account)
        user_leave(pool, user);
    return account;
}

static void
account_leave(struct pool *pool, struct pool_account *account)
{
    struct pool_user *user = account->user;

    if (account->holders > 0)
        return;
    assert(TAILQ_EMPTY(&account->queue) && account->share.tokens == 0);
    TAILQ_REMOVE(&user->accounts, account, in_user);
    pool_account_mark_pause(pool, account, POOL_NOT_PAUSED);
    user->account_count--;
    pool->account_count--;
    pool_row_end(pool, POOL_ROW_ACCOUNT, account->row);
    free(account);
    user_weigh(pool, user, user->share.weight);
    user_leave(pool, user);
}

void
pool_account_weigh(struct pool *pool, struct pool_account *account, unsigned weight)
{
    struct pool_user *user = account->user;

    account->share.weight = weight;
    pool_account_changed(pool, account);
    user_weigh(pool, user, weight > user->share.weight ? weight : user->share.weight);
}

void
pool_account_set_weight(struct pool *pool, struct pool_account *account, unsigned weight,
                        int64_t now_ns)
{
    assert(weight >= 1 && weight <= POOL_WEIGHT_MAX);
    pool_account_weigh(pool, account, weight);
    pool_row_changed(pool, POOL_ROW_ACCOUNT, account->row);
    if (pool_is_read(pool))
        pool_add_weight(pool, account);
    pool_serve(pool, now_ns);
}

void
pool_users_discard(struct pool *pool)
{
    struct pool_user *user;
    struct pool_account *account;

    while ((user = TAILQ_FIRST(&pool->users))) {
        while ((account = TAILQ_FIRST(&user->accounts))) {
            TAILQ_REMOVE(&user->accounts, account, in_user);
            free(account);
        }
        TAILQ_REMOVE(&pool->users, user, in_pool);
        heap_free(&user->by_share);
        free(user);
    }
}

/* --- holders --- */

static void
holder_init(struct pool *pool, struct pool_holder *holder, struct pool_account *account)
{
    holder->ordinal = ++pool->next_ordinal;
    holder->account = account;
    account->holders++;
    TAILQ_INIT(&holder->loans);
    TAILQ_INIT(&holder->parked_waiters);
    TAILQ_INIT(&holder->claimers);
    TAILQ_INSERT_TAIL(&pool->holders, holder, in_pool);
}

/* Returns what it holds. Nobody waits on its charge any more. */
static void
holder_end(struct pool *pool, struct pool_holder *holder)
{
    struct pool_account *account = holder->account;
    struct pool_loan *loan;

    pool_claim_end(pool, holder);
    pool_wish_end(pool, holder);
    while ((loan = TAILQ_FIRST(&holder->loans))) {
        pool_loan_end(pool, loan);
        pool_tell_return(pool, holder, STEVED_EVENT_RECLAIMED, 0);
        pool->reclaimed++;
    }
    if (holder->has_come)
        pool_tell_of(pool, STEVED_EVENT_LEFT, holder, 0);
    pool_trim_claims(pool, holder);
    assert(holder->queued + holder->parked + holder->reserved == 0);
    TAILQ_REMOVE(&pool->holders, holder, in_pool);
    account->holders--;
    account_leave(pool, account);
}

/* Rule 2: a direct client runs one job more than it holds, unless somebody paid for that one. */
bool
pool_process_is_unpaid(const struct pool_process *process)
{
    return process->is_client && !process->is_paid_by_parent && !process->group &&
           !process->holder.claimed_from && !process->holder.pays_implicit;
}

static void
set_unpaid(struct pool *pool, struct pool_process *process, bool is_unpaid)
{
    pool->unpaid_count += is_unpaid;
    pool->unpaid_count -= process->is_unpaid;
    process->is_unpaid = is_unpaid;
}

void
pool_holder_count_unpaid(struct pool *pool, struct pool_holder *holder)
{
    struct pool_process *process = container_of(holder, struct pool_process, holder);

    if (!holder->is_group)
        set_unpaid(pool, process, pool_process_is_unpaid(process));
}

void
pool_holder_set_pays_implicit(struct pool *pool, struct pool_holder *holder, bool pays)
{
    if (holder->pays_implicit == pays)
        return;
    holder->pays_implicit = pays;
    pool_holder_count_unpaid(pool, holder);
    pool_holder_changed(pool, holder);
    pool_account_add(pool, holder->account, (struct pool_change){.implicit = pays ? 1 : -1});
}

struct pool_holder *
pool_holder_of(struct pool_opening *opening, struct pool_process *process)
{
    if (opening->group)
        return &opening->group->holder;
    if (opening->opener)
        return &opening->opener->holder;
    return &process->holder;
}

struct pool_account *
pool_account_charged(struct pool_opening *opening, struct pool_process *process)
{
    return pool_holder_of(opening, process)->account;
}

void
pool_name_account(const struct pool_process *process, uint64_t *key, uint32_t *uid)
{
    *key = process->holder.account->key;
    *uid = process->holder.account->user->uid;
}

static void
recharge_waiters(struct pool *pool, struct pool_opening *opening)
{
    struct pool_waiter *waiter, *next;

    for (waiter = TAILQ_FIRST(&opening->waiters); waiter; waiter = next) {
        next = TAILQ_NEXT(waiter, in_opening);
        pool_waiter_recharge(pool, waiter);
    }
}

/* --- processes --- */

struct pool_process *
pool_process_add(struct pool *pool, pid_t pid, struct pool_account *account, bool paid_by_parent)
{
    struct pool_process *process = calloc(1, sizeof(*process));

    if (!process || pool_row_begin(pool, POOL_ROW_PROCESS, process, &process->holder.row) < 0) {
        free(process);
        account_leave(pool, account);
        return NULL;
    }
    process->pid = pid;
    process->is_paid_by_parent = paid_by_parent;
    TAILQ_INIT(&process->openings);
    TAILQ_INIT(&process->waiters);
    holder_init(pool, &process->holder, account);
    pool->process_count++;
    return process;
}

void
pool_process_set_paid(struct pool *pool, struct pool_process *process)
{
    process->is_paid_by_parent = true;
    pool_holder_count_unpaid(pool, &process->holder);
    pool_row_changed(pool, POOL_ROW_PROCESS, process->holder.row);
}

pid_t
pool_process_pid(const struct pool_process *process)
{
    return process->pid;
}

struct pool_account *
pool_process_account(const struct pool_process *process)
{
    return process->holder.account;
}

/* A group is seen under the first of them. */
static void
leave_members(struct pool *pool, struct pool_group *group, struct pool_process *process)
{
    bool was_first = process == TAILQ_FIRST(&group->members);

    TAILQ_REMOVE(&group->members, process, in_group);
    group->last_pid = process->pid;
    if (!was_first || TAILQ_EMPTY(&group->members) || !pool_is_read(pool))
        return;
    pool_add_left(pool, group, process->pid);
    group->holder.has_come = false;
    pool_tell_came(pool, &group->holder);
}

static void
group_leave(struct pool *pool, struct pool_process *process)
{
    struct pool_group *group = process->group;
    struct pool_opening *opening;

    leave_members(pool, group, process);
    process->group = NULL;
    process->joined = 0;
    pool_holder_count_unpaid(pool, &process->holder);
    if (group->founder == process) {
        group->founder = NULL;
        pool_holder_changed(pool, &group->holder);
    }
    if (!TAILQ_EMPTY(&group->members))
        return;
    while ((opening = TAILQ_FIRST(&group->openings))) {
        TAILQ_REMOVE(&group->openings, opening, in_group);
        opening->group = NULL;
        pool_row_changed(pool, POOL_ROW_OPENING, opening->row);
        opening->told = 0;
        recharge_waiters(pool, opening);
    }
    holder_end(pool, &group->holder);
    TAILQ_REMOVE(&pool->groups, group, in_pool);
    pool_row_end(pool, POOL_ROW_GROUP, group->holder.row);
    if (TAILQ_EMPTY(&pool->groups))
        pool->turn_ns = POOL_NO_DEADLINE;
    free(group);
}

/* A process that is dead waits for nothing. Its reads are cancelled by the kernel in the ordinary
 * case, before it can be seen as dead; asynchronous ones (io_uring) may be left. */
static void
cancel_waiters(struct pool *pool, struct pool_process *process)
{
    struct pool_waiter *waiter;

    while ((waiter = TAILQ_FIRST(&process->waiters))) {
        if (waiter->kind == WAITER_READER)
            pool_waiter_answer(pool, waiter, POOL_DUE_CANCEL);
        else
            pool_waiter_end(pool, waiter, STEVED_EVENT_WAITS_NO_MORE);
    }
}

void
pool_process_died(struct pool *pool, struct pool_process *process, int64_t now_ns)
{
    struct pool_opening *opening;

    cancel_waiters(pool, process);
    pool_wishes_forget(pool, process);
    while ((opening = TAILQ_FIRST(&process->openings))) {
        TAILQ_REMOVE(&process->openings, opening, in_opener);
        opening->opener = NULL;
        pool_row_changed(pool, POOL_ROW_OPENING, opening->row);
        recharge_waiters(pool, opening);
    }
    if (process->group)
        group_leave(pool, process);
    holder_end(pool, &process->holder);
    set_unpaid(pool, process, false);
    pool->process_count--;
    pool_due_orphan(pool, NULL, process);
    pool_row_end(pool, POOL_ROW_PROCESS, process->holder.row);
    free(process);
    pool_serve(pool, now_ns);
}

/* --- open file descriptions --- */

struct pool_opening *
pool_open(struct pool *pool, struct pool_process *opener, void *owner)
{
    struct pool_opening *opening = calloc(1, sizeof(*opening));

    if (!opening || pool_row_begin(pool, POOL_ROW_OPENING, opening, &opening->row) < 0) {
        free(opening);
        return NULL;
    }
    opening->opener = opener;
    opening->owner = owner;
    TAILQ_INIT(&opening->loans);
    TAILQ_INIT(&opening->waiters);
    TAILQ_INIT(&opening->wishes);
    if (opener) /* restored, it may have died */
        TAILQ_INSERT_TAIL(&opener->openings, opening, in_opener);
    TAILQ_INSERT_TAIL(&pool->openings, opening, in_pool);
    return opening;
}

void
pool_opening_set_owner(struct pool_opening *opening, void *owner)
{
    opening->owner = owner;
}

void *
pool_opening_owner(const struct pool_opening *opening)
{
    return opening->owner;
}

void
pool_close(struct pool *pool, struct pool_opening *opening, int64_t now_ns)
{
    struct pool_waiter *waiter;
    struct pool_wish *wish;
    struct pool_loan *loan;

    while ((waiter = TAILQ_FIRST(&opening->waiters))) {
        if (waiter->kind == WAITER_READER)
            pool_waiter_answer(pool, waiter, POOL_DUE_CANCEL);
        else
            pool_waiter_end(pool, waiter, STEVED_EVENT_WAITS_NO_MORE);
    }
    while ((wish = TAILQ_FIRST(&opening->wishes)))
        pool_wish_end(pool, wish->holder);
    while ((loan = TAILQ_FIRST(&opening->loans))) {
        TAILQ_REMOVE(&opening->loans, loan, in_opening);
        loan->opening = NULL;
        pool_row_changed(pool, POOL_ROW_LOAN, loan->row);
    }
    if (opening->opener)
        TAILQ_REMOVE(&opening->opener->openings, opening, in_opener);
    if (opening->group)
        TAILQ_REMOVE(&opening->group->openings, opening, in_group);
    pool->has_new_claimable |= opening->idle > 0;
    TAILQ_REMOVE(&pool->openings, opening, in_pool);
    pool_due_orphan(pool, opening, NULL);
    pool_due_forget(pool, &opening->notify_due);
    pool_due_forget(pool, &opening->recall_due);
    pool_row_end(pool, POOL_ROW_OPENING, opening->row);
    free(opening);
    pool_serve(pool, now_ns);
}

/* --- groups --- */

struct pool_group *
pool_group_create(struct pool *pool, struct pool_account *account)
{
    struct pool_group *group = calloc(1, sizeof(*group));

    if (!group || pool_row_begin(pool, POOL_ROW_GROUP, group, &group->holder.row) < 0) {
        free(group);
        account_leave(pool, account);
        return NULL;
    }
    group->holder.is_group = true;
    TAILQ_INIT(&group->members);
    TAILQ_INIT(&group->openings);
    holder_init(pool, &group->holder, account);
    TAILQ_INSERT_TAIL(&pool->groups, group, in_pool);
    return group;
}

/* What the member does from now on counts for the group's account. */
static void
process_change_account(struct pool *pool, struct pool_process *process,
                       struct pool_account *account)
{
    struct pool_account *before = process->holder.account;
    const int claimed = process->holder.claimed_from ? 1 : 0;

    account->holders++;
    pool_wish_change_user(&process->holder, account->user);
    pool_account_add(pool, account, (struct pool_change){.claimed = claimed});
    process->holder.account = account;
    before->holders--;
    pool_account_add(pool, before, (struct pool_change){.claimed = -claimed});
    account_leave(pool, before);
}

void
pool_group_set_needy(struct pool *pool, struct pool_opening *opening, unsigned needy,
                     int64_t now_ns)
{
    if (!opening->group || opening->group->holder.account->needy == needy)
        return;
    opening->group->holder.account->needy = needy;
    pool_row_changed(pool, POOL_ROW_ACCOUNT, opening->group->holder.account->row);
    pool_account_changed(pool, opening->group->holder.account);
    pool_recall(pool, now_ns);
    pool_serve(pool, now_ns);
}

/* Does it hold a token that it has read itself? One that it had claimed may have been passed on to it. */
static bool
holds_its_own(const struct pool_holder *holder)
{
    const struct pool_loan *loan;

    TAILQ_FOREACH (loan, &holder->loans, in_holder)
        if (!loan->is_passed_on)
            return true;
    return false;
}

int
pool_group_join(struct pool *pool, struct pool_opening *opening, struct pool_process *process,
                uint64_t key, int64_t now_ns)
{
    struct pool_holder *self = &process->holder;
    struct pool_loan *loan;

    if (process->group)
        return process->group == opening->group ? 0 : -EBUSY;
    if (holds_its_own(self) || self->reserved + self->queued + self->parked > 0)
        return -EBUSY;
    if (!opening->group) {
        struct pool_account *account =
            key ? pool_account(pool, self->account->user->uid, key) : self->account;
        struct pool_group *group = account ? pool_group_create(pool, account) : NULL;
        if (!group)
            return -ENOMEM;
        group->founder = process;
        group->last_pid = process->pid;
        group->has_founded_account = key != 0;
        opening->group = group;
        pool_row_changed(pool, POOL_ROW_OPENING, opening->row);
        TAILQ_INSERT_TAIL(&group->openings, opening, in_group);
        recharge_waiters(pool, opening);
    }
    process->group = opening->group;
    process->joined = ++pool->next_ordinal;
    pool_holder_count_unpaid(pool, self);
    pool_row_changed(pool, POOL_ROW_PROCESS, process->holder.row);
    TAILQ_INSERT_TAIL(&process->group->members, process, in_group);
    pool_tell_came(pool, &process->group->holder);
    while ((loan = TAILQ_FIRST(&self->loans)))
        pool_loan_pass_on(pool, loan, &process->group->holder);
    pool_trim_claims(pool, self);
    process_change_account(pool, process, process->group->holder.account);
    pool_claim_move(pool, self, &process->group->holder);
    /* Who waited here because the opener was at its limit is charged to the group now. */
    pool_serve(pool, now_ns);
    return 0;
}

int
pool_group_set_weight(struct pool *pool, struct pool_opening *opening, unsigned weight,
                      int64_t now_ns)
{
    if (!opening->group || !opening->group->has_founded_account)
        return -EBUSY;
    pool_account_set_weight(pool, opening->group->holder.account, weight, now_ns);
    return 0;
}

/* --- implicit slots --- */

int
pool_pay_implicit(struct pool *pool, struct pool_opening *opening, struct pool_process *process,
                  int64_t now_ns)
{
    struct pool_holder *holder = pool_holder_of(opening, process);

    if (holder->held == 0)
        return -EINVAL;
    pool_holder_set_pays_implicit(pool, holder, true);
    pool_wish_end(pool, holder);
    pool_serve(pool, now_ns);
    return 0;
}
