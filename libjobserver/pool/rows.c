/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tells which rows have changed.
 *
 * There is a table a kind, which has for each number the object that has it. What is changed is linked
 * there by number, not in the object: so one that has ended leaves nothing behind that would have to be
 * freed later, and one that comes soon after it with its number is told in its place. A table grows when an
 * object is made, which may fail; nothing else here needs memory.
 *
 * The pool's own row, which changes in most calls and at many places, is compared with what was told.
 */
#include "libjobserver/pool/private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_ROOM 16u

/* All bytes are told, and may be compared. */
static_assert(sizeof(struct pool_row_pool) == 88, "padding in a row");
static_assert(sizeof(struct pool_row_account) == 32, "padding in a row");
static_assert(sizeof(struct pool_row_holding) == 32, "padding in a row");
static_assert(sizeof(struct pool_row_process) == 56, "padding in a row");
static_assert(sizeof(struct pool_row_group) == 40, "padding in a row");
static_assert(sizeof(struct pool_row_opening) == 12, "padding in a row");
static_assert(sizeof(struct pool_row_loan) == 24, "padding in a row");
static_assert(sizeof(struct pool_row) == 96, "padding in a row");

/* --- the tables --- */

static int
table_reserve(struct row_table *table, uint32_t room)
{
    if (room <= table->room)
        return 0;
    if (room > POOL_ROWS_MAX)
        return -ENOMEM;
    if (room < 2 * table->room)
        room = 2 * table->room;
    if (room < LEAST_ROOM)
        room = LEAST_ROOM;
    struct row_slot *slots = reallocarray(table->slots, room, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    table->slots = slots;
    table->room = room;
    return 0;
}

static void
table_extend(struct row_table *table, uint32_t count)
{
    assert(count <= table->room);
    for (; table->count < count; table->count++)
        table->slots[table->count] = (struct row_slot){0};
}

struct pool_rows *
pool_rows_create(void)
{
    struct pool_rows *rows = calloc(1, sizeof(*rows));

    for (size_t kind = 0; rows && kind < POOL_ROW_KINDS; kind++)
        rows->tables[kind].first_changed = rows->tables[kind].first_unused = POOL_ROW_NONE;
    return rows;
}

void
pool_rows_free(struct pool_rows *rows)
{
    if (!rows)
        return;
    for (size_t kind = 0; kind < POOL_ROW_KINDS; kind++)
        free(rows->tables[kind].slots);
    free(rows);
}

int
pool_row_place(struct pool_rows *rows, enum pool_row_kind kind, uint32_t number, void *object)
{
    struct row_table *table = &rows->tables[kind];

    if (number >= POOL_ROWS_MAX || table_reserve(table, number + 1) < 0)
        return -ENOMEM;
    table_extend(table, number + 1);
    table->slots[number].object = object;
    return 0;
}

void *
pool_row_object(const struct pool_rows *rows, enum pool_row_kind kind, uint32_t number)
{
    return rows && number < rows->tables[kind].count ? rows->tables[kind].slots[number].object
                                                     : NULL;
}

static void
slot_discard(struct row_table *table, uint32_t number)
{
    table->slots[number].object = NULL;
    table->slots[number].next_unused = table->first_unused;
    table->first_unused = number;
}

void
pool_rows_find_unused(struct pool_rows *rows)
{
    for (size_t kind = 0; kind < POOL_ROW_KINDS; kind++)
        for (uint32_t number = rows->tables[kind].count; number > 0; number--)
            if (!rows->tables[kind].slots[number - 1].object)
                slot_discard(&rows->tables[kind], number - 1);
}

/* --- what comes and goes --- */

int
pool_row_begin(struct pool *pool, enum pool_row_kind kind, void *object, uint32_t *number)
{
    if (!pool->rows)
        return 0;
    struct row_table *table = &pool->rows->tables[kind];
    uint32_t row = table->first_unused;
    if (row == POOL_ROW_NONE) {
        row = table->count;
        if (pool_row_place(pool->rows, kind, row, object) < 0)
            return -ENOMEM;
    } else {
        table->first_unused = table->slots[row].next_unused;
        table->slots[row].object = object;
    }
    *number = row;
    pool_row_changed(pool, kind, row);
    return 0;
}

void
pool_row_end(struct pool *pool, enum pool_row_kind kind, uint32_t number)
{
    if (!pool->rows)
        return;
    slot_discard(&pool->rows->tables[kind], number);
    pool_row_changed(pool, kind, number);
}

int
pool_rows_reserve_loans(struct pool *pool, unsigned loans)
{
    return pool->rows ? table_reserve(&pool->rows->tables[POOL_ROW_LOAN], loans) : 0;
}

/* --- following --- */

static int
number_holder(struct pool *pool, struct pool_holder *holder)
{
    enum pool_row_kind kind = holder->is_group ? POOL_ROW_GROUP : POOL_ROW_PROCESS;
    struct pool_loan *loan;
    void *object = holder->is_group ? (void *)container_of(holder, struct pool_group, holder)
                                    : container_of(holder, struct pool_process, holder);
    int result = pool_row_begin(pool, kind, object, &holder->row);

    TAILQ_FOREACH (loan, &holder->loans, in_holder)
        if (result == 0)
            result = pool_row_begin(pool, POOL_ROW_LOAN, loan, &loan->row);
    return result;
}

static int
number_all(struct pool *pool)
{
    struct pool_account *account = NULL;
    struct pool_holder *holder;
    struct pool_opening *opening;
    struct pool_loan *loan;
    int result = 0;

    while ((account = pool_account_next(pool, account)))
        if (result == 0)
            result = pool_row_begin(pool, POOL_ROW_ACCOUNT, account, &account->row);
    TAILQ_FOREACH (holder, &pool->holders, in_pool)
        if (result == 0)
            result = number_holder(pool, holder);
    TAILQ_FOREACH (opening, &pool->openings, in_pool)
        if (result == 0)
            result = pool_row_begin(pool, POOL_ROW_OPENING, opening, &opening->row);
    TAILQ_FOREACH (loan, &pool->spare_loans, in_holder)
        if (result == 0)
            result = pool_row_begin(pool, POOL_ROW_LOAN, loan, &loan->row);
    return result;
}

static void
change_all(struct pool *pool)
{
    for (unsigned kind = 0; kind < POOL_ROW_KINDS; kind++)
        for (uint32_t number = 0; number < pool->rows->tables[kind].count; number++)
            pool_row_changed(pool, kind, number);
    pool->rows->told = (struct pool_row){0};
}

int
pool_follow(struct pool *pool)
{
    if (pool->rows) {
        change_all(pool);
        return 0;
    }
    pool->rows = pool_rows_create();
    if (pool->rows && number_all(pool) == 0)
        return 0;
    pool_rows_free(pool->rows);
    pool->rows = NULL;
    return -ENOMEM;
}

uint32_t
pool_process_row(const struct pool_process *process)
{
    return process->holder.row;
}

uint32_t
pool_opening_row(const struct pool_opening *opening)
{
    return opening->row;
}

struct pool_process *
pool_process_of_row(const struct pool *pool, uint32_t number)
{
    return pool_row_object(pool->rows, POOL_ROW_PROCESS, number);
}

struct pool_opening *
pool_opening_of_row(const struct pool *pool, uint32_t number)
{
    return pool_row_object(pool->rows, POOL_ROW_OPENING, number);
}

const char *
pool_row_kind_name(unsigned kind)
{
    static const char *const names[POOL_ROW_KINDS] = {
        [POOL_ROW_POOL] = "pool",   [POOL_ROW_ACCOUNT] = "account", [POOL_ROW_PROCESS] = "process",
        [POOL_ROW_GROUP] = "group", [POOL_ROW_OPENING] = "opening", [POOL_ROW_LOAN] = "loan",
    };

    return kind > 0 && kind < POOL_ROW_KINDS ? names[kind] : "row";
}

/* --- telling --- */

static uint32_t
flag(bool is_set, enum pool_row_flag flag)
{
    return is_set ? (uint32_t)flag : 0;
}

static struct pool_row_holder
name_holder(const struct pool_holder *holder)
{
    if (!holder)
        return (struct pool_row_holder){.number = POOL_ROW_NONE};
    return (struct pool_row_holder){
        .kind = holder->is_group ? POOL_ROW_GROUP : POOL_ROW_PROCESS,
        .number = holder->row,
    };
}

static struct pool_row_holding
tell_holding(const struct pool_holder *holder)
{
    return (struct pool_row_holding){
        .ordinal = holder->ordinal,
        .claim_ordinal = holder->claim_ordinal,
        .claimed_from = name_holder(holder->claimed_from),
        .account = holder->account->row,
        .wish = holder->wish ? holder->wish->opening->row : POOL_ROW_NONE,
    };
}

static struct pool_row_process
tell_process(const struct pool_process *process)
{
    return (struct pool_row_process){
        .holding = tell_holding(&process->holder),
        .joined = process->joined,
        .pid = process->pid,
        .group = process->group ? process->group->holder.row : POOL_ROW_NONE,
        .lapses = process->lapses,
        .flags = flag(process->holder.pays_implicit, POOL_ROW_PAYS_IMPLICIT) |
                 flag(process->is_client, POOL_ROW_CLIENT) |
                 flag(process->is_paid_by_parent, POOL_ROW_PAID_BY_PARENT) |
                 flag(process->has_polled, POOL_ROW_HAS_POLLED),
    };
}

static struct pool_row_group
tell_group(const struct pool_group *group)
{
    return (struct pool_row_group){
        .holding = tell_holding(&group->holder),
        .founder = group->founder ? group->founder->holder.row : POOL_ROW_NONE,
        .flags = flag(group->holder.pays_implicit, POOL_ROW_PAYS_IMPLICIT) |
                 flag(group->has_founded_account, POOL_ROW_OWN_ACCOUNT),
    };
}

static struct pool_row_opening
tell_opening(const struct pool_opening *opening)
{
    return (struct pool_row_opening){
        .opener = opening->opener ? opening->opener->holder.row : POOL_ROW_NONE,
        .group = opening->group ? opening->group->holder.row : POOL_ROW_NONE,
        .idle = opening->idle,
    };
}

static struct pool_row_loan
tell_loan(const struct pool_loan *loan)
{
    return (struct pool_row_loan){
        .ordinal = loan->ordinal,
        .holder = name_holder(loan->holder),
        .opening = loan->opening ? loan->opening->row : POOL_ROW_NONE,
        .flags = flag(loan->is_passed_on, POOL_ROW_PASSED_ON),
    };
}

static struct pool_row_account
tell_account(const struct pool_account *account)
{
    return (struct pool_row_account){
        .key = account->key,
        .last_served = account->share.last_served,
        .uid = account->user->uid,
        .weight = account->share.weight,
        .needy = account->needy,
        .flags = flag(account->pause == POOL_PAUSED, POOL_ROW_PAUSED) |
                 flag(account->pause == POOL_PAUSED_BY_OWNER, POOL_ROW_PAUSED_BY_OWNER),
    };
}

/* The object of the kind; nothing for what is gone. */
static void
tell(struct pool_row *row, const void *object)
{
    const struct pool_loan *loan = object;

    row->is_gone = !object || (row->kind == POOL_ROW_LOAN && !loan->holder);
    if (row->is_gone)
        return;
    if (row->kind == POOL_ROW_ACCOUNT)
        row->account = tell_account(object);
    else if (row->kind == POOL_ROW_PROCESS)
        row->process = tell_process(object);
    else if (row->kind == POOL_ROW_GROUP)
        row->group = tell_group(object);
    else if (row->kind == POOL_ROW_OPENING)
        row->opening = tell_opening(object);
    else
        row->loan = tell_loan(object);
}

static void
tell_pool(struct pool_row *row, const struct pool *pool)
{
    row->kind = POOL_ROW_POOL;
    row->pool = (struct pool_row_pool){
        .next_ordinal = pool->next_ordinal,
        .next_turn = pool->next_turn,
        .granted = pool->granted,
        .returned = pool->returned,
        .foreign = pool->foreign,
        .dropped = pool->dropped,
        .reclaimed = pool->reclaimed,
        .lapsed = pool->lapsed,
        .capacity = pool->capacity,
        .held = pool->held,
        .debt = pool->debt,
        .per_process_limit = pool->per_process_limit,
        .per_user_limit = pool->per_user_limit,
        .throttle = pool->throttle,
    };
}

static bool
next_changed(struct row_table *table, struct pool_row *row)
{
    if (table->first_changed == POOL_ROW_NONE)
        return false;
    row->number = table->first_changed;
    struct row_slot *slot = &table->slots[row->number];
    table->first_changed = slot->next_changed;
    slot->is_changed = false;
    tell(row, slot->object);
    return true;
}

bool
pool_next_change(struct pool *pool, struct pool_row *row)
{
    if (!pool->rows)
        return false;
    memset(row, 0, sizeof(*row));
    for (row->kind = POOL_ROW_ACCOUNT; row->kind < POOL_ROW_KINDS; row->kind++)
        if (next_changed(&pool->rows->tables[row->kind], row))
            return true;
    tell_pool(row, pool);
    const struct pool_row *told = &pool->rows->told;
    if (told->kind && memcmp(&row->pool, &told->pool, sizeof(row->pool)) == 0)
        return false;
    pool->rows->told = *row;
    return true;
}

void
pool_rows_attach(struct pool *pool, struct pool_rows *rows)
{
    pool->rows = rows;
    memset(&rows->told, 0, sizeof(rows->told));
    tell_pool(&rows->told, pool);
}
