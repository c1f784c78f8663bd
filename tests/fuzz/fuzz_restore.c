/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Rows of which a pool is restored: a server may find any, and either refuses them or has a pool that
 * is as sound as one that it has made itself. The input: steps that a pool takes, what is done to the rows
 * that it tells, and more steps for the pool that is made of them. So it means the same when rows change.
 */

#include "libjobserver/pool/rows.h"
#include "tests/fuzz/input.h"

#define NUMBERS 8 /* of processes and openings that something is done with */
#define ROWS_MAX 256

struct step {
    uint8_t what, process, opening, value;
};

struct rows {
    struct pool_row row[ROWS_MAX];
    unsigned count, next;
};

/* --- what is done with it --- */

static void
take_due(struct pool *pool)
{
    struct pool_due due;

    while (pool_next_due(pool, &due))
        continue;
}

static void
use(struct pool *pool, const struct step *step, struct pool_process *process,
    struct pool_opening *opening, int64_t now_ns)
{
    struct pool_waiter *waiter;

    switch (step->what % 10) {
    case 0:
        pool_read(pool, opening, process, step->value % 2, NULL, &waiter, now_ns);
        break;
    case 1:
        pool_write(pool, opening, process, step->value, now_ns);
        break;
    case 2:
        pool_poll(pool, opening, process, step->value % 2, now_ns);
        break;
    case 3:
        pool_claim_implicit(pool, process, NULL, now_ns);
        break;
    case 4:
        pool_group_join(pool, opening, process, step->value, now_ns);
        break;
    case 5:
        pool_pay_implicit(pool, opening, process, now_ns);
        break;
    case 6:
        pool_process_died(pool, process, now_ns);
        break;
    case 7:
        pool_close(pool, opening, now_ns);
        break;
    case 8:
        pool_group_set_weight(pool, opening, 1 + step->value, now_ns);
        break;
    case 9:
        pool_await_claim(pool, opening, process, NULL, 0);
        break;
    }
}

/* There is no such process, or opening, yet. */
static void
make(struct pool *pool, const struct step *step, struct pool_process *process)
{
    if (process) {
        pool_open(pool, process, NULL);
        return;
    }
    struct pool_account *account = pool_account(pool, step->value % 2, step->value % 3);
    ALWAYS(account && pool_process_add(pool, step->process, account, step->what % 2));
}

static void
take_step(struct pool *pool, const struct step *step, int64_t now_ns)
{
    struct pool_process *process = pool_process_of_row(pool, step->process % NUMBERS);
    struct pool_opening *opening = pool_opening_of_row(pool, step->opening % NUMBERS);

    if (step->what == 255 && step->value > 0)
        pool_set_capacity(pool, step->value, now_ns);
    else if (process && opening)
        use(pool, step, process, opening, now_ns);
    else
        make(pool, step, process);
    pool_expire(pool, now_ns);
    take_due(pool);
    const char *wrong = pool_check(pool);
    if (wrong)
        fprintf(stderr, "%s\n", wrong);
    ALWAYS(!wrong);
}

/* As many as a first byte says, 64 at most. */
static void
take_steps(struct pool *pool, struct input *input, int64_t *now_ns)
{
    struct step step;

    for (unsigned count = input_below(input, 65); count > 0 && input->left > 0; count--) {
        input_bytes(input, &step, sizeof(step));
        *now_ns += 100000000;
        take_step(pool, &step, *now_ns);
    }
}

/* --- rows --- */

static void
tell(struct pool *pool, struct rows *rows)
{
    struct pool_row row;

    while (pool_next_change(pool, &row))
        if (!row.is_gone && rows->count < ROWS_MAX)
            rows->row[rows->count++] = row;
}

/* A byte of one is another, one is missing, or there twice. */
static void
spoil(struct rows *rows, struct input *input)
{
    unsigned how = input_byte(input), which = input_byte(input);
    struct pool_row *row = rows->count > 0 ? &rows->row[which % rows->count] : NULL;

    if (row && how < 250)
        ((unsigned char *)row)[how % sizeof(*row)] = input_byte(input);
    else if (row && how < 253)
        *row = rows->row[--rows->count];
    else if (row && rows->count < ROWS_MAX)
        rows->row[rows->count++] = *row;
}

static bool
next_row(void *context, struct pool_row *row)
{
    struct rows *rows = context;

    if (rows->next == rows->count)
        return false;
    *row = rows->row[rows->next++];
    return true;
}

/* --- restoring --- */

/* Unspoilt rows are never refused. */
static struct pool *
restore(struct rows *rows, bool is_spoilt)
{
    struct pool_row_fault fault = {0};
    struct pool_row row;
    struct pool *pool = pool_restore(next_row, rows, &fault);

    if (!pool) {
        ALWAYS(is_spoilt && fault.what && pool_row_kind_name(fault.kind));
        return NULL;
    }
    const char *wrong = pool_check(pool);
    if (wrong)
        fprintf(stderr, "%s\n", wrong);
    ALWAYS(!wrong);
    ALWAYS(!pool_next_change(pool, &row));
    return pool;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct rows rows = {.count = 0};
    int64_t now_ns = 0;

    struct pool *pool = pool_create(1 + input_below(&input, 4));
    ALWAYS(pool && pool_follow(pool) == 0);
    take_steps(pool, &input, &now_ns);
    ALWAYS(pool_follow(pool) == 0);
    tell(pool, &rows);
    pool_destroy(pool);
    unsigned spoilt = input_below(&input, 9);
    for (unsigned i = 0; i < spoilt; i++)
        spoil(&rows, &input);
    pool = restore(&rows, spoilt > 0 || rows.count == ROWS_MAX);
    if (!pool)
        return 0;
    take_steps(pool, &input, &now_ns);
    pool_destroy(pool);
    return 0;
}
