/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A million random operations on the pool, in orders that no server would send, each followed by
 * pool_check() and by a comparison with a model that knows nothing of queues and time: it only counts
 * what was granted to whom and returned.
 *
 * A server follows the rows of the pool (rows.h), and is replaced now and then: what it wrote down must be
 * what the pool is, and the pool that is built from it goes on in its place.
 *
 * In every other phase somebody reads the events (events/log.h), and counts by them alone.
 *
 *     test_pool_random [SEED]     or POOL_RANDOM_SEED; printed, to repeat a failure
 *     POOL_RANDOM_OPERATIONS      1000000 unless told
 *
 * Where the rules leave a choice (which of several holders a foreign return is credited to), the model
 * names those who may have changed, looks which of them did, and insists on the sum.
 */

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libjobserver/pool/pool.h"
#include "tests/unit/chance.h"
#include "tests/unit/event_model.h"
#include "tests/unit/row_table.h"

#define PROCESSES 320
#define OPENINGS 384
#define GROUPS 128
#define READERS 512
#define HOLDERS (PROCESSES + GROUPS) /* a holder is a process, or a group behind them */
#define NOBODY (-1)
#define PHASES 40

struct process {
    struct pool_process *handle; /* NULL: the slot is free */
    pid_t pid;
    uint32_t uid;     /* of its account */
    int group;        /* NOBODY: in none */
    bool has_claimed; /* or may have, or has paid itself: a second claim is granted by the first */
};

struct opening {
    struct pool_opening *handle; /* NULL: the slot is free */
    struct random_test *test;
    int opener;            /* NOBODY: it has died */
    int group;             /* that owns what is read through it, or NOBODY */
    bool read_by[HOLDERS]; /* who may hold tokens that were read through it */
    unsigned told;         /* for how many tokens it was asked when it was told last */
    unsigned held_then;
};

struct reader {
    struct pool_waiter *waiter; /* valid while blocked */
    bool blocked;
    int process, opening;
    int holder; /* as it was when the read began to wait */
    uint64_t serial;
};

struct random_test {
    uint64_t seed, random;
    unsigned long operations, done;
    const char *operation;

    struct pool *pool;
    int64_t now_ns;
    pid_t last_pid;
    unsigned target; /* processes of this phase */
    unsigned capacity, limit, user_limit, throttle;

    struct process processes[PROCESSES];
    struct opening openings[OPENINGS];
    struct reader readers[READERS];
    unsigned members[GROUPS];
    uint32_t group_uids[GROUPS];
    pid_t group_pids[GROUPS][4]; /* a group is listed under one of its members */
    unsigned held[HOLDERS];      /* the model */
    bool uncertain[HOLDERS];     /* the last operation may have changed these */
    bool any_uncertain;
    bool may_keep_one[HOLDERS]; /* that was passed on, and that a write does not return */

    uint64_t grants, waits, deaths, foreign, drops, lapses, joins, reservations_used;
    uint64_t late_claims, passed_on, recalls, pauses;
    uint64_t notices; /* of the last read */

    bool is_read;
    struct event_model events;
    bool is_followed;
    struct row_table rows; /* as told */
    uint64_t readings, restarts, moved;
};

#define complain(t, ...)                                                                           \
    do {                                                                                           \
        print_error("# seed %llu, operation %lu (%s)\n", (unsigned long long)(t)->seed, (t)->done, \
                    (t)->operation);                                                               \
        fail_msg(__VA_ARGS__);                                                                     \
    } while (0)

/* --- the model --- */

static bool
group_lives(const struct random_test *t, int group)
{
    return group != NOBODY && t->members[group] > 0;
}

/* Rule 6: the group of the description, else its living opener, else the reader. */
static int
holder_of(const struct random_test *t, int process, int opening)
{
    const struct opening *o = &t->openings[opening];
    if (group_lives(t, o->group))
        return PROCESSES + o->group;
    return o->opener != NOBODY ? o->opener : process;
}

static void
may_have_changed(struct random_test *t, int holder)
{
    t->uncertain[holder] = t->any_uncertain = true;
    int group = holder < PROCESSES ? t->processes[holder].group : NOBODY;
    if (group != NOBODY)
        t->uncertain[PROCESSES + group] = true;
}

static uint32_t
uid_of(const struct random_test *t, int holder)
{
    return holder < PROCESSES ? t->processes[holder].uid : t->group_uids[holder - PROCESSES];
}

/* All that the holders of this user have, of what each has. */
static unsigned
sum_of_user(const struct random_test *t, uint32_t uid, const unsigned has[HOLDERS])
{
    unsigned sum = 0;
    for (int h = 0; h < HOLDERS; h++)
        sum += uid_of(t, h) == uid ? has[h] : 0;
    return sum;
}

/* A reservation that was made before the limit, or for another holder that has died, is honoured;
 * nothing else goes beyond the limit. */
static void
check_limit(struct random_test *t, int process, int opening)
{
    int holder = holder_of(t, process, opening);
    bool certain =
        !t->any_uncertain && (holder >= PROCESSES || t->processes[holder].group == NOBODY);
    if (certain && t->limit > 0 && t->held[holder] >= t->limit)
        complain(t, "holder %d has %u of at most %u, and is granted one", holder, t->held[holder],
                 t->limit);
    if (certain && t->user_limit > 0 && sum_of_user(t, uid_of(t, holder), t->held) >= t->user_limit)
        complain(t, "user %u has %u, and is granted one", uid_of(t, holder), t->user_limit);
}

static bool
is_process_paused(const struct random_test *t, int p)
{
    const struct pool_process *process = t->processes[p].handle;
    return process && pool_account_describe(pool_process_account(process)).pause;
}

/* A group is in the account of any member. */
static bool
is_paused(const struct random_test *t, int holder)
{
    if (holder < PROCESSES)
        return is_process_paused(t, holder);
    for (int p = 0; p < PROCESSES; p++)
        if (t->processes[p].group == holder - PROCESSES)
            return is_process_paused(t, p);
    return false;
}

/* One token more for whoever reads here. A member of a group that reads through a description of its
 * own is the one case in which the rules do not say whether it or its group is the holder. */
static void
model_granted(struct random_test *t, int process, int opening)
{
    int holder = holder_of(t, process, opening);
    if (is_paused(t, holder))
        complain(t, "holder %d is paused, and is granted one", holder);
    t->held[holder]++;
    t->grants++;
    t->openings[opening].read_by[holder] = true;
    if (holder < PROCESSES && t->processes[holder].group != NOBODY) {
        t->openings[opening].read_by[PROCESSES + t->processes[holder].group] = true;
        may_have_changed(t, holder);
    }
}

static unsigned
model_total(const struct random_test *t)
{
    unsigned total = 0;
    for (int i = 0; i < HOLDERS; i++)
        total += t->held[i];
    return total;
}

static int
holder_by_pid(const struct random_test *t, const struct pool_client *client)
{
    if (client->is_group) {
        for (int g = 0; g < GROUPS; g++) {
            for (int m = 0; t->members[g] > 0 && m < 4; m++) {
                if (t->group_pids[g][m] == client->pid)
                    return PROCESSES + g;
            }
        }
        return NOBODY;
    }
    for (int p = 0; p < PROCESSES; p++) {
        if (t->processes[p].handle && t->processes[p].pid == client->pid)
            return p;
    }
    return NOBODY;
}

struct seen {
    unsigned held[HOLDERS], reserved[HOLDERS];
};

/* What the list of clients says, which must add up to what the status says. */
static void
observe(struct random_test *t, const struct pool_status *s, struct seen *seen)
{
    struct pool_client page[64];
    uint64_t cursor = 0;
    unsigned held = 0, reserved = 0, waiting = 0;
    memset(seen, 0, sizeof(*seen));
    for (size_t n; (n = pool_get_clients(t->pool, &cursor, page, 64)) > 0;) {
        for (size_t i = 0; i < n; i++) {
            held += page[i].held;
            reserved += page[i].reserved;
            waiting += page[i].waiting;
            if (page[i].claims > page[i].held + 1) /* it may have claimed one itself */
                complain(t, "pid %d holds %u but %u are claimed", (int)page[i].pid, page[i].held,
                         page[i].claims);
            int holder = holder_by_pid(t, &page[i]);
            if (holder == NOBODY)
                complain(t, "pid %d is listed but not alive", (int)page[i].pid);
            if (page[i].uid != uid_of(t, holder))
                complain(t, "pid %d is listed as user %u's, and is %u's", (int)page[i].pid,
                         page[i].uid, uid_of(t, holder));
            seen->held[holder] += page[i].held;
            seen->reserved[holder] += page[i].reserved;
        }
    }
    if (held != s->held || reserved != s->reserved || waiting != s->waiting)
        complain(t, "listed %u held, %u reserved, %u waiting; status %u, %u, %u", held, reserved,
                 waiting, s->held, s->reserved, s->waiting);
}

static void
compare_with_model(struct random_test *t, const struct seen *seen)
{
    for (int i = 0; i < HOLDERS; i++) {
        if (!t->uncertain[i] && t->held[i] != seen->held[i])
            complain(t, "holder %d has %u tokens, should have %u", i, seen->held[i], t->held[i]);
        t->held[i] = seen->held[i];
        t->may_keep_one[i] &= seen->held[i] > 0;
        t->uncertain[i] = false;
    }
    t->any_uncertain = false;
}

/* Rule 10. */
static bool
is_held_back(const struct random_test *t, const struct pool_status *s)
{
    return s->held + s->reserved >= t->throttle;
}

/* Counting what is set aside. */
static bool
is_user_full(const struct random_test *t, const struct seen *seen, int holder)
{
    uint32_t uid = uid_of(t, holder);
    return t->user_limit > 0 &&
           sum_of_user(t, uid, seen->held) + sum_of_user(t, uid, seen->reserved) >= t->user_limit;
}

/* Rule 3: no blocked read that may have a token waits beside a free one. A process at its limit and
 * everybody under a throttle may not; a reservation counts for the limit of its process. */
static void
check_nobody_waits_in_vain(struct random_test *t, const struct pool_status *s)
{
    if (s->free == 0 || s->waiting == s->paused)
        return;
    if (is_held_back(t, s))
        return;
    if (t->limit == 0 && t->user_limit == 0)
        complain(t, "%u tokens are free and %u clients wait", s->free, s->waiting - s->paused);
    struct seen seen;
    observe(t, s, &seen);
    for (int i = 0; i < READERS; i++) {
        const struct reader *r = &t->readers[i];
        if (!r->blocked)
            continue;
        int h = holder_of(t, r->process, r->opening);
        if (is_paused(t, h))
            continue;
        unsigned has = seen.held[h] + seen.reserved[h];
        if (h != r->process)
            has += seen.reserved[r->process];
        if ((t->limit == 0 || has < t->limit) && !is_user_full(t, &seen, h))
            complain(t, "holder %d has %u of at most %u, waits, and %u are free", h, has, t->limit,
                     s->free);
    }
}

/* Who is listed has come, and not left. */
static void
check_events(struct random_test *t)
{
    if (!t->is_read)
        return;
    const char *wrong = event_model_check(&t->events, t->pool, t->now_ns);
    if (wrong)
        complain(t, "%s", wrong);
    if (one_in(&t->random, 32) && t->events.clients < event_model_count_clients(t->pool))
        complain(t, "%d clients have come by the events, and %d are listed", t->events.clients,
                 event_model_count_clients(t->pool));
}

static struct pool_status
check(struct random_test *t)
{
    struct pool_status s;
    const char *wrong = pool_check(t->pool);
    if (wrong)
        complain(t, "pool_check: %s", wrong);
    pool_get_status(t->pool, &s);
    if (s.free + s.held + s.reserved != s.capacity + s.debt)
        complain(t, "rule 1: %u free + %u held + %u reserved != %u capacity + %u debt", s.free,
                 s.held, s.reserved, s.capacity, s.debt);
    if (s.debt > 0 && (s.free > 0 || s.reserved > 0))
        complain(t, "rule 1: debt %u beside %u free, %u reserved", s.debt, s.free, s.reserved);
    if (s.capacity != t->capacity)
        complain(t, "capacity %u, should be %u", s.capacity, t->capacity);
    if (s.held != model_total(t))
        complain(t, "%u tokens held, should be %u", s.held, model_total(t));
    check_nobody_waits_in_vain(t, &s);
    check_events(t);
    if (t->any_uncertain || one_in(&t->random, 32)) {
        struct seen seen;
        observe(t, &s, &seen);
        compare_with_model(t, &seen);
    }
    return s;
}

/* --- the fake server --- */

static bool
on_grant(struct random_test *t, struct reader *r)
{
    if (!r->blocked)
        complain(t, "a read is answered twice");
    if (!t->processes[r->process].handle)
        complain(t, "a dead process is granted a token");
    r->blocked = false;
    if (one_in(&t->random, 16))
        return false;
    int holder = holder_of(t, r->process, r->opening);
    check_limit(t, r->process, r->opening);
    model_granted(t, r->process, r->opening);
    if (holder != r->holder) { /* the opener died, or the description got a group meanwhile */
        may_have_changed(t, holder);
        if (holder >= PROCESSES)
            may_have_changed(t, r->holder);
    }
    return true;
}

static void
on_cancel(struct random_test *t, struct reader *r)
{
    if (!r->blocked)
        complain(t, "a read is answered twice");
    if (t->processes[r->process].handle)
        complain(t, "the read of a living process is cancelled");
    r->blocked = false;
}

static void
on_notify(struct random_test *t, const struct opening *o)
{
    if (!o->handle)
        complain(t, "a closed description is notified");
    t->notices++;
}

static void
on_recall(struct random_test *t, struct opening *o)
{
    if (!o->handle)
        complain(t, "a closed description is asked for tokens");
    o->told = pool_recalled(t->pool, o->handle);
    o->held_then = pool_held(o->handle);
}

/* Who is asked for tokens has heard of it, and has not returned them since. */
static void
check_recall(struct random_test *t)
{
    for (int i = 0; i < OPENINGS; i++) {
        struct opening *o = &t->openings[i];
        if (!o->handle || o->group == NOBODY)
            continue;
        unsigned held = pool_held(o->handle), recalled = pool_recalled(t->pool, o->handle);
        unsigned returned = o->held_then > held ? o->held_then - held : 0;
        if (recalled == 0)
            o->told = 0;
        else if (recalled + returned > o->told)
            complain(t, "%u tokens are asked for; it was told of %u, and returned %u", recalled,
                     o->told, returned);
        t->recalls += recalled > 0;
    }
}

static void
answer_due(struct random_test *t)
{
    struct pool_due due;

    while (pool_next_due(t->pool, &due)) {
        switch (due.kind) {
        case POOL_DUE_GRANT:
            if (!on_grant(t, due.reader))
                pool_grant_failed(t->pool, due.opening, due.process, t->now_ns);
            break;
        case POOL_DUE_CANCEL:
            on_cancel(t, due.reader);
            break;
        case POOL_DUE_NOTIFY:
            on_notify(t, due.owner);
            break;
        case POOL_DUE_RECALL:
            on_recall(t, due.owner);
            break;
        }
    }
}

/* What a call makes due is answered before the next one. */
#define pool_read(...)                                                                             \
    __extension__({                                                                                \
        __auto_type result_ = (pool_read)(__VA_ARGS__);                                            \
        answer_due(t);                                                                             \
        result_;                                                                                   \
    })
#define pool_write(...)                                                                            \
    __extension__({                                                                                \
        __auto_type result_ = (pool_write)(__VA_ARGS__);                                           \
        answer_due(t);                                                                             \
        result_;                                                                                   \
    })
#define pool_claim_implicit(...)                                                                   \
    __extension__({                                                                                \
        __auto_type result_ = (pool_claim_implicit)(__VA_ARGS__);                                  \
        answer_due(t);                                                                             \
        result_;                                                                                   \
    })
#define pool_poll(...)                                                                             \
    __extension__({                                                                                \
        __auto_type result_ = (pool_poll)(__VA_ARGS__);                                            \
        answer_due(t);                                                                             \
        result_;                                                                                   \
    })
#define pool_set_capacity(...)                                                                     \
    __extension__({                                                                                \
        __auto_type result_ = (pool_set_capacity)(__VA_ARGS__);                                    \
        answer_due(t);                                                                             \
        result_;                                                                                   \
    })
#define pool_pay_implicit(...)                                                                     \
    __extension__({                                                                                \
        __auto_type result_ = (pool_pay_implicit)(__VA_ARGS__);                                    \
        answer_due(t);                                                                             \
        result_;                                                                                   \
    })
#define pool_interrupt(...)                                                                        \
    do {                                                                                           \
        (pool_interrupt)(__VA_ARGS__);                                                             \
        answer_due(t);                                                                             \
    } while (0)
#define pool_grant_failed(...)                                                                     \
    do {                                                                                           \
        (pool_grant_failed)(__VA_ARGS__);                                                          \
        answer_due(t);                                                                             \
    } while (0)
#define pool_process_died(...)                                                                     \
    do {                                                                                           \
        (pool_process_died)(__VA_ARGS__);                                                          \
        answer_due(t);                                                                             \
    } while (0)
#define pool_close(...)                                                                            \
    do {                                                                                           \
        (pool_close)(__VA_ARGS__);                                                                 \
        answer_due(t);                                                                             \
    } while (0)
#define pool_account_set_weight(...)                                                               \
    do {                                                                                           \
        (pool_account_set_weight)(__VA_ARGS__);                                                    \
        answer_due(t);                                                                             \
    } while (0)
#define pool_account_set_pause(...)                                                                \
    do {                                                                                           \
        (pool_account_set_pause)(__VA_ARGS__);                                                     \
        answer_due(t);                                                                             \
    } while (0)
#define pool_set_per_process_limit(...)                                                            \
    do {                                                                                           \
        (pool_set_per_process_limit)(__VA_ARGS__);                                                 \
        answer_due(t);                                                                             \
    } while (0)
#define pool_set_per_user_limit(...)                                                               \
    do {                                                                                           \
        (pool_set_per_user_limit)(__VA_ARGS__);                                                    \
        answer_due(t);                                                                             \
    } while (0)
#define pool_set_idle(...)                                                                         \
    do {                                                                                           \
        (pool_set_idle)(__VA_ARGS__);                                                              \
        answer_due(t);                                                                             \
    } while (0)
#define pool_group_set_needy(...)                                                                  \
    do {                                                                                           \
        (pool_group_set_needy)(__VA_ARGS__);                                                       \
        answer_due(t);                                                                             \
    } while (0)
#define pool_set_throttle(...)                                                                     \
    do {                                                                                           \
        (pool_set_throttle)(__VA_ARGS__);                                                          \
        answer_due(t);                                                                             \
    } while (0)
#define pool_expire(...)                                                                           \
    do {                                                                                           \
        (pool_expire)(__VA_ARGS__);                                                                \
        answer_due(t);                                                                             \
    } while (0)

/* --- the operations --- */

static int
any_process(struct random_test *t)
{
    for (int tries = 0; tries < 16; tries++) {
        int p = (int)below(&t->random, t->target);
        if (t->processes[p].handle)
            return p;
    }
    return NOBODY;
}

/* Mostly one that the process opened itself, as most clients do. */
static int
any_opening(struct random_test *t, int process)
{
    int found = NOBODY, start = (int)below(&t->random, OPENINGS);
    bool own = !one_in(&t->random, 4);
    for (int i = 0; i < OPENINGS; i++) {
        int o = (start + i) % OPENINGS;
        if (!t->openings[o].handle)
            continue;
        found = o;
        if (!own || t->openings[o].opener == process)
            return o;
    }
    return found;
}

static bool
op_birth(struct random_test *t)
{
    int p = (int)below(&t->random, t->target);
    struct process *process = &t->processes[p];
    if (process->handle)
        return false;
    process->uid = 1000 + below(&t->random, 3);
    struct pool_account *account =
        pool_account(t->pool, process->uid, 1 + below(&t->random, 1 + t->target / 4));
    process->handle =
        account ? pool_process_add(t->pool, ++t->last_pid, account, one_in(&t->random, 2)) : NULL;
    if (!process->handle)
        complain(t, "out of memory");
    process->pid = t->last_pid;
    process->group = NOBODY;
    process->has_claimed = false;
    return true;
}

static void
kill_process(struct random_test *t, int p)
{
    struct process *process = &t->processes[p];
    struct pool_process *handle = process->handle;
    int group = process->group;
    process->handle = NULL;
    t->held[p] = 0;
    t->may_keep_one[p] = false;
    if (group != NOBODY && --t->members[group] == 0) {
        t->held[PROCESSES + group] = 0;
        t->may_keep_one[PROCESSES + group] = false;
    }
    process->group = NOBODY;
    for (int o = 0; o < OPENINGS; o++) {
        if (t->openings[o].opener == p)
            t->openings[o].opener = NOBODY;
    }
    t->deaths++;
    pool_process_died(t->pool, handle, t->now_ns);
    for (int i = 0; i < READERS; i++) {
        if (t->readers[i].blocked && t->readers[i].process == p)
            complain(t, "a blocked read outlived its process");
    }
    for (int o = 0; o < OPENINGS; o++)
        t->openings[o].read_by[p] = false;
}

static bool
op_death(struct random_test *t)
{
    int p = any_process(t);
    if (p == NOBODY)
        return false;
    kill_process(t, p);
    return true;
}

static bool
op_open(struct random_test *t)
{
    int p = any_process(t), o = (int)below(&t->random, OPENINGS);
    if (p == NOBODY || t->openings[o].handle)
        return false;
    struct opening *opening = &t->openings[o];
    memset(opening, 0, sizeof(*opening));
    opening->test = t;
    opening->opener = p;
    opening->group = NOBODY;
    opening->handle = pool_open(t->pool, t->processes[p].handle, opening);
    if (!opening->handle)
        complain(t, "out of memory");
    return true;
}

static void
interrupt(struct random_test *t, struct reader *r)
{
    r->blocked = false;
    pool_interrupt(t->pool, r->waiter, t->now_ns);
}

static bool
op_interrupt(struct random_test *t)
{
    unsigned start = below(&t->random, READERS);
    for (unsigned i = 0; i < READERS; i++) {
        struct reader *r = &t->readers[(start + i) % READERS];
        if (r->blocked) {
            interrupt(t, r);
            return true;
        }
    }
    return false;
}

/* The kernel keeps a description while a read through it is blocked. */
static bool
op_close(struct random_test *t)
{
    int o = (int)below(&t->random, OPENINGS);
    if (!t->openings[o].handle)
        return false;
    for (int i = 0; i < READERS; i++) {
        if (t->readers[i].blocked && t->readers[i].opening == o)
            interrupt(t, &t->readers[i]);
    }
    struct pool_opening *handle = t->openings[o].handle;
    t->openings[o].handle = NULL;
    t->openings[o].opener = NOBODY;
    t->openings[o].group = NOBODY;
    pool_close(t->pool, handle, t->now_ns);
    return true;
}

/* May a read by this process have a token now, and must it? */
static bool
must_be_granted(struct random_test *t, const struct pool_status *s, int p, int o)
{
    if (s->free == 0 || is_held_back(t, s) || is_paused(t, holder_of(t, p, o)))
        return false;
    if (t->limit == 0 && t->user_limit == 0)
        return true;
    struct seen seen;
    observe(t, s, &seen);
    int h = holder_of(t, p, o);
    if (is_user_full(t, &seen, h))
        return false;
    unsigned has = seen.held[h] + seen.reserved[h] + seen.held[p] + seen.reserved[p];
    if (t->processes[p].group != NOBODY)
        has += seen.held[PROCESSES + t->processes[p].group];
    return t->limit == 0 || has < t->limit;
}

static void
granted(struct random_test *t, const struct pool_status *before, int p, int o)
{
    struct pool_status after;
    pool_get_status(t->pool, &after);
    if (before->free == 0 || is_held_back(t, before)) {
        /* who gets a claim by it gives up what is set aside for it */
        bool is_one = after.reserved + 1 == before->reserved ||
                      (t->notices > 0 && after.reserved + 1 < before->reserved);
        if (before->reserved == 0 || !is_one)
            complain(t, "granted although none was to be had and none reserved for the reader");
        t->reservations_used++;
    }
    if (after.reserved >= before->reserved)
        check_limit(t, p, o);
    model_granted(t, p, o);
    if (!one_in(&t->random, 16))
        return;
    if (t->any_uncertain)
        check(t); /* who is the holder must be known before the token is taken from it */
    int holder = holder_of(t, p, o);
    t->held[holder]--;
    if (holder < PROCESSES && t->processes[holder].group != NOBODY)
        may_have_changed(t, holder);
    pool_grant_failed(t->pool, t->openings[o].handle, t->processes[p].handle, t->now_ns);
}

static void
read_without_waiting(struct random_test *t, int p, int o, bool promised)
{
    struct pool_status before;
    pool_get_status(t->pool, &before);
    bool must = promised || must_be_granted(t, &before, p, o);
    t->notices = 0;
    enum pool_answer answer = pool_read(t->pool, t->openings[o].handle, t->processes[p].handle,
                                        true, NULL, NULL, t->now_ns);
    if (answer != POOL_GRANTED && answer != POOL_TRY_AGAIN)
        complain(t, "a non-blocking read is answered %d", (int)answer);
    if (must && answer != POOL_GRANTED)
        complain(t, "refused: %u free, %u reserved%s", before.free, before.reserved,
                 promised ? ", and a poll had just said yes" : "");
    if (answer == POOL_GRANTED)
        granted(t, &before, p, o);
}

static bool
op_read_nonblocking(struct random_test *t)
{
    int p = any_process(t), o = p == NOBODY ? NOBODY : any_opening(t, p);
    if (o == NOBODY)
        return false;
    read_without_waiting(t, p, o, false);
    return true;
}

static void
read_blocking(struct random_test *t, struct reader *r, int p, int o)
{
    struct pool_status before;
    pool_get_status(t->pool, &before);
    bool must = must_be_granted(t, &before, p, o);
    t->notices = 0;
    *r = (struct reader){.process = p, .opening = o, .holder = holder_of(t, p, o)};
    enum pool_answer answer = pool_read(t->pool, t->openings[o].handle, t->processes[p].handle,
                                        false, r, &r->waiter, t->now_ns);
    if (answer == POOL_GRANTED) {
        granted(t, &before, p, o);
    } else if (answer != POOL_WAITS || must) {
        complain(t, "a blocking read is answered %d", (int)answer);
    } else {
        r->blocked = true;
        r->serial = ++t->waits;
    }
}

static bool
op_read_blocking(struct random_test *t)
{
    int p = any_process(t), o = p == NOBODY ? NOBODY : any_opening(t, p);
    struct reader *r = &t->readers[below(&t->random, READERS)];
    if (o == NOBODY || r->blocked)
        return false;
    read_blocking(t, r, p, o);
    return true;
}

static bool
op_poll(struct random_test *t)
{
    int p = any_process(t), o = p == NOBODY ? NOBODY : any_opening(t, p);
    if (o == NOBODY)
        return false;
    struct pool_status before;
    pool_get_status(t->pool, &before);
    bool must = must_be_granted(t, &before, p, o);
    bool claim_has_come = !one_in(&t->random, 2) && pool_claim_has_come(t->openings[o].handle);
    bool readable = pool_poll(t->pool, t->openings[o].handle, t->processes[p].handle,
                              !one_in(&t->random, 8), t->now_ns);
    if ((must || claim_has_come) && !readable)
        complain(t, "%u tokens are free, or a claim has come, but a poll says no", before.free);
    /* what it may have said yes to is a claim, which is not read */
    bool is_promised = !pool_claim_has_come(t->openings[o].handle);
    check(t);
    if (readable && one_in(&t->random, 2))
        read_without_waiting(t, p, o, is_promised);
    return true;
}

static size_t
any_size(struct random_test *t)
{
    static const size_t odd[] = {0, 2, 3, 5, 1000, INT32_MAX};
    return one_in(&t->random, 6) ? odd[below(&t->random, 6)] : 1;
}

/* The most tokens that a write by this process may be credited; marks those who may pay. */
static size_t
mark_who_may_pay(struct random_test *t, int p, int o)
{
    int group = t->processes[p].group;
    size_t most = t->held[p];
    may_have_changed(t, p);
    if (group != NOBODY)
        most += t->held[PROCESSES + group];
    for (int h = 0; h < HOLDERS; h++) {
        if (h == p || (group != NOBODY && h == PROCESSES + group) || !t->openings[o].read_by[h])
            continue;
        most += t->held[h];
        may_have_changed(t, h);
    }
    return most;
}

/* Makes the sum right; compare_with_model() finds out who it was, of those who may have been. */
static void
deduct(struct random_test *t, int writer, size_t credited)
{
    for (int h = -1; credited > 0 && h < HOLDERS; h++) {
        int from = h < 0 ? writer : h;
        if (!t->uncertain[from])
            continue;
        unsigned taken = t->held[from] < credited ? t->held[from] : (unsigned)credited;
        t->held[from] -= taken;
        credited -= taken;
    }
}

/* To some of those who may have claimed a token; compare_with_model() finds out who it was. */
static void
pass_on(struct random_test *t, const struct pool_status *s, unsigned tokens)
{
    struct seen seen;
    int one = NOBODY;
    observe(t, s, &seen);
    for (int h = 0; h < HOLDERS; h++) {
        if (h < PROCESSES && !(t->processes[h].handle && t->processes[h].has_claimed))
            continue;
        if (h >= PROCESSES && !group_lives(t, h - PROCESSES))
            continue;
        t->uncertain[h] = t->any_uncertain = true;
        t->may_keep_one[h] |= seen.held[h] > 0;
        one = h;
    }
    if (one == NOBODY)
        complain(t, "%u tokens that nobody has claimed were passed on", tokens);
    t->held[one] += tokens;
    t->passed_on += tokens;
}

/* Rule 4. Exact if the writer holds enough by itself, else between what it has and what all holders
 * through this description have. */
static bool
op_write(struct random_test *t)
{
    int p = any_process(t), o = p == NOBODY ? NOBODY : any_opening(t, p);
    if (o == NOBODY)
        return false;
    size_t n = any_size(t), own = t->held[p] > 0 ? t->held[p] - t->may_keep_one[p] : 0;
    size_t least = own < n ? own : n;
    bool exact = t->processes[p].group == NOBODY && least == n;
    size_t most = exact ? n : mark_who_may_pay(t, p, o);
    if (exact)
        t->held[p] -= (unsigned)n; /* before the call: it may grant */
    struct pool_status before, after;
    pool_get_status(t->pool, &before);
    uint64_t grants_before = t->grants;
    size_t credited =
        pool_write(t->pool, t->openings[o].handle, t->processes[p].handle, n, t->now_ns);
    pool_get_status(t->pool, &after);
    if (credited < least || credited > most || credited > n)
        complain(t, "a write of %zu is credited %zu, not %zu to %zu", n, credited, least, most);
    if (after.returned != before.returned + credited ||
        after.dropped != before.dropped + n - credited)
        complain(t, "a write of %zu is credited %zu, but counted otherwise", n, credited);
    uint64_t granted = t->grants - grants_before;
    uint64_t passed_on = after.granted - before.granted - granted;
    if (after.held != before.held - credited + granted + passed_on)
        complain(t, "a write is credited %zu but %u became %u", credited, before.held, after.held);
    if (!exact)
        deduct(t, p, credited);
    if (passed_on > 0)
        pass_on(t, &after, (unsigned)passed_on);
    return true;
}

static bool
op_resize(struct random_test *t)
{
    unsigned capacity =
        one_in(&t->random, 8) ? 1 + below(&t->random, 400) : 1 + below(&t->random, 16);
    if (one_in(&t->random, 16))
        capacity = one_in(&t->random, 2) ? 0 : POOL_CAPACITY_MAX + 1;
    bool valid = capacity <= POOL_CAPACITY_MAX;
    if (valid)
        t->capacity = capacity;
    if (pool_set_capacity(t->pool, capacity, t->now_ns) != (valid ? 0 : -EINVAL))
        complain(t, "capacity %u is %s", capacity, valid ? "refused" : "accepted");
    return true;
}

static bool
op_limit(struct random_test *t)
{
    t->limit = one_in(&t->random, 2) ? 0 : 1 + below(&t->random, 4);
    pool_set_per_process_limit(t->pool, t->limit, t->now_ns);
    return true;
}

static bool
op_user_limit(struct random_test *t)
{
    t->user_limit = one_in(&t->random, 2) ? 0 : 1 + below(&t->random, 8);
    pool_set_per_user_limit(t->pool, t->user_limit, t->now_ns);
    return true;
}

static bool
op_throttle(struct random_test *t)
{
    t->throttle = one_in(&t->random, 3) ? 1 + below(&t->random, 6) : POOL_NO_THROTTLE;
    pool_set_throttle(t->pool, t->throttle, t->now_ns);
    return true;
}

static bool
op_weight(struct random_test *t)
{
    int p = any_process(t);
    if (p == NOBODY)
        return false;
    unsigned weight =
        one_in(&t->random, 2) ? 1 + below(&t->random, POOL_WEIGHT_MAX) : POOL_WEIGHT_DEFAULT;
    pool_account_set_weight(t->pool, pool_process_account(t->processes[p].handle), weight,
                            t->now_ns);
    return true;
}

static bool
op_pause(struct random_test *t)
{
    int p = any_process(t);
    if (p == NOBODY)
        return false;
    unsigned pause = one_in(&t->random, 4) ? 1 + below(&t->random, 2) : POOL_NOT_PAUSED;
    pool_account_set_pause(t->pool, pool_process_account(t->processes[p].handle),
                           (enum pool_pause)pause, t->now_ns);
    struct pool_status s;
    pool_get_status(t->pool, &s);
    t->pauses += s.paused > 0;
    return true;
}

static bool
op_paid(struct random_test *t)
{
    int p = any_process(t);
    if (p == NOBODY)
        return false;
    pool_process_set_paid(t->pool, t->processes[p].handle);
    return true;
}

/* A group that nobody is in and no description belongs to; NOBODY if all are in use. */
static int
unused_group(const struct random_test *t)
{
    for (int g = 0; g < GROUPS; g++) {
        bool used = t->members[g] > 0;
        for (int o = 0; o < OPENINGS && !used; o++)
            used = t->openings[o].handle && t->openings[o].group == g;
        if (!used)
            return g;
    }
    return NOBODY;
}

static void
joined(struct random_test *t, int p, int o)
{
    struct opening *opening = &t->openings[o];
    struct process *process = &t->processes[p];
    if (!group_lives(t, opening->group)) {
        opening->group = unused_group(t);
        t->group_uids[opening->group] = process->uid;
        for (int i = 0; i < OPENINGS; i++)
            t->openings[i].read_by[PROCESSES + opening->group] = false;
    }
    if (process->group == opening->group)
        return;
    process->group = opening->group;
    process->uid = t->group_uids[opening->group];
    t->members[opening->group]++;
    for (pid_t *pid = t->group_pids[opening->group];; pid++) {
        if (*pid == 0) {
            *pid = process->pid;
            break;
        }
    }
    t->joins++;
}

/* Is anything asked for, or set aside, on the charge of this process? */
static bool
is_waiting(const struct random_test *t, int p)
{
    struct pool_client client;
    uint64_t cursor = 0;
    while (pool_get_clients(t->pool, &cursor, &client, 1) == 1) {
        if (client.pid == t->processes[p].pid && !client.is_group)
            return client.waiting > 0 || client.reserved > 0;
    }
    return false;
}

/* At most four to a group, so that the model can keep their pids. Not where the rules say nothing: to a
 * group whose members have all died, or by a process that waits. */
static bool
op_join(struct random_test *t)
{
    int p = any_process(t), o = p == NOBODY ? NOBODY : any_opening(t, p);
    if (o == NOBODY || unused_group(t) == NOBODY)
        return false;
    struct opening *opening = &t->openings[o];
    int group = opening->group, own = t->processes[p].group;
    if (group != NOBODY && own != group && (t->members[group] == 0 || t->group_pids[group][3] != 0))
        return false;
    if (group == NOBODY) {
        int fresh = unused_group(t);
        memset(t->group_pids[fresh], 0, sizeof(t->group_pids[fresh]));
    }
    bool busy = own != NOBODY ? own != group : t->held[p] > 0;
    if (own == NOBODY && is_waiting(t, p))
        return false;
    /* If that is all that was passed on to it, it takes it along. Only the pool knows. */
    bool may_move = busy && own == NOBODY && t->may_keep_one[p];
    uint64_t key = one_in(&t->random, 4) ? 0 : 1000000 + next_random(&t->random) % 1000000;
    struct pool_process *handle = t->processes[p].handle;
    if (!busy)
        joined(t, p, o); /* before the call: it may grant, and then the group is the holder */
    int answer = pool_group_join(t->pool, opening->handle, handle, key, t->now_ns);
    if (answer == 0 && may_move) {
        joined(t, p, o);
        may_have_changed(t, p);
        t->may_keep_one[PROCESSES + opening->group] = true;
        t->moved++;
        busy = false;
    }
    answer_due(t);
    if (answer != (busy ? -EBUSY : 0))
        complain(t, "pool_group_join: %d, should be %s", answer, busy ? "EBUSY" : "0");
    return true;
}

static bool
op_pay(struct random_test *t)
{
    int p = any_process(t), o = p == NOBODY ? NOBODY : any_opening(t, p);
    if (o == NOBODY)
        return false;
    int answer =
        pool_pay_implicit(t->pool, t->openings[o].handle, t->processes[p].handle, t->now_ns);
    if (answer != 0 && answer != -EINVAL)
        complain(t, "pool_pay_implicit: %d", answer);
    bool possible = t->held[holder_of(t, p, o)] > 0;
    for (int h = 0; h < HOLDERS; h++)
        possible = possible || (t->openings[o].read_by[h] && t->held[h] > 0);
    int holder = holder_of(t, p, o);
    if (answer == 0 && holder < PROCESSES)
        t->processes[holder].has_claimed = true;
    if (answer == 0 && !possible)
        complain(t, "an implicit slot is paid for by no token");
    return true;
}

static bool
claim(struct random_test *t, int p, int ancestor)
{
    int group = t->processes[ancestor].group;
    unsigned held = t->held[ancestor] + (group != NOBODY ? t->held[PROCESSES + group] : 0);
    /* what one member of a group claims is the group's, and may be claimed on */
    bool may_have_claimed = group != NOBODY || t->processes[ancestor].has_claimed;
    bool is_first = !t->processes[p].has_claimed && t->processes[p].group == NOBODY;
    bool paid = pool_claim_implicit(t->pool, t->processes[p].handle, t->processes[ancestor].handle,
                                    t->now_ns);
    if (paid && held == 0 && is_first && !may_have_claimed)
        complain(t, "a slot was claimed of a process that holds nothing");
    t->processes[p].has_claimed = t->processes[p].has_claimed || paid;
    return paid;
}

static bool
op_claim(struct random_test *t)
{
    int p = any_process(t), ancestor = any_process(t);
    if (p == NOBODY || ancestor == NOBODY || p == ancestor)
        return false;
    claim(t, p, ancestor);
    return true;
}

/* Asks some of which any may be its ancestor, and waits. From then on it may have claimed something. */
static bool
op_await(struct random_test *t)
{
    struct pool_process *ancestors[4];
    int p = any_process(t), o = p == NOBODY ? NOBODY : any_opening(t, p);
    if (o == NOBODY)
        return false;
    bool has_come = pool_claim_has_come(t->openings[o].handle);
    size_t count = 0;
    for (unsigned wanted = below(&t->random, 5); wanted > 0; wanted--) {
        int ancestor = any_process(t);
        if (ancestor == NOBODY || ancestor == p)
            continue;
        if (claim(t, p, ancestor)) {
            t->late_claims += has_come;
            return true;
        }
        ancestors[count++] = t->processes[ancestor].handle;
    }
    if (pool_await_claim(t->pool, t->openings[o].handle, t->processes[p].handle, ancestors, count) <
        0)
        complain(t, "out of memory");
    t->processes[p].has_claimed = true;
    return true;
}

static bool
op_idle(struct random_test *t)
{
    int p = any_process(t), o = p == NOBODY ? NOBODY : any_opening(t, p);
    if (o == NOBODY || t->openings[o].group == NOBODY)
        return false;
    pool_set_idle(t->pool, t->openings[o].handle, below(&t->random, 4), t->now_ns);
    return true;
}

/* So many wait below it, if it is to be believed. */
static bool
op_need(struct random_test *t)
{
    int p = any_process(t), o = p == NOBODY ? NOBODY : any_opening(t, p);
    if (o == NOBODY)
        return false;
    pool_group_set_needy(t->pool, t->openings[o].handle, below(&t->random, 4), t->now_ns);
    return true;
}

static const struct {
    const char *name;
    unsigned weight;
    bool (*run)(struct random_test *t); /* false: there was nothing to do it with */
} operations[] = {
    {"birth", 10, op_birth},
    {"death", 3, op_death},
    {"open", 10, op_open},
    {"close", 3, op_close},
    {"read, non-blocking", 20, op_read_nonblocking},
    {"read, blocking", 14, op_read_blocking},
    {"poll", 16, op_poll},
    {"write", 24, op_write},
    {"interrupt", 3, op_interrupt},
    {"resize", 2, op_resize},
    {"limit", 1, op_limit},
    {"limit of users", 1, op_user_limit},
    {"throttle", 1, op_throttle},
    {"weight", 1, op_weight},
    {"pause", 2, op_pause},
    {"paid by its parent", 1, op_paid},
    {"join", 3, op_join},
    {"pay", 2, op_pay},
    {"claim", 3, op_claim},
    {"await a claim", 6, op_await},
    {"idle", 2, op_idle},
    {"need", 3, op_need},
};

#define N_OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static bool
run_any(struct random_test *t, unsigned total_weight)
{
    unsigned i = 0, choice = below(&t->random, total_weight);
    while (choice >= operations[i].weight)
        choice -= operations[i++].weight;
    t->operation = operations[i].name;
    return operations[i].run(t);
}

static void
random_operation(struct random_test *t)
{
    unsigned total_weight = 0;
    for (size_t i = 0; i < N_OPERATIONS; i++)
        total_weight += operations[i].weight;
    while (!run_any(t, total_weight)) {
    }
    check(t);
    check_recall(t);
}

/* From nothing to a second; mostly the server's timer is punctual. */
static void
time_passes(struct random_test *t)
{
    static const int64_t steps_ns[] = {0,       0,       1,       1000,      20000,     100000,
                                       1000000, 4999999, 5000000, 100000000, 250000000, 1000000000};
    t->now_ns +=
        one_in(&t->random, 4) ? steps_ns[below(&t->random, 12)] : (int64_t)below(&t->random, 50000);
    event_log_set_time(&t->events.log, t->now_ns);
    if (pool_next_deadline(t->pool) > t->now_ns || one_in(&t->random, 8))
        return;
    t->operation = "expire";
    pool_expire(t->pool, t->now_ns);
    if (pool_next_deadline(t->pool) <= t->now_ns)
        complain(t, "pool_expire() leaves something to do");
    check(t);
}

/* --- another server --- */

/* What was told at each change is what all rows are. */
static void
check_rows(struct random_test *t)
{
    struct row_table all = {0};
    row_table_follow(&t->rows, t->pool);
    if (pool_follow(t->pool) < 0)
        complain(t, "out of memory");
    row_table_follow(&all, t->pool);
    const struct pool_row *row = row_table_difference(&t->rows, &all);
    if (row)
        complain(t, "%s %u has changed, or is gone, and was not told",
                 pool_row_kind_name(row->kind), row->number);
    row_table_clear(&all);
    t->readings++;
}

static void
follow(struct random_test *t)
{
    if (t->is_followed && one_in(&t->random, 4))
        row_table_follow(&t->rows, t->pool);
    if (t->is_followed ? one_in(&t->random, 50) : one_in(&t->random, 2000)) {
        t->operation = "follow";
        if (!t->is_followed && pool_follow(t->pool) < 0)
            complain(t, "out of memory");
        t->is_followed = true;
        check_rows(t);
    }
}

static void
compare_status(struct random_test *t, struct pool *restored)
{
    struct pool_status was, is;
    pool_get_status(t->pool, &was);
    pool_get_status(restored, &is);
    bool is_same = was.capacity == is.capacity && was.free + was.reserved == is.free &&
                   was.held == is.held && is.reserved == 0 && was.debt == is.debt &&
                   is.waiting == 0 && was.unpaid == is.unpaid && was.accounts == is.accounts &&
                   was.processes == is.processes;
    bool has_counted = was.granted == is.granted && was.returned == is.returned &&
                       was.foreign == is.foreign && was.dropped == is.dropped &&
                       was.reclaimed == is.reclaimed && was.lapsed == is.lapsed;
    if (!is_same || !has_counted)
        complain(t, "the status is another");
    if (pool_next_deadline(restored) != POOL_NO_DEADLINE)
        complain(t, "there is a deadline");
    struct pool_due due;
    if (pool_next_due(restored, &due))
        complain(t, "something is due");
}

static bool
is_same_client(const struct pool_client *a, const struct pool_client *b)
{
    return a->uid == b->uid && a->account == b->account && a->weight == b->weight &&
           a->pid == b->pid && a->keeper == b->keeper && a->held == b->held &&
           a->claims == b->claims && a->has_claimed == b->has_claimed &&
           a->is_group == b->is_group && a->pays_implicit == b->pays_implicit &&
           a->is_unpaid == b->is_unpaid && a->is_paused == b->is_paused;
}

/* Who was listed only because it waits may be missing. */
static void
compare_clients(struct random_test *t, struct pool *restored)
{
    struct pool_client was, is;
    uint64_t cursor_was = 0, cursor_is = 0;
    while (pool_get_clients(restored, &cursor_is, &is, 1) == 1) {
        do {
            if (pool_get_clients(t->pool, &cursor_was, &was, 1) == 0)
                complain(t, "pid %d is listed, and was not", (int)is.pid);
        } while (cursor_was < cursor_is && was.held == 0 && was.reserved + was.waiting > 0);
        if (cursor_was != cursor_is || !is_same_client(&was, &is) || is.reserved + is.waiting > 0)
            complain(t, "pid %d is listed otherwise", (int)is.pid);
    }
    while (pool_get_clients(t->pool, &cursor_was, &was, 1) == 1)
        if (was.held > 0 || was.reserved + was.waiting == 0)
            complain(t, "pid %d was listed, and is not", (int)was.pid);
}

static struct pool *
restore(struct random_test *t)
{
    struct pool_row_fault fault;
    struct pool *restored = row_table_restore(&t->rows, &fault);
    if (!restored)
        complain(t, "%s %u: %s", pool_row_kind_name(fault.kind), fault.number, fault.what);
    const char *wrong = pool_check(restored);
    if (wrong)
        complain(t, "restored: %s", wrong);
    compare_status(t, restored);
    compare_clients(t, restored);
    if (row_table_follow(&t->rows, restored) > 0)
        complain(t, "a pool that was restored has something to tell");
    return restored;
}

static void
take_over(struct random_test *t, struct pool *restored)
{
    for (int p = 0; p < PROCESSES; p++) {
        struct process *process = &t->processes[p];
        if (process->handle)
            process->handle = pool_process_of_row(restored, pool_process_row(process->handle));
    }
    for (int o = 0; o < OPENINGS; o++) {
        struct opening *opening = &t->openings[o];
        if (!opening->handle)
            continue;
        opening->handle = pool_opening_of_row(restored, pool_opening_row(opening->handle));
        pool_opening_set_owner(opening->handle, opening);
    }
    if (t->is_read)
        event_model_end(&t->events, t->pool);
    pool_destroy(t->pool);
    t->pool = restored;
    if (t->is_read)
        event_model_begin(&t->events, t->pool, t->now_ns);
}

static int
by_serial(const void *a, const void *b)
{
    const struct reader *first = a, *second = b;
    return (first->serial > second->serial) - (first->serial < second->serial);
}

/* What was blocked is asked for again, in the order of before. */
static void
repeat_reads(struct random_test *t)
{
    struct reader blocked[READERS];
    size_t count = 0;
    qsort(t->readers, READERS, sizeof(t->readers[0]), by_serial);
    for (int i = 0; i < READERS; i++) {
        if (t->readers[i].blocked)
            blocked[count++] = t->readers[i];
        t->readers[i].blocked = false;
    }
    for (size_t i = 0; i < count; i++)
        read_blocking(t, &t->readers[i], blocked[i].process, blocked[i].opening);
}

static void
restart(struct random_test *t)
{
    t->operation = "restart";
    check_rows(t);
    take_over(t, restore(t));
    check_rows(t);
    check(t);
    repeat_reads(t);
    check(t);
    t->restarts++;
}

/* --- a phase: a pool of its own, from its creation to the death of all --- */

static void
begin_phase(struct random_test *t)
{
    memset(t->processes, 0, sizeof(t->processes));
    memset(t->openings, 0, sizeof(t->openings));
    memset(t->readers, 0, sizeof(t->readers));
    memset(t->members, 0, sizeof(t->members));
    memset(t->held, 0, sizeof(t->held));
    memset(t->may_keep_one, 0, sizeof(t->may_keep_one));
    for (int o = 0; o < OPENINGS; o++)
        t->openings[o].opener = t->openings[o].group = NOBODY;
    for (int p = 0; p < PROCESSES; p++)
        t->processes[p].group = NOBODY;
    t->target = one_in(&t->random, 4) ? PROCESSES : 2 + below(&t->random, 40);
    t->capacity = 1 + below(&t->random, one_in(&t->random, 4) ? 300 : 8);
    t->limit = t->user_limit = 0;
    t->throttle = POOL_NO_THROTTLE;
    t->pool = pool_create(t->capacity);
    t->is_followed = !one_in(&t->random, 4);
    if (!t->pool || (t->is_followed && pool_follow(t->pool) < 0))
        complain(t, "out of memory");
    t->is_read = one_in(&t->random, 2);
    if (t->is_read)
        event_model_begin(&t->events, t->pool, t->now_ns);
}

static void
end_phase(struct random_test *t)
{
    t->operation = "the death of all";
    for (int p = 0; p < PROCESSES; p++) {
        if (t->processes[p].handle) {
            kill_process(t, p);
            check(t);
        }
    }
    struct pool_status s = check(t);
    if (s.free != s.capacity || s.held || s.reserved || s.debt || s.waiting)
        complain(t, "nobody lives; %u of %u free, %u held, %u reserved, %u debt, %u wait", s.free,
                 s.capacity, s.held, s.reserved, s.debt, s.waiting);
    if (s.processes || s.accounts || s.unpaid)
        complain(t, "nobody lives; %u processes, %u accounts, %u unpaid", s.processes, s.accounts,
                 s.unpaid);
    if (pool_next_deadline(t->pool) != POOL_NO_DEADLINE)
        complain(t, "nobody lives, and yet there is a deadline");
    if (t->is_read && t->events.clients != 0)
        complain(t, "nobody lives, and by the events %d have come and not left", t->events.clients);
    if (t->is_followed)
        restart(t);
    if (t->is_read)
        event_model_end(&t->events, t->pool);
    row_table_clear(&t->rows);
    t->foreign += s.foreign;
    t->drops += s.dropped > 0;
    t->lapses += s.lapsed;
    pool_destroy(t->pool);
    t->pool = NULL;
}

static void
test_rule1_after_each_of_a_million_operations(void **state)
{
    struct random_test *t = *state;
    unsigned long phase_length = t->operations / PHASES + 1;
    printf("# seed %" PRIu64 "\n", t->seed);
    fflush(stdout);
    while (t->done < t->operations) {
        begin_phase(t);
        for (unsigned long i = 0; i < phase_length && t->done < t->operations; i++, t->done++) {
            time_passes(t);
            random_operation(t);
            follow(t);
            if (t->is_followed && one_in(&t->random, 500))
                restart(t);
        }
        end_phase(t);
    }
    printf("# %lu operations: %" PRIu64 " grants, %" PRIu64 " waits, %" PRIu64 " deaths, %" PRIu64
           " foreign returns, %" PRIu64 " lapsed, %" PRIu64 " reservations used, %" PRIu64
           " joins, %" PRIu64 " late claims, %" PRIu64 " passed on, %" PRIu64 " recalls, %" PRIu64
           " restarts, %" PRIu64 " events\n",
           t->done, t->grants, t->waits, t->deaths, t->foreign, t->lapses, t->reservations_used,
           t->joins, t->late_claims, t->passed_on, t->recalls, t->restarts, t->events.events);
    /* a test that met none of these has tested nothing */
    assert_true(t->grants && t->waits && t->deaths && t->foreign && t->drops && t->lapses &&
                t->reservations_used && t->joins && t->late_claims && t->passed_on && t->moved &&
                t->recalls && t->pauses && t->readings && t->restarts && t->events.events);
}

static int
teardown(void **state)
{
    struct random_test *t = *state;
    if (t->pool)
        pool_destroy(t->pool);
    event_log_leave(&t->events.log, &t->events.reader);
    t->pool = NULL;
    row_table_clear(&t->rows);
    return 0;
}

int
main(int argc, char **argv)
{
    static struct random_test test;
    const char *wanted = getenv("POOL_RANDOM_OPERATIONS");
    test.seed = test.random = seed_from(argc > 1 ? argv[1] : getenv("POOL_RANDOM_SEED"));
    test.operations = wanted ? strtoul(wanted, NULL, 10) : 1000000;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(test_rule1_after_each_of_a_million_operations,
                                                 NULL, teardown, &test),
    };
    return cmocka_run_group_tests_name("pool_random", tests, NULL, NULL);
}
