/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the files of the pool share, and nobody else includes.
 *
 *   pool.c     tokens: read, write, poll, settings, time
 *   queue.c    who waits, and whose turn it is
 *   members.c  accounts, processes, groups, descriptions: who comes and goes
 *   claims.c   whose token pays for whose implicit slot, and who waits for that
 *   due.c      answers that are due to others than the caller
 *   rows.c     what must survive the server, as flat rows: tells which have changed
 *   restore.c  a pool from these rows
 *   status.c   what can be seen, and the check of all invariants
 *   tell.c     what happens, for those who read it
 */

#include <sys/queue.h>

#include "libjobserver/events/log.h"
#include "libjobserver/pool/heap.h"
#include "libjobserver/pool/pool.h"
#include "libjobserver/pool/rows.h"

#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

TAILQ_HEAD(pool_loans, pool_loan);
TAILQ_HEAD(pool_waiters, pool_waiter);
TAILQ_HEAD(pool_holders, pool_holder);
TAILQ_HEAD(pool_processes, pool_process);
TAILQ_HEAD(pool_openings, pool_opening);
TAILQ_HEAD(pool_accounts, pool_account);
TAILQ_HEAD(pool_users, pool_user);
TAILQ_HEAD(pool_groups, pool_group);
TAILQ_HEAD(pool_wishes, pool_wish);

/* Part of what it is about, so that nothing that becomes due needs memory. */
struct due {
    enum pool_due_kind kind;
    bool is_due;
    TAILQ_ENTRY(due) in_pool;
};
TAILQ_HEAD(dues, due);

/* What has a number, by the number. All links are numbers: slots move when a table grows. */
struct row_slot {
    void *object; /* NULL: the number is unused */
    uint32_t next_changed, next_unused;
    bool is_changed;
};

struct row_table {
    struct row_slot *slots;
    uint32_t count, room;
    uint32_t first_changed, first_unused;
};

struct pool_rows {
    struct row_table tables[POOL_ROW_KINDS];
    struct pool_row told; /* of the pool itself */
};

/* `row`, in what follows, is its number, and means nothing while nobody follows. */

/* What shares are compared by: what an account has, or a user with all its accounts. */
struct pool_share {
    unsigned weight;
    unsigned tokens;      /* held, or set aside for it */
    unsigned implicit;    /* of these, paid implicit slots, which do not count */
    unsigned claimed;     /* implicit slots that others' tokens pay for */
    uint64_t last_served; /* the ordinal of its last turn, or of its first wait; 0: never waited */
};

struct pool_user {
    uint32_t uid;
    struct pool_share share; /* its weight is the largest of its accounts' */
    struct pool_accounts accounts;
    unsigned account_count;
    unsigned wishes;
    struct pool_accounts waiting; /* those with a queue, the longest waiting first */
    struct heap by_share;         /* the same, by tokens for their weight */
    uint64_t passed_over_first;   /* how often the first of `waiting` was passed over */

    /* In pool->by_share while one of its accounts waits, but not at its limit. */
    struct heap_node in_by_share;
    TAILQ_ENTRY(pool_user) in_pool;
};

struct pool_account {
    uint32_t row;
    uint64_t key;
    struct pool_user *user;
    struct pool_share share;
    unsigned needy;   /* wait below it and have none */
    unsigned holders; /* references: processes and groups */
    enum pool_pause pause;
    struct pool_waiters queue;

    /* While its queue is not empty, and it is not paused, it stands in user->waiting and in user->by_share. */
    TAILQ_ENTRY(pool_account) in_waiting;
    struct heap_node in_by_share;
    uint64_t passed_over_step;
    TAILQ_ENTRY(pool_account) in_user;
};

/* Who owes tokens: a process by itself, or a group. */
struct pool_holder {
    uint32_t row;
    bool is_group;
    bool has_come; /* to be told of */
    bool pays_implicit;
    uint64_t ordinal;
    struct pool_account *account;
    struct pool_loans loans;
    unsigned held, reserved, queued, parked;
    struct pool_waiters parked_waiters; /* at its limit: these want nothing until it returns one */

    struct pool_holder *claimed_from; /* whose token pays for the implicit slot of this one */
    struct pool_holders claimers;     /* whose implicit slots are paid by tokens of this one */
    unsigned claims;
    uint64_t claim_ordinal; /* 0: has no claim */
    struct pool_wish *wish; /* NULL: it does not wait for a claim */
    TAILQ_ENTRY(pool_holder) in_claimers;
    TAILQ_ENTRY(pool_holder) in_pool;
};

struct pool_process {
    struct pool_holder holder;
    pid_t pid;
    bool is_client; /* a token was read, or asked for, that it is charged for */
    bool is_paid_by_parent;
    bool is_unpaid; /* rule 2; is counted */
    bool has_polled;
    struct pool_group *group;
    uint64_t joined; /* an ordinal; 0: is in no group */
    TAILQ_ENTRY(pool_process) in_group;
    unsigned wishes;               /* that name it as an ancestor */
    struct pool_openings openings; /* that it opened */
    struct pool_waiters waiters;   /* first those for whom a token is set aside */

    /* Rule 9. */
    unsigned lapses; /* reservations in a row that it did not use */
    unsigned tries;  /* non-blocking reads in vain */
    int64_t last_try_ns, usual_interval_ns;
};

struct pool_group {
    struct pool_holder holder;
    struct pool_process *founder; /* NULL: it has died */
    bool has_founded_account;     /* it is in no other group's */
    bool is_turn_over;            /* it has had one more than who waits for long enough */
    struct pool_processes members;
    pid_t last_pid; /* of the member that has left last */
    struct pool_openings openings;
    TAILQ_ENTRY(pool_group) in_pool;
};

struct pool_opening {
    uint32_t row;
    struct pool_process *opener; /* NULL: dead */
    struct pool_group *group;
    void *owner;
    unsigned idle;           /* of what its group holds: lent to nobody */
    unsigned told;           /* of what is asked for: it was told, and none has come back since */
    struct pool_loans loans; /* read through it */
    struct pool_waiters waiters; /* last the readers, of which there may be thousands */
    struct pool_wishes wishes;   /* of which it tells */
    struct due notify_due, recall_due;
    TAILQ_ENTRY(pool_opening) in_opener;
    TAILQ_ENTRY(pool_opening) in_group;
    TAILQ_ENTRY(pool_opening) in_pool;
};

/* A token that is held. There are as many as the capacity has ever been, so that a grant never
 * needs memory. */
struct pool_loan {
    uint32_t row;
    uint64_t ordinal;
    struct pool_holder *holder;       /* NULL: nobody, it is spare */
    struct pool_opening *opening;     /* NULL: closed since, or it was passed on */
    bool is_passed_on;                /* its holder, who had claimed it, does not know of it */
    TAILQ_ENTRY(pool_loan) in_holder; /* or in pool->spare_loans */
    TAILQ_ENTRY(pool_loan) in_opening;
};

enum waiter_kind {
    WAITER_READER, /* a blocked read */
    WAITER_POLLER,
    WAITER_LAZY, /* tries again every now and then, and can't be told when to */
};

enum waiter_state {
    WAITER_QUEUED,   /* in its account's queue */
    WAITER_PARKED,   /* its holder is at the per-process limit */
    WAITER_NEXT,     /* it is its turn, and it stands nowhere any more */
    WAITER_OFFERED,  /* notified; a token is set aside until it polls again */
    WAITER_RESERVED, /* a token is set aside for it */
    WAITER_ANSWERED, /* it waits no more; freed when its answer is taken */
};

struct pool_waiter {
    enum waiter_kind kind;
    enum waiter_state state;
    struct pool_process *process;
    struct pool_opening *opening;
    struct pool_holder *holder; /* who will be charged */
    void *reader;               /* WAITER_READER */
    int64_t since_ns;           /* has waited; 0: nobody was reading then */
    int64_t deadline_ns;        /* WAITER_OFFERED, WAITER_RESERVED */
    struct due due;             /* WAITER_ANSWERED */
    struct heap_node in_deadlines;
    TAILQ_ENTRY(pool_waiter) in_queue; /* of the account, or of the parked */
    TAILQ_ENTRY(pool_waiter) in_process;
    TAILQ_ENTRY(pool_waiter) in_opening;
};

/* Who has asked for a claim in vain. All are looked at whenever one may be granted. */
#define WISHES_PER_USER 256
struct pool_wish {
    struct pool_holder *holder; /* whose slot is to be paid for */
    struct pool_user *user;     /* that it was made for */
    struct pool_opening *opening;
    bool is_granted; /* it has the claim, or the server was replaced; and has not asked since */
    bool is_told;    /* and a poll has said so */
    TAILQ_ENTRY(pool_wish) in_pool;
    TAILQ_ENTRY(pool_wish) in_opening;
    size_t count;
    struct pool_process *ancestors[]; /* the living of them, nearest first */
};

struct pool {
    struct dues dues;
    struct due *first_new_due; /* and all behind it: pool_next_new_due() has not shown them */
    struct pool_rows *rows;    /* NULL: nobody follows */
    struct event_log *log;     /* NULL: nobody is told */
    unsigned job_class;        /* of what it is told */

    unsigned capacity, free, held, reserved, debt;
    unsigned per_process_limit, per_user_limit; /* 0: none */
    unsigned throttle;                          /* or POOL_NO_THROTTLE */

    struct pool_loans spare_loans;
    struct pool_loan **loan_blocks; /* as allocated, for pool_destroy() */
    size_t loan_block_count;
    unsigned loans; /* in all blocks */

    struct pool_users users;
    unsigned user_count, account_count;
    unsigned paused_accounts, paused_waiters; /* waiters: in the queues of these */
    struct heap by_share; /* the users whose turn it could be, by tokens for their weight */
    uint64_t next_turn;

    struct pool_wishes wishes; /* the oldest first */
    bool has_new_claimable;    /* one of them may be granted now */

    bool is_asking;        /* somebody was told */
    int64_t turn_ns;       /* when who has more than others has had it for long enough */
    struct heap deadlines; /* offers and reservations */
    struct pool_holders holders;
    struct pool_groups groups;
    struct pool_openings openings;
    unsigned process_count, waiter_count, unpaid_count;
    uint64_t next_ordinal;

    uint64_t granted, returned, foreign, dropped, reclaimed, lapsed;
};

/* --- pool.c --- */

/* Grants, offers and reserves until there is no free token or nobody whose turn it could be. */
void pool_serve(struct pool *pool, int64_t now_ns);
/* Somebody has come to wait, or there is a debt: those who lend tokens on are told. */
void pool_recall(struct pool *pool, int64_t now_ns);
/* The holder of `loan` holds it no more; the token pays a debt or is free. */
void pool_loan_end(struct pool *pool, struct pool_loan *loan);
/* It pays for the implicit slot of `claimer` from now on. */
void pool_loan_pass_on(struct pool *pool, struct pool_loan *loan, struct pool_holder *claimer);
/* Makes loans for `capacity` tokens, and room for as many deadlines: 0 or -ENOMEM. */
int pool_loans_reserve(struct pool *pool, unsigned capacity);
/* `opening`: NULL if it has been closed. */
void pool_loan_link(struct pool *pool, struct pool_loan *loan, struct pool_holder *holder,
                    struct pool_opening *opening);
void pool_loans_free(struct pool *pool);

/* --- due.c --- */

void pool_due(struct pool *pool, struct due *due, enum pool_due_kind kind);
/* What it is about is no more: nobody is to be told. */
void pool_due_forget(struct pool *pool, struct due *due);
/* Answers that are due to readers must name neither of these (or NULL) any more. */
void pool_due_orphan(struct pool *pool, const struct pool_opening *opening,
                     const struct pool_process *process);

/* --- queue.c --- */

/* The orders of pool->by_share, user->by_share and pool->deadlines. */
bool pool_user_before(struct heap_node *a, struct heap_node *b);
bool pool_account_before(struct heap_node *a, struct heap_node *b);
bool pool_deadline_before(struct heap_node *a, struct heap_node *b);

/* Are they at their limits, counting what is set aside for them? */
bool pool_holder_is_full(const struct pool *pool, const struct pool_holder *holder);
bool pool_user_is_full(const struct pool *pool, const struct pool_user *user);
/* A new waiter in its place; NULL: out of memory. */
struct pool_waiter *pool_wait(struct pool *pool, enum waiter_kind kind,
                              struct pool_opening *opening, struct pool_process *process,
                              void *reader);
/* Ends it, whatever its state; a token set aside for it is free, or pays a debt. `why`, which is told: lapsed, or waits
 * no more; or POOL_WAIT_GRANTED: it is told of by pool_tell_grant(). */
#define POOL_WAIT_GRANTED STEVED_EVENT_GRANTED
void pool_waiter_end(struct pool *pool, struct pool_waiter *waiter, enum steved_event_kind why);
/* Ends a blocked read, whose answer is due: a grant, or that it is cancelled. */
void pool_waiter_answer(struct pool *pool, struct pool_waiter *waiter, enum pool_due_kind answer);
/* Whose turn it is, taken out of the queue, its account marked as served; NULL: nobody's. */
struct pool_waiter *pool_next_waiter(struct pool *pool);
/* Sets a free token aside for a waiter that pool_next_waiter() returned. */
void pool_set_aside(struct pool *pool, struct pool_waiter *waiter, enum waiter_state state,
                    int64_t deadline_ns);
void pool_set_deadline(struct pool *pool, struct pool_waiter *waiter, int64_t deadline_ns);
/* What its place among the others depends on has changed. */
void pool_account_changed(struct pool *pool, struct pool_account *account);
void pool_user_changed(struct pool *pool, struct pool_user *user);
/* The waiting account whose turn is next, but for those that were passed over; NULL: none waits. */
const struct pool_account *pool_poorest_waiting(const struct pool *pool);
/* No token, none set aside, and no claim on another's. */
bool pool_share_is_none(const struct pool_share *share);
/* The same of an account, or of somebody below it. */
bool pool_has_none(const struct pool_account *account);
/* Tokens that count for it. */
uint64_t pool_tokens_counted(const struct pool_share *share);
/* The holder may be below its limit again: its parked waiters want something. */
void pool_unpark(struct pool *pool, struct pool_holder *holder);
/* Charges the waiter to who is the holder now, if that has changed. */
void pool_waiter_recharge(struct pool *pool, struct pool_waiter *waiter);

/* Added to what the account has, and its user with it. */
struct pool_change {
    int tokens, implicit, claimed;
};

static inline void
pool_share_add(struct pool_share *share, struct pool_change change)
{
    share->tokens += (unsigned)change.tokens;
    share->implicit += (unsigned)change.implicit;
    share->claimed += (unsigned)change.claimed;
}

static inline void
pool_account_add(struct pool *pool, struct pool_account *account, struct pool_change change)
{
    struct pool_user *user = account->user;

    pool_share_add(&account->share, change);
    pool_share_add(&user->share, change);
    /* Nobody of it waits, which is where a token is granted at once. */
    if (user->by_share.count > 0)
        pool_account_changed(pool, account);
}

/* --- members.c --- */

/* The next of all accounts; the first if `account` is NULL. */
struct pool_account *pool_account_next(const struct pool *pool, const struct pool_account *account);
/* Users and accounts are no more; nothing else is looked at. */
void pool_users_discard(struct pool *pool);
/* Notes and counts it; where its waiters stand is not changed. */
void pool_account_mark_pause(struct pool *pool, struct pool_account *account,
                             enum pool_pause pause);
/* Its weight, and with it that of its user. */
void pool_account_weigh(struct pool *pool, struct pool_account *account, unsigned weight);

/* Rule 6: who owes, or will owe, a token that `process` reads through `opening`. */
struct pool_holder *pool_holder_of(struct pool_opening *opening, struct pool_process *process);
bool pool_process_is_unpaid(const struct pool_process *process);
/* What tells whether somebody pays for the implicit slot of this holder has changed. */
void pool_holder_count_unpaid(struct pool *pool, struct pool_holder *holder);
void pool_holder_set_pays_implicit(struct pool *pool, struct pool_holder *holder, bool pays);
/* With no member. NULL: out of memory (the account then ends too, if nobody is in it). */
struct pool_group *pool_group_create(struct pool *pool, struct pool_account *account);

/* --- claims.c --- */

unsigned pool_holder_claimable(const struct pool_holder *holder);
void pool_claim_begin(struct pool *pool, struct pool_holder *claimer, struct pool_holder *ancestor);
/* No claim may end up below itself, as one of a group of two could. */
bool pool_claim_is_circle(const struct pool_holder *claimer, const struct pool_holder *ancestor);
/* The claim of this holder, if it has one, ends. */
void pool_claim_end(struct pool *pool, struct pool_holder *claimer);
/* Claims never exceed what is held. */
void pool_trim_claims(struct pool *pool, struct pool_holder *holder);
/* A token that the holder returns is not free, if all that it has is claimed: a make has one job more than
 * tokens, and who has claimed the token for a job runs on. NULL, or who has it from now on. */
struct pool_holder *pool_claimer_to_pay(struct pool_holder *holder);
/* What `from` has claimed, or waits to claim, is `to`'s from now on, unless that has or waits itself. */
void pool_claim_move(struct pool *pool, struct pool_holder *from, struct pool_holder *to);
/* Something that may be claimed has come to the holder. */
void pool_claimable_grew(struct pool *pool, struct pool_holder *holder);
/* Grants what can be granted to those who wait for a claim; they wait for a token no more. */
void pool_serve_wishes(struct pool *pool);
/* The holder waited for a claim through `opening`; of whom is not known any more, so it is to ask again. 0 or
 * -ENOMEM. */
int pool_wish_restore(struct pool *pool, struct pool_holder *holder, struct pool_opening *opening);
/* Could it be granted? It never can between two calls. */
bool pool_wish_is_grantable(const struct pool_wish *wish);
/* It is in an account of this user from now on. */
void pool_wish_change_user(struct pool_holder *holder, struct pool_user *user);
/* The holder waits for no claim any more: it has got a token, or has gone. */
void pool_wish_end(struct pool *pool, struct pool_holder *holder);
/* The process has died, which may be somebody's ancestor. */
void pool_wishes_forget(struct pool *pool, struct pool_process *ancestor);
/* Who reads through it, and has been told of a claim, does not ask for it. */
void pool_wishes_read_in_vain(struct pool *pool, struct pool_opening *opening);

/* --- tell.c, while somebody reads --- */

/* What a grant has ended. */
struct pool_wait {
    int status; /* STEVED_GRANT_* */
    int64_t since_ns;
};

void pool_add_event(struct pool *pool, enum steved_event_kind kind, struct pool_holder *holder,
                    unsigned count);
void pool_add_grant(struct pool *pool, struct pool_holder *holder, const struct pool_wait *wait);
void pool_add_return(struct pool *pool, struct pool_holder *holder, enum steved_event_kind kind,
                     int status);
void pool_add_jobs(struct pool *pool);
void pool_add_weight(struct pool *pool, const struct pool_account *account);
void pool_add_pause(struct pool *pool, const struct pool_account *account);
/* The first of its members, which was this one. */
void pool_add_left(struct pool *pool, const struct pool_group *group, pid_t pid);

static inline bool
pool_is_read(const struct pool *pool)
{
    return pool->log && event_log_is_read(pool->log);
}

static inline int64_t
pool_told_ns(const struct pool *pool)
{
    return pool_is_read(pool) ? pool->log->now_ns : 0;
}

static inline void
pool_tell_of(struct pool *pool, enum steved_event_kind kind, struct pool_holder *holder,
             unsigned count)
{
    if (pool_is_read(pool))
        pool_add_event(pool, kind, holder, count);
}

/* Once it is seen among the clients, before anything else that is told of it. */
static inline void
pool_tell_came(struct pool *pool, struct pool_holder *holder)
{
    if (holder->has_come)
        return;
    holder->has_come = true;
    pool_tell_of(pool, STEVED_EVENT_CAME, holder, holder->account->share.weight);
}

static inline void
pool_tell_grant(struct pool *pool, struct pool_holder *holder, struct pool_wait wait)
{
    if (pool_is_read(pool))
        pool_add_grant(pool, holder, &wait);
}

static inline void
pool_tell_return(struct pool *pool, struct pool_holder *holder, enum steved_event_kind kind,
                 int status)
{
    if (pool_is_read(pool))
        pool_add_return(pool, holder, kind, status);
}

/* --- rows.c --- */

struct pool_rows *pool_rows_create(void);
void pool_rows_free(struct pool_rows *rows);
/* The object has this number, and is not told. 0 or -ENOMEM. */
int pool_row_place(struct pool_rows *rows, enum pool_row_kind kind, uint32_t number, void *object);
/* Who has this number, or NULL. */
void *pool_row_object(const struct pool_rows *rows, enum pool_row_kind kind, uint32_t number);
/* All objects are placed: what lies between them is unused. */
void pool_rows_find_unused(struct pool_rows *rows);
/* The pool is followed by these, and as it is now has been told. */
void pool_rows_attach(struct pool *pool, struct pool_rows *rows);

/* Gives the object a number, if the pool is followed: 0 or -ENOMEM. */
int pool_row_begin(struct pool *pool, enum pool_row_kind kind, void *object, uint32_t *number);
void pool_row_end(struct pool *pool, enum pool_row_kind kind, uint32_t number);
/* pool_row_begin() cannot fail for so many loans in all. 0 or -ENOMEM. */
int pool_rows_reserve_loans(struct pool *pool, unsigned loans);

/* Something has changed of what its row tells. */
static inline void
pool_row_changed(struct pool *pool, enum pool_row_kind kind, uint32_t number)
{
    if (!pool->rows)
        return;
    struct row_table *table = &pool->rows->tables[kind];
    struct row_slot *slot = &table->slots[number];
    if (slot->is_changed)
        return;
    slot->is_changed = true;
    slot->next_changed = table->first_changed;
    table->first_changed = number;
}

static inline void
pool_holder_changed(struct pool *pool, const struct pool_holder *holder)
{
    pool_row_changed(pool, holder->is_group ? POOL_ROW_GROUP : POOL_ROW_PROCESS, holder->row);
}
