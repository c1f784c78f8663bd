/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * rows ROUNDS CYCLES: what it costs to follow the rows of a pool. A cycle is a read and a write, of a free
 * token or of one that others wait for; a pool that nobody follows and one whose rows are copied into
 * tables after each call take turns. Prints for each of the four the median over the rounds, in ns of
 * CPU per cycle.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "libjobserver/pool/rows.h"
#include "tests/bench/median.h"

#define CLIENTS 16
#define NUMBERS 64

struct client {
    struct pool_process *process;
    struct pool_opening *opening;
    struct pool_waiter *waiter;
};

struct subject {
    const char *name;
    unsigned capacity;
    bool is_followed;
    struct pool *pool;
    struct client clients[CLIENTS];
    struct pool_row table[POOL_ROW_KINDS][NUMBERS];
    int64_t now_ns;
    int64_t *taken_ns;
};

static int64_t
cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* others may be at work */
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void
follow(struct subject *subject)
{
    struct pool_row row;

    while (pool_next_change(subject->pool, &row))
        subject->table[row.kind][row.number % NUMBERS] = row;
}

static void
start(struct subject *subject)
{
    subject->pool = pool_create(subject->capacity);
    if (!subject->pool || (subject->is_followed && pool_follow(subject->pool) < 0))
        errx(1, "out of memory");
    for (int i = 0; i < CLIENTS; i++) {
        struct client *client = &subject->clients[i];
        struct pool_account *account = pool_account(subject->pool, 0, (uint64_t)i / 4);
        client->process = account ? pool_process_add(subject->pool, i + 1, account, false) : NULL;
        client->opening =
            client->process ? pool_open(subject->pool, client->process, client) : NULL;
        if (!client->opening)
            errx(1, "out of memory");
    }
}

static struct client *
acquire(struct subject *subject, struct client *client)
{
    enum pool_answer answer = pool_read(subject->pool, client->opening, client->process, false,
                                        client, &client->waiter, ++subject->now_ns);

    follow(subject);
    return answer == POOL_GRANTED ? client : NULL;
}

/* Whoever has been granted a token by it. */
static struct client *
release(struct subject *subject, struct client *client)
{
    struct pool_due due;
    struct client *granted = NULL;

    pool_write(subject->pool, client->opening, client->process, 1, ++subject->now_ns);
    follow(subject);
    while (pool_next_due(subject->pool, &due))
        if (due.kind == POOL_DUE_GRANT)
            granted = due.reader;
    return granted;
}

/* All want a token, and the one that is there goes from hand to hand; or there are enough. */
static int64_t
measure(struct subject *subject, long cycles)
{
    struct client *holder = NULL;
    int64_t start_ns = cpu_ns();

    for (int i = 0; subject->capacity == 1 && i < CLIENTS; i++) {
        struct client *first = acquire(subject, &subject->clients[i]);
        holder = first ? first : holder;
    }
    for (long i = 0; i < cycles; i++) {
        struct client *last = holder ? holder : acquire(subject, &subject->clients[i % CLIENTS]);
        holder = release(subject, last);
        if (holder)
            acquire(subject, last);
    }
    int64_t taken_ns = cpu_ns() - start_ns;
    while (holder)
        holder = release(subject, holder);
    return taken_ns;
}

int
main(int argc, char **argv)
{
    static struct subject subjects[] = {
        {.name = "free", .capacity = CLIENTS},
        {.name = "free, followed", .capacity = CLIENTS, .is_followed = true},
        {.name = "waited for", .capacity = 1},
        {.name = "waited for, followed", .capacity = 1, .is_followed = true},
    };
    const size_t count = sizeof(subjects) / sizeof(subjects[0]);
    long rounds = argc == 3 ? atol(argv[1]) : 0, cycles = argc == 3 ? atol(argv[2]) : 0;

    if (rounds < 1 || cycles < 1)
        errx(2, "usage: rows ROUNDS CYCLES");
    for (size_t i = 0; i < count; i++) {
        subjects[i].taken_ns = calloc((size_t)rounds, sizeof(int64_t));
        if (!subjects[i].taken_ns)
            err(1, "calloc");
        start(&subjects[i]);
        measure(&subjects[i], cycles);
    }
    for (long round = 0; round < rounds; round++)
        for (size_t i = 0; i < count; i++)
            subjects[i].taken_ns[round] = measure(&subjects[i], cycles);
    for (size_t i = 0; i < count; i++) {
        printf("%.1f %s\n", (double)median(subjects[i].taken_ns, rounds) / (double)cycles,
               subjects[i].name);
        free(subjects[i].taken_ns);
        pool_destroy(subjects[i].pool);
    }
}
