/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A pool from its rows.
 *
 * They may have been written by another version, or only in part: each is checked before it is used, and
 * at last that all agree. Until then nothing is accounted for, so that a pool which is not finished can
 * be thrown away as it is.
 *
 * What is in a list is put there in the order of its ordinals. So the rows are sorted by what one may name
 * (accounts, holders, openings, loans) and these; then those who are in groups, and those who have claims,
 * once more.
 */
#include "libjobserver/pool/private.h"

#include <errno.h>
#include <stdlib.h>

#define LEAST_ROOM 64u

struct restore {
    struct pool_row *rows;
    size_t count, room;
    struct pool_row_pool told; /* the pool's own */
    struct pool *pool;
    struct pool_rows *numbers; /* the pool's, when it is finished */
    struct pool_row_fault *fault;
};

static int
refuse(struct restore *restore, const struct pool_row *row, const char *what)
{
    restore->fault->kind = row->kind;
    restore->fault->number = row->number;
    restore->fault->what = what;
    return -EINVAL;
}

/* The first call's that fails, for each row. */
static int
for_each(struct restore *restore, int (*call)(struct restore *restore, struct pool_row *row))
{
    int result = 0;

    for (size_t i = 0; i < restore->count && result == 0; i++)
        result = call(restore, &restore->rows[i]);
    return result;
}

/* --- reading --- */

static int
keep(struct restore *restore, const struct pool_row *row)
{
    if (restore->count == restore->room) {
        size_t room = restore->room ? 2 * restore->room : LEAST_ROOM;
        struct pool_row *rows = reallocarray(restore->rows, room, sizeof(*rows));
        if (!rows)
            return -ENOMEM;
        restore->rows = rows;
        restore->room = room;
    }
    restore->rows[restore->count++] = *row;
    return 0;
}

/* The highest number + 1. */
static uint32_t
numbers_of(unsigned kind)
{
    switch (kind) {
    case POOL_ROW_POOL:
        return 1;
    case POOL_ROW_LOAN:
        return POOL_CAPACITY_MAX;
    default:
        return POOL_ROWS_MAX;
    }
}

static int
read_all(struct restore *restore, bool (*next)(void *context, struct pool_row *row), void *context)
{
    struct pool_row row;
    int result = 0;

    while (result == 0 && next(context, &row)) {
        if (row.kind < POOL_ROW_POOL || row.kind >= POOL_ROW_KINDS)
            result = refuse(restore, &row, "there is no such kind");
        else if (row.number >= numbers_of(row.kind))
            result = refuse(restore, &row, "its number is too high");
        else if (!row.is_gone)
            result = keep(restore, &row);
    }
    return result;
}

/* --- orders --- */

static struct pool_row_holding *
holding_of(struct pool_row *row)
{
    if (row->kind == POOL_ROW_PROCESS)
        return &row->process.holding;
    return row->kind == POOL_ROW_GROUP ? &row->group.holding : NULL;
}

static uint64_t
ordinal_of(const struct pool_row *row)
{
    switch (row->kind) {
    case POOL_ROW_PROCESS:
        return row->process.holding.ordinal;
    case POOL_ROW_GROUP:
        return row->group.holding.ordinal;
    case POOL_ROW_LOAN:
        return row->loan.ordinal;
    default:
        return row->number;
    }
}

static int
compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* Processes and groups are of one order. */
static int
by_ordinal(const void *a, const void *b)
{
    const struct pool_row *first = a, *second = b;
    unsigned kind_a = first->kind == POOL_ROW_GROUP ? POOL_ROW_PROCESS : first->kind;
    unsigned kind_b = second->kind == POOL_ROW_GROUP ? POOL_ROW_PROCESS : second->kind;

    return kind_a == kind_b ? compare(ordinal_of(first), ordinal_of(second))
                            : compare(kind_a, kind_b);
}

static uint64_t
joined(const struct pool_row *row)
{
    return row->kind == POOL_ROW_PROCESS ? row->process.joined : 0;
}

static int
by_joined(const void *a, const void *b)
{
    return compare(joined(a), joined(b));
}

static uint64_t
claim_ordinal(const struct pool_row *row)
{
    if (row->kind == POOL_ROW_PROCESS)
        return row->process.holding.claim_ordinal;
    return row->kind == POOL_ROW_GROUP ? row->group.holding.claim_ordinal : 0;
}

static int
by_claim(const void *a, const void *b)
{
    return compare(claim_ordinal(a), claim_ordinal(b));
}

/* --- what a row names --- */

static void *
find(const struct restore *restore, enum pool_row_kind kind, uint32_t number)
{
    return pool_row_object(restore->numbers, kind, number);
}

static struct pool_holder *
find_holder(const struct restore *restore, const struct pool_row_holder *named)
{
    void *object = NULL;

    if (named->kind == POOL_ROW_PROCESS &&
        (object = find(restore, POOL_ROW_PROCESS, named->number)))
        return &((struct pool_process *)object)->holder;
    if (named->kind == POOL_ROW_GROUP && (object = find(restore, POOL_ROW_GROUP, named->number)))
        return &((struct pool_group *)object)->holder;
    return NULL;
}

static struct pool_holder *
holder_of_row(const struct restore *restore, const struct pool_row *row)
{
    struct pool_row_holder self = {.kind = row->kind, .number = row->number};

    return find_holder(restore, &self);
}

/* --- the pool itself --- */

static uint32_t
loan_numbers(const struct restore *restore)
{
    uint32_t count = 0;

    for (size_t i = 0; i < restore->count; i++)
        if (restore->rows[i].kind == POOL_ROW_LOAN && restore->rows[i].number >= count)
            count = restore->rows[i].number + 1;
    return count;
}

static int
place_loans(struct restore *restore)
{
    struct pool_loan *loan;
    uint32_t number = 0;

    TAILQ_FOREACH (loan, &restore->pool->spare_loans, in_holder) {
        loan->row = number++;
        if (pool_row_place(restore->numbers, POOL_ROW_LOAN, loan->row, loan) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int
make_pool(struct restore *restore)
{
    const struct pool_row *row = NULL, none = {.kind = POOL_ROW_POOL};

    for (size_t i = 0; i < restore->count; i++) {
        if (restore->rows[i].kind != POOL_ROW_POOL)
            continue;
        if (row)
            return refuse(restore, row, "it is there twice");
        row = &restore->rows[i];
    }
    if (!row)
        return refuse(restore, &none, "it is missing");
    if (row->pool.capacity > POOL_CAPACITY_MAX)
        return refuse(restore, row, "its capacity is out of range");
    restore->told = row->pool;
    restore->numbers = pool_rows_create();
    restore->pool = restore->numbers ? pool_create(row->pool.capacity) : NULL;
    if (!restore->pool || pool_loans_reserve(restore->pool, loan_numbers(restore)) < 0)
        return -ENOMEM;
    return place_loans(restore);
}

/* When all is made, which counts there. */
static void
settle_pool(struct restore *restore)
{
    const struct pool_row_pool *row = &restore->told;
    struct pool *pool = restore->pool;

    pool->next_ordinal = row->next_ordinal;
    pool->next_turn = row->next_turn;
    pool->granted = row->granted;
    pool->returned = row->returned;
    pool->foreign = row->foreign;
    pool->dropped = row->dropped;
    pool->reclaimed = row->reclaimed;
    pool->lapsed = row->lapsed;
    pool->per_process_limit = row->per_process_limit;
    pool->per_user_limit = row->per_user_limit;
    pool->throttle = row->throttle;
    pool->debt = pool->held > pool->capacity ? pool->held - pool->capacity : 0;
    pool->free = pool->capacity + pool->debt - pool->held;
}

/* --- making what the rows are of --- */

static int
place(struct restore *restore, const struct pool_row *row, void *object, uint32_t *number)
{
    *number = row->number;
    return pool_row_place(restore->numbers, row->kind, row->number, object);
}

/* -EINVAL: no pause has these flags. */
static int
pause_of(uint32_t flags)
{
    switch (flags) {
    case 0:
        return POOL_NOT_PAUSED;
    case POOL_ROW_PAUSED:
        return POOL_PAUSED;
    case POOL_ROW_PAUSED_BY_OWNER:
        return POOL_PAUSED_BY_OWNER;
    default:
        return -EINVAL;
    }
}

static int
make_account(struct restore *restore, const struct pool_row *row)
{
    unsigned before = restore->pool->account_count;
    int pause = pause_of(row->account.flags);

    if (row->account.weight < 1 || row->account.weight > POOL_WEIGHT_MAX)
        return refuse(restore, row, "its weight is out of range");
    if (row->account.last_served > restore->told.next_turn)
        return refuse(restore, row, "its last turn is out of range");
    if (pause < 0)
        return refuse(restore, row, "it has an unknown flag");
    struct pool_account *account = pool_account(restore->pool, row->account.uid, row->account.key);
    if (!account)
        return -ENOMEM;
    if (restore->pool->account_count == before)
        return refuse(restore, row, "another has its key");
    account->share.last_served = row->account.last_served;
    if (account->user->share.last_served < row->account.last_served)
        account->user->share.last_served = row->account.last_served;
    pool_account_weigh(restore->pool, account, row->account.weight);
    account->needy = row->account.needy;
    pool_account_mark_pause(restore->pool, account, (enum pool_pause)pause);
    account->holders++; /* it stays until check_account() */
    return place(restore, row, account, &account->row);
}

static int
check_holding(struct restore *restore, const struct pool_row *row,
              const struct pool_row_holding *holding)
{
    const struct pool_holder *last = TAILQ_LAST(&restore->pool->holders, pool_holders);

    if (holding->ordinal == 0 || holding->ordinal > restore->told.next_ordinal)
        return refuse(restore, row, "its ordinal is out of range");
    if (last && last->ordinal == holding->ordinal)
        return refuse(restore, row, "another has its ordinal");
    if (!find(restore, POOL_ROW_ACCOUNT, holding->account))
        return refuse(restore, row, "its account is missing");
    return 0;
}

static int
make_process(struct restore *restore, const struct pool_row *row)
{
    const struct pool_row_process *told = &row->process;
    const uint32_t known =
        POOL_ROW_PAYS_IMPLICIT | POOL_ROW_CLIENT | POOL_ROW_PAID_BY_PARENT | POOL_ROW_HAS_POLLED;
    int result = check_holding(restore, row, &told->holding);

    if (result < 0)
        return result;
    if (told->pid < 0)
        return refuse(restore, row, "its pid is out of range");
    if (told->flags & ~known)
        return refuse(restore, row, "it has an unknown flag");
    struct pool_process *process = pool_process_add(
        restore->pool, told->pid, find(restore, POOL_ROW_ACCOUNT, told->holding.account),
        told->flags & POOL_ROW_PAID_BY_PARENT);
    if (!process)
        return -ENOMEM;
    process->holder.ordinal = told->holding.ordinal;
    process->is_client = process->holder.has_come = told->flags & POOL_ROW_CLIENT;
    process->has_polled = told->flags & POOL_ROW_HAS_POLLED;
    process->lapses = told->lapses;
    pool_holder_count_unpaid(restore->pool, &process->holder);
    pool_holder_set_pays_implicit(restore->pool, &process->holder,
                                  told->flags & POOL_ROW_PAYS_IMPLICIT);
    return place(restore, row, process, &process->holder.row);
}

static int
make_group(struct restore *restore, const struct pool_row *row)
{
    int result = check_holding(restore, row, &row->group.holding);

    if (result < 0)
        return result;
    if (row->group.flags & ~(POOL_ROW_PAYS_IMPLICIT | POOL_ROW_OWN_ACCOUNT))
        return refuse(restore, row, "it has an unknown flag");
    struct pool_group *group = pool_group_create(
        restore->pool, find(restore, POOL_ROW_ACCOUNT, row->group.holding.account));
    if (!group)
        return -ENOMEM;
    group->holder.ordinal = row->group.holding.ordinal;
    group->holder.has_come = true;
    pool_holder_set_pays_implicit(restore->pool, &group->holder,
                                  row->group.flags & POOL_ROW_PAYS_IMPLICIT);
    group->has_founded_account = row->group.flags & POOL_ROW_OWN_ACCOUNT;
    return place(restore, row, group, &group->holder.row);
}

static int
make_opening(struct restore *restore, const struct pool_row *row)
{
    struct pool_process *opener = find(restore, POOL_ROW_PROCESS, row->opening.opener);
    struct pool_group *group = find(restore, POOL_ROW_GROUP, row->opening.group);

    if (!opener && row->opening.opener != POOL_ROW_NONE)
        return refuse(restore, row, "its opener is missing");
    if (!group && row->opening.group != POOL_ROW_NONE)
        return refuse(restore, row, "its group is missing");
    struct pool_opening *opening = pool_open(restore->pool, opener, NULL);
    if (!opening)
        return -ENOMEM;
    opening->idle = row->opening.idle;
    opening->group = group;
    if (group)
        TAILQ_INSERT_TAIL(&group->openings, opening, in_group);
    return place(restore, row, opening, &opening->row);
}

static int
make_loan(struct restore *restore, const struct pool_row *row)
{
    struct pool_holder *holder = find_holder(restore, &row->loan.holder);
    struct pool_opening *opening = find(restore, POOL_ROW_OPENING, row->loan.opening);
    struct pool_loan *loan = find(restore, POOL_ROW_LOAN, row->number);
    bool is_passed_on = row->loan.flags & POOL_ROW_PASSED_ON;

    if (!holder)
        return refuse(restore, row, "its holder is missing");
    if (!opening && row->loan.opening != POOL_ROW_NONE)
        return refuse(restore, row, "its opening is missing");
    if (row->loan.flags & ~POOL_ROW_PASSED_ON)
        return refuse(restore, row, "it has an unknown flag");
    if (row->loan.ordinal > restore->told.next_ordinal)
        return refuse(restore, row, "its ordinal is out of range");
    if (is_passed_on && (opening || !holder->pays_implicit))
        return refuse(restore, row, "it was passed on, and pays for no implicit slot");
    TAILQ_REMOVE(&restore->pool->spare_loans, loan, in_holder);
    pool_loan_link(restore->pool, loan, holder, opening);
    holder->has_come = true;
    loan->ordinal = row->loan.ordinal;
    loan->is_passed_on = is_passed_on;
    restore->pool->held++;
    return 0;
}

static int
make(struct restore *restore, struct pool_row *row)
{
    const struct pool_loan *loan = find(restore, POOL_ROW_LOAN, row->number);
    bool is_there = row->kind == POOL_ROW_LOAN ? loan->holder != NULL
                                               : find(restore, row->kind, row->number) != NULL;

    if (is_there)
        return refuse(restore, row, "it is there twice");
    switch (row->kind) {
    case POOL_ROW_ACCOUNT:
        return make_account(restore, row);
    case POOL_ROW_PROCESS:
        return make_process(restore, row);
    case POOL_ROW_GROUP:
        return make_group(restore, row);
    case POOL_ROW_OPENING:
        return make_opening(restore, row);
    case POOL_ROW_LOAN:
        return make_loan(restore, row);
    default:
        return 0;
    }
}

/* --- what may name what comes later --- */

static int
join(struct restore *restore, struct pool_row *row)
{
    if (row->kind != POOL_ROW_PROCESS)
        return 0;
    struct pool_process *process = find(restore, POOL_ROW_PROCESS, row->number);
    struct pool_group *group = find(restore, POOL_ROW_GROUP, row->process.group);
    if (!group && row->process.group != POOL_ROW_NONE)
        return refuse(restore, row, "its group is missing");
    if ((group != NULL) != (row->process.joined > 0) ||
        row->process.joined > restore->told.next_ordinal)
        return refuse(restore, row, "the ordinal of its joining a group is wrong");
    if (!group)
        return 0;
    if (process->holder.account != group->holder.account)
        return refuse(restore, row, "it is in another account than its group");
    process->group = group;
    process->joined = row->process.joined;
    pool_holder_count_unpaid(restore->pool, &process->holder);
    TAILQ_INSERT_TAIL(&group->members, process, in_group);
    return 0;
}

static int
claim(struct restore *restore, struct pool_row *row)
{
    const struct pool_row_holding *told = holding_of(row);

    if (!told || (told->claimed_from.kind == 0 && told->claim_ordinal == 0))
        return 0;
    struct pool_holder *claimer = holder_of_row(restore, row);
    struct pool_holder *holder = find_holder(restore, &told->claimed_from);
    if (!holder)
        return refuse(restore, row, "the holder of the token that it has claimed is missing");
    if (told->claim_ordinal == 0 || told->claim_ordinal > restore->told.next_ordinal)
        return refuse(restore, row, "the ordinal of its claim is out of range");
    if (pool_claim_is_circle(claimer, holder))
        return refuse(restore, row, "its claim is below itself");
    pool_claim_begin(restore->pool, claimer, holder);
    claimer->claim_ordinal = told->claim_ordinal;
    return 0;
}

static int
wish(struct restore *restore, struct pool_row *row)
{
    const struct pool_row_holding *told = holding_of(row);

    if (!told || told->wish == POOL_ROW_NONE)
        return 0;
    struct pool_opening *opening = find(restore, POOL_ROW_OPENING, told->wish);
    if (!opening)
        return refuse(restore, row, "the opening through which it waits is missing");
    return pool_wish_restore(restore->pool, holder_of_row(restore, row), opening);
}

/* --- do they agree? --- */

static int
check_holder(struct restore *restore, const struct pool_row *row)
{
    const struct pool_holder *holder = holder_of_row(restore, row);

    if (holder->claims > pool_holder_claimable(holder))
        return refuse(restore, row, "more is claimed than it holds or has claimed");
    if (holder->pays_implicit && holder->held == 0)
        return refuse(restore, row, "its implicit slot is paid for by no token");
    return 0;
}

static int
check_group(struct restore *restore, const struct pool_row *row)
{
    struct pool_group *group = find(restore, POOL_ROW_GROUP, row->number);

    group->founder = find(restore, POOL_ROW_PROCESS, row->group.founder);
    if (TAILQ_EMPTY(&group->members))
        return refuse(restore, row, "it has no member");
    if (!group->founder && row->group.founder != POOL_ROW_NONE)
        return refuse(restore, row, "its founder is missing");
    if (group->founder && group->founder->group != group)
        return refuse(restore, row, "its founder is not a member");
    return check_holder(restore, row);
}

static int
check_account(struct restore *restore, const struct pool_row *row)
{
    struct pool_account *account = find(restore, POOL_ROW_ACCOUNT, row->number);

    return --account->holders > 0 ? 0 : refuse(restore, row, "nobody is in it");
}

/* Rule 1. */
static int
check_pool(struct restore *restore, const struct pool_row *row)
{
    if (row->pool.held != restore->pool->held)
        return refuse(restore, row, "the number of tokens that are held is not that of the loans");
    if (row->pool.debt != restore->pool->debt)
        return refuse(restore, row, "its debt is not what is held beyond its capacity");
    return 0;
}

static int
check(struct restore *restore, struct pool_row *row)
{
    switch (row->kind) {
    case POOL_ROW_POOL:
        return check_pool(restore, row);
    case POOL_ROW_ACCOUNT:
        return check_account(restore, row);
    case POOL_ROW_PROCESS:
        return check_holder(restore, row);
    case POOL_ROW_GROUP:
        return check_group(restore, row);
    default:
        return 0;
    }
}

static int
check_all(struct restore *restore)
{
    int result = for_each(restore, check);
    const char *wrong = result == 0 ? pool_check(restore->pool) : NULL;
    const struct pool_row row = {.kind = POOL_ROW_POOL};

    return wrong ? refuse(restore, &row, wrong) : result;
}

/* --- all of it --- */

static void
sort(struct restore *restore, int (*order)(const void *a, const void *b))
{
    if (restore->count > 0)
        qsort(restore->rows, restore->count, sizeof(*restore->rows), order);
}

static int
make_all(struct restore *restore)
{
    int result = make_pool(restore);

    sort(restore, by_ordinal);
    if (result == 0)
        result = for_each(restore, make);
    if (result == 0)
        result = for_each(restore, wish);
    sort(restore, by_joined);
    if (result == 0)
        result = for_each(restore, join);
    sort(restore, by_claim);
    if (result == 0)
        result = for_each(restore, claim);
    if (result == 0)
        settle_pool(restore);
    return result == 0 ? check_all(restore) : result;
}

static void
discard_holders(struct pool *pool)
{
    struct pool_holder *holder;

    while ((holder = TAILQ_FIRST(&pool->holders))) {
        TAILQ_REMOVE(&pool->holders, holder, in_pool);
        if (holder->is_group)
            free(container_of(holder, struct pool_group, holder));
        else
            free(container_of(holder, struct pool_process, holder));
    }
}

/* Whatever of it is there, and agrees with nothing. */
static void
discard(struct pool *pool)
{
    struct pool_opening *opening;
    struct pool_wish *wish;

    while ((wish = TAILQ_FIRST(&pool->wishes))) {
        TAILQ_REMOVE(&pool->wishes, wish, in_pool);
        free(wish);
    }
    while ((opening = TAILQ_FIRST(&pool->openings))) {
        TAILQ_REMOVE(&pool->openings, opening, in_pool);
        free(opening);
    }
    pool_users_discard(pool);
    discard_holders(pool);
    pool_loans_free(pool);
    heap_free(&pool->by_share);
    heap_free(&pool->deadlines);
    free(pool);
}

struct pool *
pool_restore(bool (*next)(void *context, struct pool_row *row), void *context,
             struct pool_row_fault *fault)
{
    struct restore restore = {.fault = fault};
    int result = read_all(&restore, next, context);

    if (result == 0)
        result = make_all(&restore);
    free(restore.rows);
    if (result == 0) {
        pool_rows_find_unused(restore.numbers);
        pool_rows_attach(restore.pool, restore.numbers);
        return restore.pool;
    }
    if (restore.pool)
        discard(restore.pool);
    pool_rows_free(restore.numbers);
    errno = -result;
    return NULL;
}
