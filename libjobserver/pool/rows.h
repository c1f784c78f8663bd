/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What of a pool must survive its server, as flat rows without pointers: a server that keeps them where
 * they outlive it (a memfd, a file) can be replaced by another, which builds the same pool from them.
 *
 * Rows of a kind are numbered from 0 on, densely, and a number is used again as soon as what had it has
 * ended: a table with the row at the index of its number stays as small as the pool. The server may keep
 * what it knows itself of a process or an opening under the same number.
 *
 * Capacity and settings, counters, accounts, processes, groups, openings, tokens that are held, claims and
 * debt survive. Nothing that depends on time does: who waits is to ask again (the server repeats the blocked
 * reads, in their order, and wakes all pollers), what is set aside becomes free, and how often a lazy client
 * tries is learnt anew. Who waits for a claim is told by its next poll to ask again. Answers that were due
 * and have not been given are the server's to record, together with the rows that have changed.
 */

#include "libjobserver/pool/pool.h"

#define POOL_ROW_NONE UINT32_MAX /* instead of a number: there is none */
#define POOL_ROWS_MAX (1u << 20) /* of a kind: numbers are below this */

enum pool_row_kind { /* zeroed memory is no row */
                     POOL_ROW_POOL = 1,
                     POOL_ROW_ACCOUNT,
                     POOL_ROW_PROCESS,
                     POOL_ROW_GROUP,
                     POOL_ROW_OPENING,
                     POOL_ROW_LOAN, /* a token that is held */
                     POOL_ROW_KINDS,
};

enum pool_row_flag {
    POOL_ROW_PAYS_IMPLICIT = 1u << 1,   /* process, group: by one of the tokens that it holds */
    POOL_ROW_CLIENT = 1u << 2,          /* process: has taken, or asked for, a token */
    POOL_ROW_PAID_BY_PARENT = 1u << 3,  /* process */
    POOL_ROW_HAS_POLLED = 1u << 4,      /* process */
    POOL_ROW_PASSED_ON = 1u << 5,       /* loan: its holder does not know of it */
    POOL_ROW_OWN_ACCOUNT = 1u << 6,     /* group: has founded the account that it is in */
    POOL_ROW_PAUSED = 1u << 7,          /* account */
    POOL_ROW_PAUSED_BY_OWNER = 1u << 8, /* account; instead of the other */
};

/* What has an ordinal comes after all that have lower ones. `held` and `debt` follow from the other rows,
 * and are there to show that none is missing; what is set aside counts as free. */
struct pool_row_pool {
    uint64_t next_ordinal, next_turn;
    uint64_t granted, returned, foreign, dropped, reclaimed, lapsed;
    uint32_t capacity, held, debt;
    uint32_t per_process_limit, per_user_limit, throttle;
};

struct pool_row_account {
    uint64_t key;         /* no other of the user has it */
    uint64_t last_served; /* the latest of its accounts' is the user's */
    uint32_t uid;
    uint32_t weight;
    uint32_t needy;
    uint32_t flags;
};

/* A process or a group. kind: 0 if there is none. */
struct pool_row_holder {
    uint32_t kind;
    uint32_t number;
};

struct pool_row_holding {
    uint64_t ordinal;
    uint64_t claim_ordinal;              /* 0: has no claim */
    struct pool_row_holder claimed_from; /* whose token pays for its implicit slot */
    uint32_t account;
    uint32_t wish; /* the opening through which it waits for a claim */
};

struct pool_row_process {
    struct pool_row_holding holding;
    uint64_t joined; /* an ordinal; 0: is in no group */
    int32_t pid;
    uint32_t group;
    uint32_t lapses;
    uint32_t flags;
};

struct pool_row_group {
    struct pool_row_holding holding;
    uint32_t founder; /* POOL_ROW_NONE: it has died */
    uint32_t flags;
};

struct pool_row_opening {
    uint32_t opener; /* POOL_ROW_NONE: it has died */
    uint32_t group;
    uint32_t idle;
};

struct pool_row_loan {
    uint64_t ordinal;
    struct pool_row_holder holder;
    uint32_t opening; /* POOL_ROW_NONE: closed since, or passed on */
    uint32_t flags;
};

/* No byte of it is left undefined. */
struct pool_row {
    uint16_t kind;
    uint16_t is_gone; /* there is no such row any more; the rest is 0 */
    uint32_t number;
    union {
        struct pool_row_pool pool;
        struct pool_row_account account;
        struct pool_row_process process;
        struct pool_row_group group;
        struct pool_row_opening opening;
        struct pool_row_loan loan;
    };
};

/* --- following --- */

/* From now on changes are told; all that there is counts as changed, now and whenever it is called
 * again. Costs nothing until then. 0 or -ENOMEM. */
int pool_follow(struct pool *pool);
/* One of the rows that have changed since it was told last, as it is now; each is told once, and one that
 * has come and gone as gone. false: no more. To be called until then after each call that may change
 * something, before an answer is given. */
bool pool_next_change(struct pool *pool, struct pool_row *row);

/* The number of its row. Only if the pool is followed. */
uint32_t pool_process_row(const struct pool_process *process);
uint32_t pool_opening_row(const struct pool_opening *opening);
/* Who has this number, or NULL. */
struct pool_process *pool_process_of_row(const struct pool *pool, uint32_t number);
struct pool_opening *pool_opening_of_row(const struct pool *pool, uint32_t number);

/* "loan"; "row" for what is no kind. */
const char *pool_row_kind_name(unsigned kind);

/* --- restoring --- */

/* Why rows were refused. */
struct pool_row_fault {
    unsigned kind;
    uint32_t number;
    const char *what; /* is wrong with this row: "its account is missing" */
};

/* A pool as it was when it told these rows last. `next` gives one row at a time, in any order, until it
 * returns false; rows that are gone are skipped. The pool is followed, its rows have the same numbers, and
 * there is nothing to tell. Nothing is due, and no opening has an owner: see pool_opening_set_owner(). NULL
 * with errno set: ENOMEM, or EINVAL and *fault: the rows are not those of any pool. */
struct pool *pool_restore(bool (*next)(void *context, struct pool_row *row), void *context,
                          struct pool_row_fault *fault);
/* As pool_open() does. */
void pool_opening_set_owner(struct pool_opening *opening, void *owner);
