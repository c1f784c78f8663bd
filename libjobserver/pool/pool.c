/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Tokens: how they are taken, returned, offered and set aside; how many there are. */
#include "libjobserver/pool/private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* After this many reservations that were not used, each further one is half as long (rule 9). */
#define LAPSES_FORGIVEN 2
/* A lazy client's usual interval is known after so many tries in vain. */
#define TRIES_TO_KNOW 3

/* --- loans: tokens that are held --- */

int
pool_loans_reserve(struct pool *pool, unsigned capacity)
{
    if (capacity <= pool->loans)
        return 0;
    if (heap_reserve(&pool->deadlines, capacity) < 0 || pool_rows_reserve_loans(pool, capacity) < 0)
        return -ENOMEM;
    struct pool_loan **blocks =
        reallocarray(pool->loan_blocks, pool->loan_block_count + 1, sizeof(struct pool_loan *));
    if (!blocks)
        return -ENOMEM;
    pool->loan_blocks = blocks;
    struct pool_loan *block = calloc(capacity - pool->loans, sizeof(*block));
    if (!block)
        return -ENOMEM;
    pool->loan_blocks[pool->loan_block_count++] = block;
    for (unsigned i = 0; i < capacity - pool->loans; i++) {
        TAILQ_INSERT_TAIL(&pool->spare_loans, &block[i], in_holder);
        pool_row_begin(pool, POOL_ROW_LOAN, &block[i], &block[i].row);
    }
    pool->loans = capacity;
    return 0;
}

void
pool_loans_free(struct pool *pool)
{
    for (size_t i = 0; i < pool->loan_block_count; i++)
        free(pool->loan_blocks[i]);
    free(pool->loan_blocks);
}

void
pool_loan_link(struct pool *pool, struct pool_loan *loan, struct pool_holder *holder,
               struct pool_opening *opening)
{
    loan->ordinal = ++pool->next_ordinal;
    loan->holder = holder;
    loan->opening = opening;
    loan->is_passed_on = false;
    TAILQ_INSERT_TAIL(&holder->loans, loan, in_holder);
    if (opening)
        TAILQ_INSERT_TAIL(&opening->loans, loan, in_opening);
    holder->held++;
    pool->granted++;
    pool_row_changed(pool, POOL_ROW_LOAN, loan->row);
    pool_account_add(pool, holder->account, (struct pool_change){.tokens = 1});
}

/* Of what the group was asked for. */
static void
note_return(struct pool_holder *holder)
{
    struct pool_group *group = container_of(holder, struct pool_group, holder);
    struct pool_opening *opening;

    if (!holder->is_group)
        return;
    group->is_turn_over = false;
    TAILQ_FOREACH (opening, &group->openings, in_group)
        if (opening->told > 0)
            opening->told--;
}

static void
loan_unlink(struct pool *pool, struct pool_loan *loan)
{
    struct pool_holder *holder = loan->holder;

    loan->holder = NULL;
    pool_row_changed(pool, POOL_ROW_LOAN, loan->row);
    note_return(holder);
    TAILQ_REMOVE(&holder->loans, loan, in_holder);
    if (loan->opening)
        TAILQ_REMOVE(&loan->opening->loans, loan, in_opening);
    holder->held--;
    pool_account_add(pool, holder->account, (struct pool_change){.tokens = -1});
    if (holder->held == 0)
        pool_holder_set_pays_implicit(pool, holder, false);
}

static void
lend(struct pool *pool, struct pool_holder *holder, struct pool_opening *opening)
{
    struct pool_loan *loan = TAILQ_FIRST(&pool->spare_loans);

    assert(pool->free > 0 && loan);
    TAILQ_REMOVE(&pool->spare_loans, loan, in_holder);
    if (holder->account->needy > 0) {
        holder->account->needy--; /* before its place among those that wait is found anew */
        pool_row_changed(pool, POOL_ROW_ACCOUNT, holder->account->row);
    }
    pool_loan_link(pool, loan, holder, opening);
    pool->free--;
    pool->held++;
    if (holder->wish && !holder->wish->is_granted)
        pool_wish_end(pool, holder);
    pool_claimable_grew(pool, holder);
}

void
pool_loan_end(struct pool *pool, struct pool_loan *loan)
{
    struct pool_holder *holder = loan->holder;

    loan_unlink(pool, loan);
    TAILQ_INSERT_HEAD(&pool->spare_loans, loan, in_holder);
    pool_trim_claims(pool, holder);
    pool->held--;
    if (pool->debt > 0)
        pool->debt--;
    else
        pool->free++;
    pool_unpark(pool, holder);
}

/* Its holder gives it back, but it goes on to pay for the implicit slot of who has claimed it. */
void
pool_loan_pass_on(struct pool *pool, struct pool_loan *loan, struct pool_holder *claimer)
{
    struct pool_holder *holder = loan->holder;

    loan_unlink(pool, loan);
    pool_loan_link(pool, loan, claimer, NULL);
    loan->is_passed_on = true;
    pool_claim_end(pool, claimer);
    pool_holder_set_pays_implicit(pool, claimer, true);
    pool_tell_return(pool, holder, STEVED_EVENT_RETURNED, STEVED_RETURN_PASSED_ON);
    pool_tell_came(pool, claimer);
    pool_tell_grant(pool, claimer, (struct pool_wait){.status = STEVED_GRANT_PASSED_ON});
    pool_unpark(pool, holder);
}

/* --- whose turn --- */

/* Could anybody be granted a token now? */
static bool
is_granting(const struct pool *pool)
{
    return pool->free > 0 && pool_used(pool) < pool->throttle;
}

static int64_t
reservation_ns(const struct pool_process *process)
{
    int64_t length_ns = POOL_RESERVATION_NS;

    for (unsigned i = LAPSES_FORGIVEN; i < process->lapses && length_ns > 0; i++)
        length_ns /= 2;
    return length_ns > POOL_RESERVATION_MIN_NS ? length_ns : POOL_RESERVATION_MIN_NS;
}

static struct pool_wait
end_of(const struct pool_waiter *waiter)
{
    return (struct pool_wait){.status = STEVED_GRANT_WAITED, .since_ns = waiter->since_ns};
}

static void
serve_reader(struct pool *pool, struct pool_waiter *waiter)
{
    lend(pool, waiter->holder, waiter->opening);
    pool_waiter_answer(pool, waiter, POOL_DUE_GRANT);
    pool_tell_grant(pool, waiter->holder, end_of(waiter));
}

/* It cannot be told, so its token is set aside until it should have tried again; unless it has
 * stopped trying. */
static void
serve_lazy(struct pool *pool, struct pool_waiter *waiter, int64_t now_ns)
{
    int64_t length_ns = reservation_ns(waiter->process);

    if (now_ns - waiter->process->last_try_ns > length_ns)
        pool_waiter_end(pool, waiter, STEVED_EVENT_WAITS_NO_MORE);
    else
        pool_set_aside(pool, waiter, WAITER_RESERVED, now_ns + length_ns);
}

static void
serve_waiters(struct pool *pool, int64_t now_ns)
{
    struct pool_waiter *waiter;

    while (is_granting(pool) && (waiter = pool_next_waiter(pool))) {
        switch (waiter->kind) {
        case WAITER_READER:
            serve_reader(pool, waiter);
            break;
        case WAITER_POLLER:
            pool_set_aside(pool, waiter, WAITER_OFFERED, now_ns + POOL_OFFER_NS);
            pool_due(pool, &waiter->opening->notify_due, POOL_DUE_NOTIFY);
            break;
        case WAITER_LAZY:
            serve_lazy(pool, waiter, now_ns);
            break;
        }
    }
}

/* --- recall --- */

/* What the group lends to jobs: all but the token of its own implicit slot. */
static unsigned
lent_on(const struct pool_holder *holder)
{
    return holder->held - holder->pays_implicit;
}

void
pool_set_idle(struct pool *pool, struct pool_opening *opening, unsigned idle, int64_t now_ns)
{
    bool is_less = idle < opening->idle;

    if (idle != opening->idle)
        pool_row_changed(pool, POOL_ROW_OPENING, opening->row);
    opening->idle = idle;
    if (!is_less || !opening->group)
        return;
    pool_claimable_grew(pool, &opening->group->holder);
    pool_serve(pool, now_ns);
}

bool
pool_others_wait(const struct pool *pool, const struct pool_opening *opening)
{
    const struct pool_account *poor = pool_poorest_waiting(pool);

    if (!poor || !opening->group)
        return poor != NULL;
    /* With several, one of them is another. */
    return pool->by_share.count > 1 || poor->user->by_share.count > 1 ||
           poor != opening->group->holder.account;
}

unsigned
pool_held(const struct pool_opening *opening)
{
    return opening->group ? opening->group->holder.held : 0;
}

unsigned
pool_claims(const struct pool_opening *opening)
{
    return opening->group ? opening->group->holder.claims : 0;
}

/* Two accounts, by what is compared: if they are of different users, it is what these have. */
struct pair {
    const struct pool_share *rich, *poor;
};

static struct pair
pair_of(const struct pool_account *rich, const struct pool_account *poor)
{
    if (rich->user != poor->user)
        return (struct pair){&rich->user->share, &poor->user->share};
    return (struct pair){&rich->share, &poor->share};
}

/* Would who waits have no more, after it had got one of `rich`, than that has so many tokens less? */
static bool
has_more(struct pair pair, unsigned less)
{
    return (pool_tokens_counted(pair.poor) + 1) * pair.rich->weight <=
           (pool_tokens_counted(pair.rich) - less) * pair.poor->weight;
}

static bool
may_change_places(const struct pool_account *rich, const struct pool_account *poor)
{
    return rich != poor && has_more(pair_of(rich, poor), 0);
}

static bool
has_more_or_longer(const struct pool_account *account, const struct pool_account *other)
{
    const struct pair pair = pair_of(account, other);
    uint64_t share = pool_tokens_counted(pair.rich) * pair.poor->weight;
    uint64_t other_share = pool_tokens_counted(pair.poor) * pair.rich->weight;

    return share != other_share ? share > other_share
                                : pair.rich->last_served < pair.poor->last_served;
}

static bool
has_none(const struct pool_account *poor, const struct pool_account *rich)
{
    return poor->user == rich->user ? pool_has_none(poor) : pool_share_is_none(&poor->user->share);
}

unsigned
pool_recalled(const struct pool *pool, const struct pool_opening *opening)
{
    if (!opening->group || lent_on(&opening->group->holder) == 0)
        return 0;
    unsigned lent = lent_on(&opening->group->holder), excess = pool_excess(pool);
    unsigned due = pool->debt > excess ? pool->debt : excess;
    if (due > 0)
        return due < lent ? due : lent;
    const struct pool_account *rich = opening->group->holder.account;
    const struct pool_account *poor = pool_poorest_waiting(pool);
    if (rich->pause)
        return lent;
    if (!poor || poor == rich || is_granting(pool))
        return 0;
    if (has_none(poor, rich))
        return rich->share.tokens + rich->share.claimed > 1;
    if (opening->group->is_turn_over && may_change_places(rich, poor))
        return 1;
    return has_more(pair_of(rich, poor), 1);
}

static void
start_turn(struct pool *pool, int64_t now_ns)
{
    if (pool->turn_ns == POOL_NO_DEADLINE)
        pool->turn_ns = now_ns + POOL_TURN_NS;
}

/* Each is told once of each token, and `again` if somebody has come to wait. */
static void
tell_who_is_asked(struct pool *pool, bool again, int64_t now_ns)
{
    const struct pool_account *poor = pool_poorest_waiting(pool);
    struct pool_group *group;
    struct pool_opening *opening;

    pool->is_asking = false;
    TAILQ_FOREACH (group, &pool->groups, in_pool) {
        if (poor && may_change_places(group->holder.account, poor))
            start_turn(pool, now_ns);
        TAILQ_FOREACH (opening, &group->openings, in_group) {
            unsigned recalled = pool_recalled(pool, opening);
            bool is_idle = opening->idle > 0 && pool_others_wait(pool, opening);
            if (recalled > opening->told || (again && (recalled > 0 || is_idle)))
                pool_due(pool, &opening->recall_due, POOL_DUE_RECALL);
            if (recalled > opening->told)
                pool_tell_of(pool, STEVED_EVENT_RECALLED, &group->holder, recalled);
            opening->told = recalled;
            pool->is_asking |= recalled > 0;
        }
    }
}

void
pool_recall(struct pool *pool, int64_t now_ns)
{
    tell_who_is_asked(pool, true, now_ns);
}

/* Of those that have more than who waits the one with the most, of these who has had it longest, gives one:
 * so that 8 tokens are 3, 3 and 2 for three builds, but not for the same ones all the time. */
static void
end_turn(struct pool *pool)
{
    const struct pool_account *poor = pool_poorest_waiting(pool), *found = NULL;
    struct pool_group *group, *longest = NULL;

    pool->turn_ns = POOL_NO_DEADLINE; /* pool_serve() starts another */
    TAILQ_FOREACH (group, &pool->groups, in_pool) {
        const struct pool_account *account = group->holder.account;
        group->is_turn_over = false;
        if (!poor || !may_change_places(account, poor) || lent_on(&group->holder) == 0)
            continue;
        if (found && has_more_or_longer(found, account))
            continue;
        found = account;
        longest = group;
    }
    if (longest)
        longest->is_turn_over = true;
}

/* Claims first: they leave the tokens to others. */
void
pool_serve(struct pool *pool, int64_t now_ns)
{
    do {
        pool_serve_wishes(pool);
        serve_waiters(pool, now_ns);
    } while (pool->has_new_claimable);
    /* Else nobody was asked for anything, and nobody is. */
    if (pool->is_asking || pool->debt > 0 || pool_excess(pool) > 0 || pool->by_share.count > 0 ||
        pool->paused_accounts > 0)
        tell_who_is_asked(pool, false, now_ns);
}

/* --- read --- */

/* A token that is set aside for the process, by preference through this description. */
static struct pool_waiter *
find_set_aside(const struct pool_process *process, const struct pool_opening *opening)
{
    struct pool_waiter *waiter, *found = NULL;

    TAILQ_FOREACH (waiter, &process->waiters, in_process) {
        if (!heap_contains(&waiter->in_deadlines))
            break;
        if (waiter->opening == opening)
            return waiter;
        found = waiter;
    }
    return found;
}

static struct pool_waiter *
find_waiter(const struct pool_process *process, const struct pool_opening *opening,
            enum waiter_kind kind)
{
    struct pool_waiter *waiter;

    TAILQ_FOREACH (waiter, &opening->waiters, in_opening) {
        if (waiter->kind == WAITER_READER)
            break;
        if (waiter->process == process && waiter->kind == kind)
            return waiter;
    }
    return NULL;
}

static void
mark_client(struct pool *pool, struct pool_opening *opening, struct pool_process *process)
{
    struct pool_process *client = opening->opener ? opening->opener : process;

    if (opening->group || client->is_client)
        return;
    client->is_client = true;
    pool_tell_came(pool, &client->holder);
    pool_holder_count_unpaid(pool, &client->holder);
    pool_row_changed(pool, POOL_ROW_PROCESS, client->holder.row);
}

static void
set_lapses(struct pool *pool, struct pool_process *process, unsigned lapses)
{
    if (process->lapses == lapses)
        return;
    process->lapses = lapses;
    pool_row_changed(pool, POOL_ROW_PROCESS, process->holder.row);
}

/* The first that it ends is what the grant has ended. */
static void
end_by_grant(struct pool *pool, struct pool_waiter *waiter, struct pool_wait *wait)
{
    const bool is_first = wait->status == STEVED_GRANT_AT_ONCE;

    if (is_first)
        *wait = end_of(waiter);
    pool_waiter_end(pool, waiter, is_first ? POOL_WAIT_GRANTED : STEVED_EVENT_WAITS_NO_MORE);
}

/* wait: of a grant; NULL: there was none. */
static void
unpoll(struct pool *pool, struct pool_opening *opening, struct pool_process *process,
       struct pool_wait *wait)
{
    static const enum waiter_kind kinds[] = {WAITER_POLLER, WAITER_LAZY};

    for (size_t i = 0; i < 2; i++) {
        struct pool_waiter *waiter = find_waiter(process, opening, kinds[i]);
        if (!waiter || heap_contains(&waiter->in_deadlines))
            continue;
        if (wait)
            end_by_grant(pool, waiter, wait);
        else
            pool_waiter_end(pool, waiter, STEVED_EVENT_WAITS_NO_MORE);
    }
}

void
pool_unpoll(struct pool *pool, struct pool_opening *opening, struct pool_process *process)
{
    unpoll(pool, opening, process, NULL);
}

/* What is set aside for this very holder, or user, counts against its limit, and is what it gets. */
static bool
is_at_limit(const struct pool *pool, const struct pool_holder *holder,
            const struct pool_waiter *set_aside)
{
    const struct pool_user *user = holder->account->user;

    return (pool_holder_is_full(pool, holder) && !(set_aside && set_aside->holder == holder)) ||
           (pool_user_is_full(pool, user) &&
            !(set_aside && set_aside->holder->account->user == user));
}

/* Would a read be granted now? *set_aside: by this reservation; NULL: by a free token. */
static bool
is_grantable(const struct pool *pool, struct pool_opening *opening, struct pool_process *process,
             struct pool_waiter **set_aside)
{
    struct pool_waiter *found = find_set_aside(process, opening);
    const struct pool_holder *holder = pool_holder_of(opening, process);

    if (holder->account->pause || is_at_limit(pool, holder, found))
        return false;
    *set_aside = found;
    return found || is_granting(pool);
}

static bool
try_grant(struct pool *pool, struct pool_opening *opening, struct pool_process *process)
{
    struct pool_holder *holder = pool_holder_of(opening, process);
    struct pool_wait wait = {.status = STEVED_GRANT_AT_ONCE};
    struct pool_waiter *set_aside;

    if (!is_grantable(pool, opening, process, &set_aside))
        return false;
    bool is_through_another = set_aside && set_aside->opening != opening;
    if (set_aside) {
        set_lapses(pool, process, 0);
        end_by_grant(pool, set_aside, &wait);
    }
    process->tries = 0;
    lend(pool, holder, opening);
    /* Who has been granted a token polls again if it wants another: its old place in the queue would only be
     * offered to nobody. But another thread may still sleep in a poll of that description. */
    if (!is_through_another)
        unpoll(pool, opening, process, &wait);
    pool_tell_grant(pool, holder, wait);
    return true;
}

/* A non-blocking read in vain. A client that has never polled will try again in its own time (ninja
 * 1.13: whenever one of its jobs ends). It gets a place in the queue only if it comes often enough
 * for its turn to be held. */
static void
note_lazy_try(struct pool *pool, struct pool_opening *opening, struct pool_process *process,
              int64_t now_ns)
{
    int64_t interval_ns = now_ns - process->last_try_ns;

    process->last_try_ns = now_ns;
    if (process->has_polled) {
        /* It was told that there is one, and somebody was faster; next time it is its turn. */
        if (!find_waiter(process, opening, WAITER_POLLER)) {
            pool_wait(pool, WAITER_POLLER, opening, process, NULL);
            pool_recall(pool, now_ns);
        }
        return;
    }
    if (process->tries == 1)
        process->usual_interval_ns = interval_ns;
    else if (process->tries > 1)
        process->usual_interval_ns = (3 * process->usual_interval_ns + interval_ns) / 4;
    if (process->tries < TRIES_TO_KNOW)
        process->tries++;
    if (process->tries < TRIES_TO_KNOW || process->usual_interval_ns >= reservation_ns(process))
        return;
    if (!find_waiter(process, opening, WAITER_LAZY)) {
        pool_wait(pool, WAITER_LAZY, opening, process, NULL);
        pool_recall(pool, now_ns);
    }
}

enum pool_answer
pool_read(struct pool *pool, struct pool_opening *opening, struct pool_process *process,
          bool nonblocking, void *reader, struct pool_waiter **waiter, int64_t now_ns)
{
    mark_client(pool, opening, process);
    if (try_grant(pool, opening, process)) {
        /* A reservation may have been longer than what the limit left; others may be next. */
        pool_serve(pool, now_ns);
        return POOL_GRANTED;
    }
    if (nonblocking) {
        pool_wishes_read_in_vain(pool, opening);
        note_lazy_try(pool, opening, process, now_ns);
        return POOL_TRY_AGAIN;
    }
    *waiter = pool_wait(pool, WAITER_READER, opening, process, reader);
    if (!*waiter)
        return POOL_NO_MEMORY;
    pool_recall(pool, now_ns);
    return POOL_WAITS;
}

void
pool_interrupt(struct pool *pool, struct pool_waiter *waiter, int64_t now_ns)
{
    pool_waiter_end(pool, waiter, STEVED_EVENT_WAITS_NO_MORE);
    pool_serve(pool, now_ns);
}

/* Others may have been granted since, to the same holder through other descriptions. */
static struct pool_loan *
newest_loan(const struct pool_opening *opening, const struct pool_holder *holder)
{
    struct pool_loan *loan;

    TAILQ_FOREACH_REVERSE(loan, &opening->loans, pool_loans, in_opening)
    {
        if (loan->holder == holder)
            return loan;
    }
    return NULL;
}

void
pool_grant_failed(struct pool *pool, struct pool_opening *opening, struct pool_process *process,
                  int64_t now_ns)
{
    if (!opening || !process)
        return;
    struct pool_loan *loan = newest_loan(opening, pool_holder_of(opening, process));
    if (!loan)
        return;
    struct pool_holder *holder = loan->holder;
    pool->granted--;
    pool_loan_end(pool, loan);
    pool_tell_return(pool, holder, STEVED_EVENT_RETURNED, STEVED_RETURN_UNDELIVERED);
    pool_serve(pool, now_ns);
}

/* --- write --- */

/* One that the holder has read itself, and may write back. */
static struct pool_loan *
find_own(const struct pool_holder *holder)
{
    struct pool_loan *loan = TAILQ_FIRST(&holder->loans);

    while (loan && loan->is_passed_on)
        loan = TAILQ_NEXT(loan, in_holder);
    return loan;
}

/* Rule 4: what the writer holds itself, else what is held through the same description. */
static struct pool_loan *
find_loan(const struct pool_opening *opening, const struct pool_process *writer)
{
    struct pool_loan *loan = find_own(&writer->holder);

    if (!loan && writer->group)
        loan = find_own(&writer->group->holder);
    return loan ? loan : TAILQ_FIRST(&opening->loans);
}

static bool
is_own(const struct pool_loan *loan, const struct pool_process *process)
{
    return loan->holder == &process->holder ||
           (process->group && loan->holder == &process->group->holder);
}

size_t
pool_write(struct pool *pool, struct pool_opening *opening, struct pool_process *process, size_t n,
           int64_t now_ns)
{
    size_t credited = 0;
    struct pool_loan *loan;

    while (credited < n && (loan = find_loan(opening, process))) {
        struct pool_holder *holder = loan->holder, *claimer = pool_claimer_to_pay(holder);
        pool->foreign += !is_own(loan, process);
        if (claimer) {
            pool_loan_pass_on(pool, loan, claimer);
        } else {
            pool_loan_end(pool, loan);
            pool_tell_return(pool, holder, STEVED_EVENT_RETURNED, STEVED_RETURN_WRITTEN);
        }
        pool->returned++;
        credited++;
    }
    pool->dropped += n - credited;
    pool_serve(pool, now_ns);
    return credited;
}

/* --- poll --- */

/* The second poll after a notification is what proves that somebody is still there (rule 9). */
static void
confirm_offer(struct pool *pool, struct pool_waiter *waiter, int64_t now_ns)
{
    if (waiter->state != WAITER_OFFERED)
        return;
    waiter->state = WAITER_RESERVED;
    pool_set_deadline(pool, waiter, now_ns + reservation_ns(waiter->process));
}

bool
pool_poll(struct pool *pool, struct pool_opening *opening, struct pool_process *process,
          bool wants_notice, int64_t now_ns)
{
    struct pool_waiter *waiter;

    mark_client(pool, opening, process);
    if (wants_notice && !process->has_polled) {
        process->has_polled = true;
        pool_row_changed(pool, POOL_ROW_PROCESS, process->holder.row);
    }
    if (pool_claim_has_come(opening))
        return true;
    if (is_grantable(pool, opening, process, &waiter)) {
        if (waiter)
            confirm_offer(pool, waiter, now_ns);
        return true;
    }
    if (!wants_notice)
        return false;
    waiter = find_waiter(process, opening, WAITER_LAZY);
    if (waiter) {
        waiter->kind = WAITER_POLLER; /* not so lazy after all; it keeps its place */
    } else if (!find_waiter(process, opening, WAITER_POLLER)) {
        pool_wait(pool, WAITER_POLLER, opening, process, NULL);
        pool_recall(pool, now_ns);
    }
    return false;
}

/* --- settings --- */

struct pool *
pool_create(unsigned capacity)
{
    if (capacity > POOL_CAPACITY_MAX) {
        errno = EINVAL;
        return NULL;
    }
    struct pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return NULL;
    pool->by_share.before = pool_user_before;
    pool->deadlines.before = pool_deadline_before;
    TAILQ_INIT(&pool->dues);
    TAILQ_INIT(&pool->spare_loans);
    TAILQ_INIT(&pool->users);
    TAILQ_INIT(&pool->holders);
    TAILQ_INIT(&pool->groups);
    TAILQ_INIT(&pool->openings);
    TAILQ_INIT(&pool->wishes);
    if (pool_loans_reserve(pool, capacity) < 0) {
        pool_destroy(pool);
        errno = ENOMEM;
        return NULL;
    }
    pool->capacity = pool->free = capacity;
    pool->throttle = POOL_NO_THROTTLE;
    pool->turn_ns = POOL_NO_DEADLINE;
    return pool;
}

/* Reservations end, the newest first, until `tokens` are free. */
static void
cancel_reservations(struct pool *pool, unsigned tokens)
{
    while (pool->free < tokens && pool->deadlines.count > 0) {
        struct pool_waiter *newest = NULL;
        for (size_t i = 0; i < pool->deadlines.count; i++) {
            struct pool_waiter *waiter =
                container_of(pool->deadlines.nodes[i], struct pool_waiter, in_deadlines);
            if (!newest || waiter->deadline_ns > newest->deadline_ns)
                newest = waiter;
        }
        pool_waiter_end(pool, newest, STEVED_EVENT_WAITS_NO_MORE);
    }
}

static void
lower_capacity(struct pool *pool, unsigned tokens)
{
    cancel_reservations(pool, tokens);
    unsigned taken = tokens < pool->free ? tokens : pool->free;
    pool->free -= taken;
    pool->debt += tokens - taken;
}

static void
raise_capacity(struct pool *pool, unsigned tokens)
{
    unsigned paid = tokens < pool->debt ? tokens : pool->debt;
    pool->debt -= paid;
    pool->free += tokens - paid;
}

int
pool_set_capacity(struct pool *pool, unsigned capacity, int64_t now_ns)
{
    if (capacity > POOL_CAPACITY_MAX)
        return -EINVAL;
    if (pool_loans_reserve(pool, capacity) < 0)
        return -ENOMEM;
    bool has_changed = capacity != pool->capacity;
    if (capacity < pool->capacity)
        lower_capacity(pool, pool->capacity - capacity);
    else
        raise_capacity(pool, capacity - pool->capacity);
    pool->capacity = capacity;
    if (has_changed && pool_is_read(pool))
        pool_add_jobs(pool);
    pool_serve(pool, now_ns);
    pool_recall(pool, now_ns);
    return 0;
}

void
pool_set_per_process_limit(struct pool *pool, unsigned limit, int64_t now_ns)
{
    struct pool_holder *holder;

    pool->per_process_limit = limit;
    TAILQ_FOREACH (holder, &pool->holders, in_pool)
        pool_unpark(pool, holder);
    pool_serve(pool, now_ns);
}

void
pool_set_per_user_limit(struct pool *pool, unsigned limit, int64_t now_ns)
{
    struct pool_user *user;

    pool->per_user_limit = limit;
    TAILQ_FOREACH (user, &pool->users, in_pool)
        pool_user_changed(pool, user);
    pool_serve(pool, now_ns);
}

void
pool_set_throttle(struct pool *pool, unsigned throttle, int64_t now_ns)
{
    pool->throttle = throttle;
    pool_serve(pool, now_ns);
}

/* --- time --- */

int64_t
pool_next_deadline(const struct pool *pool)
{
    struct heap_node *first = heap_first(&pool->deadlines);

    if (!first)
        return pool->turn_ns;
    int64_t deadline_ns = container_of(first, struct pool_waiter, in_deadlines)->deadline_ns;
    return deadline_ns < pool->turn_ns ? deadline_ns : pool->turn_ns;
}

void
pool_expire(struct pool *pool, int64_t now_ns)
{
    struct heap_node *first;

    while ((first = heap_first(&pool->deadlines))) {
        struct pool_waiter *waiter = container_of(first, struct pool_waiter, in_deadlines);
        if (waiter->deadline_ns > now_ns)
            break;
        if (waiter->state == WAITER_RESERVED)
            set_lapses(pool, waiter->process, waiter->process->lapses + 1);
        pool->lapsed++;
        pool_waiter_end(pool, waiter, STEVED_EVENT_LAPSED);
    }
    pool_serve(pool, now_ns);
    if (pool->turn_ns <= now_ns) {
        end_turn(pool);
        pool_serve(pool, now_ns);
    }
}

/* --- the end --- */

void
pool_destroy(struct pool *pool)
{
    struct pool_opening *opening;
    struct pool_holder *holder;
    struct pool_due due;

    if (!pool)
        return;
    pool_rows_free(pool->rows);
    pool->rows = NULL;
    pool->log = NULL;
    pool->throttle = 0; /* nobody is served any more */
    while ((opening = TAILQ_FIRST(&pool->openings)))
        pool_close(pool, opening, 0);
    while ((holder = TAILQ_FIRST(&pool->holders))) {
        struct pool_process *process =
            holder->is_group
                ? TAILQ_FIRST(&container_of(holder, struct pool_group, holder)->members)
                : container_of(holder, struct pool_process, holder);
        pool_process_died(pool, process, 0);
    }
    while (pool_next_due(pool, &due))
        continue;
    pool_loans_free(pool);
    heap_free(&pool->by_share);
    heap_free(&pool->deadlines);
    free(pool);
}
