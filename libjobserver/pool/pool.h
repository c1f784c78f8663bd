/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The accounting of one jobserver: how many tokens there are, who holds them, who waits, for whom
 * one is set aside. Every rule of accounting is decided here and nowhere else; docs/accounting.md
 * lists them with the function that keeps each.
 *
 * Pure: no I/O, no clock, no process is looked at. What happens in the world is told by a call, and the
 * time (nanoseconds of any monotonic clock) comes as an argument. A call changes the accounts and gives
 * no answer to anybody but its caller: the answers that have become due to others lie ready when it
 * returns, and are taken one by one with pool_next_due(), so that a server can record the change
 * before it tells anybody; what has changed, and must survive the server, rows.h tells. The objects are
 * opaque and owned by the pool; a pointer that a function here returned is valid until the call named
 * with it.
 *
 * The invariant (rule 1), true between any two calls:
 *     free + held + reserved = capacity + debt,   and debt > 0 only while free = reserved = 0.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libjobserver/protocol.h"

#define POOL_CAPACITY_MAX 65536u

/* The share of an account that nobody gave a weight (systemd's CPUWeight= has the same default and
 * range, so that one may be set from the other). */
#define POOL_WEIGHT_DEFAULT 100u
#define POOL_WEIGHT_MAX 10000u

/* Rule 9: how long a notified poller has to poll again, how long its reservation then lasts, and
 * the shortest that a poller gets which keeps letting them lapse. */
#define POOL_OFFER_NS (5 * INT64_C(1000000))
#define POOL_RESERVATION_NS (250 * INT64_C(1000000))
#define POOL_RESERVATION_MIN_NS (1 * INT64_C(1000000))

/* How long an account has a token more than another that waits, where the tokens cannot be shared evenly. */
#define POOL_TURN_NS (500 * INT64_C(1000000))

#define POOL_NO_DEADLINE INT64_MAX
#define POOL_NO_THROTTLE UINT32_MAX

struct event_log;
struct pool;
struct
    pool_account; /* what shares of a user are counted by: a jobwrap with all below it, else a session */
struct pool_process; /* a process that uses the server */
struct pool_opening; /* an open file description of the server's file */
struct pool_waiter;  /* a read that is blocked, or a poll that was answered 'not yet' */

enum pool_due_kind {
    POOL_DUE_GRANT,  /* answer the blocked read `reader` with one byte */
    POOL_DUE_CANCEL, /* answer it with EINTR: its process has died, or its description was closed */
    POOL_DUE_NOTIFY, /* wake those who poll `owner`; each of them polls again if it still waits */
    POOL_DUE_RECALL, /* a group that uses `owner` is asked for tokens: pool_recalled() */
};

/* An answer that is due to somebody else than the caller. In the first two cases the waiter is no more. */
struct pool_due {
    enum pool_due_kind kind;
    void *reader; /* as given to pool_read() */
    void *owner;  /* as given to pool_open() */
    /* POOL_DUE_GRANT: for pool_grant_failed(), if the reader is gone. NULL: so is one of these. */
    struct pool_opening *opening;
    struct pool_process *process;
};

/* Counters only grow, but for a grant that could not be delivered, which is taken off again. All
 * numbers are tokens unless they say otherwise. */
struct pool_status {
    unsigned capacity, free, held, reserved, debt;
    unsigned waiting;  /* blocked reads, and polls whose turn has not come */
    unsigned paused;   /* of these, in the queues of accounts that are paused */
    unsigned unpaid;   /* implicit slots of direct clients that nobody paid for (rule 2) */
    unsigned accounts; /* with at least one process */
    unsigned processes;
    uint64_t granted, returned;
    uint64_t foreign;   /* returned by another process than the holder (rule 4) */
    uint64_t dropped;   /* written although nothing was owed (rule 4) */
    uint64_t reclaimed; /* taken back from the dead (rule 6) */
    uint64_t lapsed;    /* offers and reservations that ran out unused (rule 9) */
};

/* One line of the list of holders and waiters: a process, or a group under its first member. */
struct pool_client {
    uint32_t uid;
    uint64_t account; /* its key */
    unsigned weight;
    pid_t pid, keeper; /* keeper: the second member of a group, else 0 */
    unsigned held, reserved, waiting;
    unsigned claims;    /* of what it holds or has claimed, by processes below it */
    bool has_claimed;   /* a token of somebody above it pays for its implicit slot */
    bool is_group;      /* a registered group: a jobwrap or a gate, with its keeper */
    bool pays_implicit; /* one of the tokens it holds is its own implicit slot */
    bool is_unpaid;     /* runs one job more than it holds: a direct client nobody paid for */
    bool is_paused;     /* its account is */
};

/* Nothing is granted to an account that is paused. Whoever may set what an owner has set is the server's to say. */
enum pool_pause {
    POOL_NOT_PAUSED,
    POOL_PAUSED = STEVED_PAUSED,
    POOL_PAUSED_BY_OWNER = STEVED_PAUSED_BY_OWNER,
};

struct pool_account_info {
    uint64_t key;
    uint32_t uid;
    unsigned weight;
    enum pool_pause pause;
};

/* Returns NULL with errno set: EINVAL (capacity over POOL_CAPACITY_MAX) or ENOMEM. */
struct pool *pool_create(unsigned capacity);
/* Ends everything at once; nothing becomes due. */
void pool_destroy(struct pool *pool);

/* The answers that calls have made due, oldest first. false: no more. */
bool pool_next_due(struct pool *pool, struct pool_due *due);
/* The same answers without taking them, each shown once at most: for a server that records them before it
 * gives the first. Of one that was taken unseen nothing is shown. false: no more for now. */
bool pool_next_new_due(struct pool *pool, struct pool_due *due);

/* --- who there is --- */

/* The user's account with this key, made if there is none. Lives as long as a process is in it: hand it to
 * pool_process_add() before any other call. NULL: out of memory. */
struct pool_account *pool_account(struct pool *pool, uint32_t uid, uint64_t key);
/* weight: 1..POOL_WEIGHT_MAX; twice the weight is twice the tokens when both wait. A user has the largest
 * weight of its accounts. */
void pool_account_set_weight(struct pool *pool, struct pool_account *account, unsigned weight,
                             int64_t now_ns);
/* While it is paused nothing is granted to it, nothing is set aside for it, and its waiters keep their places in its
 * queue. Nothing that it holds is taken away; its groups are asked for all that they lend (pool_recalled()). Ends
 * with the account. */
void pool_account_set_pause(struct pool *pool, struct pool_account *account, enum pool_pause pause,
                            int64_t now_ns);
/* NULL: there is none. */
struct pool_account *pool_account_find(const struct pool *pool, uint32_t uid, uint64_t key);
struct pool_account_info pool_account_describe(const struct pool_account *account);
struct pool_account *pool_process_account(const struct pool_process *process);
/* What it is called: its key, and its user's number. */
void pool_name_account(const struct pool_process *process, uint64_t *key, uint32_t *uid);
/* What is read by this process through this opening counts for it. */
struct pool_account *pool_account_charged(struct pool_opening *opening,
                                          struct pool_process *process);

/* A process that nobody has seen before. `paid_by_parent`: it has an ancestor that is a client of
 * this server, which therefore started it with a slot. The pointer is valid until
 * pool_process_died(). NULL: out of memory (the account then ends too, if nobody is in it). */
struct pool_process *pool_process_add(struct pool *pool, pid_t pid, struct pool_account *account,
                                      bool paid_by_parent);
/* An ancestor that had only opened the file has turned out to be a client. */
void pool_process_set_paid(struct pool *pool, struct pool_process *process);
/* It has exited: what it held returns, its waiters are cancelled, its claims end (rule 6). */
void pool_process_died(struct pool *pool, struct pool_process *process, int64_t now_ns);
pid_t pool_process_pid(const struct pool_process *process);

/* `opener` has opened the server's file; `owner` names it in what is due. Valid until pool_close(),
 * which is the last close of the description. NULL: out of memory. */
struct pool_opening *pool_open(struct pool *pool, struct pool_process *opener, void *owner);
void pool_close(struct pool *pool, struct pool_opening *opening, int64_t now_ns);
void *pool_opening_owner(const struct pool_opening *opening);

/* --- tokens --- */

enum pool_answer { POOL_GRANTED, POOL_TRY_AGAIN, POOL_WAITS, POOL_NO_MEMORY };

/* A read. POOL_GRANTED: the caller answers with one byte (and calls pool_grant_failed() if it can't
 * be delivered). POOL_TRY_AGAIN only if `nonblocking`. POOL_WAITS, POOL_NO_MEMORY only if not:
 * `reader` is granted or cancelled later, and *waiter is valid until that is due or until
 * pool_interrupt(). */
enum pool_answer pool_read(struct pool *pool, struct pool_opening *opening,
                           struct pool_process *process, bool nonblocking, void *reader,
                           struct pool_waiter **waiter, int64_t now_ns);
/* A blocked read has been interrupted and answered by the caller. */
void pool_interrupt(struct pool *pool, struct pool_waiter *waiter, int64_t now_ns);
/* The token that was granted, by pool_read() or as due, did not reach the reader: take it back. Nothing
 * happens where one of the two is NULL: it is back already. */
void pool_grant_failed(struct pool *pool, struct pool_opening *opening,
                       struct pool_process *process, int64_t now_ns);

/* A write of n bytes. Returns how many tokens were credited; the rest is dropped and counted
 * (rule 4). A token that somebody has claimed (pool_claim_implicit()) is that one's from then on. */
size_t pool_write(struct pool *pool, struct pool_opening *opening, struct pool_process *process,
                  size_t n, int64_t now_ns);

/* A poll for reading. true: a read by this process would be granted now, or pool_claim_has_come().
 * false: it stands in the queue if `wants_notice`, and POOL_DUE_NOTIFY tells when its turn has come. */
bool pool_poll(struct pool *pool, struct pool_opening *opening, struct pool_process *process,
               bool wants_notice, int64_t now_ns);

/* It does not wait any more through this description, neither as a poller nor as who tries again; what was
 * set aside for it stays so until its time is over. */
void pool_unpoll(struct pool *pool, struct pool_opening *opening, struct pool_process *process);

/* How many accounts wait that have no token at all. */
unsigned pool_count_needy(const struct pool *pool);
/* The group that uses `opening` lends tokens on, and so many wait below it that have none: its account counts
 * as one that has none, for as many grants as that. */
void pool_group_set_needy(struct pool *pool, struct pool_opening *opening, unsigned needy,
                          int64_t now_ns);

/* The group that uses `opening` lends nothing of so many of the tokens that it holds: it is told by
 * POOL_DUE_RECALL when somebody else comes to wait, whatever the shares. They pay for nobody: none of them can
 * be claimed. */
void pool_set_idle(struct pool *pool, struct pool_opening *opening, unsigned idle, int64_t now_ns);
/* Does another account wait than that of the group which uses `opening`? */
bool pool_others_wait(const struct pool *pool, const struct pool_opening *opening);

/* Tokens that are held or set aside. */
unsigned pool_used(const struct pool *pool);
/* So many of these would not be granted now, because of pool_set_throttle(). */
unsigned pool_excess(const struct pool *pool);
/* Does somebody wait to whom a token more would not be granted because of pool_set_throttle()? */
bool pool_is_throttled(const struct pool *pool);

/* Tokens that the group which uses `opening` holds, and how many are claimed; 0 if none does. */
unsigned pool_held(const struct pool_opening *opening);
unsigned pool_claims(const struct pool_opening *opening);

/* How many of the tokens that were read through `opening` its group is asked to give back as soon as
 * its jobs end: those that a debt is waiting for, or that are above pool_set_throttle(); or all, if its account is
 * paused; or one while an
 * account waits that has none, down to the last of the group's own account; or one while a waiting account
 * would still have no more than the group's own after it had got one; or one that it has had for
 * POOL_TURN_NS while the waiting account would have no more than the group's own has now. A wish, by which
 * nothing changes; 0 for who is in no group, since only a group lends tokens on.
 * The token of a paid implicit slot is not asked for. */
unsigned pool_recalled(const struct pool *pool, const struct pool_opening *opening);

/* --- settings --- */

/* 0, or -EINVAL (capacity over POOL_CAPACITY_MAX), or -ENOMEM; then nothing has changed.
 * Rule 7. */
int pool_set_capacity(struct pool *pool, unsigned capacity, int64_t now_ns);
/* The most tokens that one process or group may hold; 0: no limit. What is held is not recalled. */
void pool_set_per_process_limit(struct pool *pool, unsigned limit, int64_t now_ns);
/* The same for all accounts of one user together. */
void pool_set_per_user_limit(struct pool *pool, unsigned limit, int64_t now_ns);
/* Rule 10: from now on nothing is granted to anybody once `throttle` tokens are held or set aside, until it is
 * set anew; POOL_NO_THROTTLE: as many are granted as there are. Nothing that is held is taken away. */
void pool_set_throttle(struct pool *pool, unsigned throttle, int64_t now_ns);

/* --- groups and implicit slots (rules 2 and 6) --- */

/* `process` registers itself as a member of the group that owns what is read through `opening`. The
 * first member founds it, and with it an account, unless its process is below another group: then
 * it stays in that group's account. What the group holds returns when no member is alive. 0, or
 * -EBUSY (the process is in another group, or holds or waits for a token itself), or -ENOMEM. `key`: of the
 * account to found, of the process' user; 0: stay in its account. */
int pool_group_join(struct pool *pool, struct pool_opening *opening, struct pool_process *process,
                    uint64_t key, int64_t now_ns);
/* The weight (1..POOL_WEIGHT_MAX) of the account that the group of `opening` has founded. 0, or -EBUSY: it is
 * in the account of a group around it, or there is no group. */
int pool_group_set_weight(struct pool *pool, struct pool_opening *opening, unsigned weight,
                          int64_t now_ns);
/* One of the tokens that are held through `opening` pays for the implicit slot of its holder, and
 * is not counted in its account's share. 0, or -EINVAL if none is held. */
int pool_pay_implicit(struct pool *pool, struct pool_opening *opening, struct pool_process *process,
                      int64_t now_ns);
/* `process` asks whether `ancestor`, or the group it is in, holds a token that nobody has claimed, or
 * has itself claimed one that nobody below has claimed on; if so, claims it until one of the two dies, and
 * its own implicit slot is paid. If the token is returned first, it is the claimer's own from then on. Who
 * asks again, or has paid for the slot (pool_pay_implicit()), is told yes, without an ancestor (NULL) too. */
bool pool_claim_implicit(struct pool *pool, struct pool_process *process,
                         struct pool_process *ancestor, int64_t now_ns);
/* It has asked all of its ancestors (nearest first) in vain, and now waits for a claim as well as for a
 * token; who has asked first has the first. Then its claim stands, it waits in no queue for a token any
 * more, and POOL_DUE_NOTIFY tells it through `opening`: it is to ask again. The wait ends with that, with
 * a token that is read on its charge, with the opening, with itself; asking in vain again prolongs it. 0,
 * or -ENOMEM, also where a few hundred of its user wait so: it waits for a token only. */
int pool_await_claim(struct pool *pool, struct pool_opening *opening, struct pool_process *process,
                     struct pool_process *const *ancestors, size_t count);
/* Is there a claim for who waited through this opening, and has not asked since? While it is so pool_poll()
 * says true; but only until a non-blocking read in vain, which shows a client that will not ask. */
bool pool_claim_has_come(struct pool_opening *opening);
/* Would a write of n bytes by this process end claims on what it holds? They are most likely those of
 * processes that have died and are not known to be dead yet: tell that first, or others lose theirs. */
bool pool_write_ends_claims(const struct pool_process *process, size_t n);
/* Has it, or its group, a claim? Does it wait for one, or is it to ask again since one has come? */
bool pool_process_has_claimed(struct pool_process *process);
bool pool_process_awaits_claim(struct pool_process *process);

/* --- time --- */

/* The moment at which pool_expire() has something to do, or POOL_NO_DEADLINE. */
int64_t pool_next_deadline(const struct pool *pool);
/* Ends the offers, reservations and turns whose time is over, and serves who is next. */
void pool_expire(struct pool *pool, int64_t now_ns);

/* --- to be seen --- */

/* What happens from now on is told to this log (events/log.h) while somebody reads it; NULL: to none. Its time, which
 * is set by the server, must not be behind that of the next call by more than matters to a reader. job_class: as in
 * struct steved_event. */
void pool_tell(struct pool *pool, struct event_log *log, unsigned job_class);

void pool_get_status(const struct pool *pool, struct pool_status *status);
/* Fills `clients` with up to `max` clients whose ordinal is above *cursor (0 at first) and moves
 * *cursor to the last; returns how many. Clients that come later have higher ordinals. */
size_t pool_get_clients(const struct pool *pool, uint64_t *cursor, struct pool_client *clients,
                        size_t max);
/* Walks every structure and checks rule 1 and all that hangs together with it. For tests, and for a pool that
 * was restored: returns NULL, or what is wrong. */
const char *pool_check(const struct pool *pool);
