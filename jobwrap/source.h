/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The pool of a jobwrap, and what feeds it. All tokens that are there are in it: those of a root's own,
 * or those that the ledger has borrowed from the parent and perhaps an inherited implicit slot. The FIFO
 * is one account, the clients of the control socket (control.h) are the others. While somebody waits the
 * parent is asked for more; what nobody wants goes back to it, and what it asks for is a debt.
 */

#include <event2/event.h>
#include <stdbool.h>

#include "jobwrap/parent.h"
#include "libjobserver/events/stream.h"
#include "libjobserver/ledger.h"
#include "libjobserver/pool/pool.h"
#include "libjobserver/throttle/throttle.h"

struct source {
    struct pool *pool;
    unsigned own;                /* tokens that are not in the ledger */
    struct ledger *ledger;       /* NULL: there is no parent */
    const struct parent *parent; /* with it */
    unsigned borrowed;           /* tokens in the ledger, which nobody else uses while we live */
    unsigned limit;              /* the most tokens there may be; 0: none */
    struct steved_limits limits; /* with which it begins; then they are the throttle's */
    struct throttle throttle;
    struct stream stream; /* of events */
    unsigned lying;       /* in the FIFO, as was told last */
    unsigned excess;      /* as the FIFO was told last */
    unsigned asked;       /* by the parent, of those in the ledger */
    unsigned needy;       /* who have none, as the parent was told */
    int recall_fd;        /* -1: it never asks */
    bool is_parent_empty, is_parent_gone, is_settling;
    bool owes_implicit; /* the next token from the parent pays for the implicit slot */
    struct event *parent_event, *recall_event, *deadline;

    /* The FIFO's account. */
    struct pool_process *process;
    struct pool_opening *opening;

    /* What the pool has made due for others than the FIFO: `owner` as given to pool_open(). */
    void (*tell)(void *owner, enum pool_due_kind kind);
    /* The parent has ended: source_renew() tells of the next one. NULL: nobody cares. */
    void (*lost)(void *argument);
    void *lost_argument;
    /* The FIFO's turn has come, or it is asked for tokens, or source_excess() has grown. */
    void (*wake)(void *argument);
    void *argument;
};

/* `source` names own, ledger, parent, limit, limits, tell, lost, wake and their arguments. The implicit slot's token is held by
 * the FIFO's account from now on. 0 or a negative errno; then source_close() too. */
int source_open(struct source *source, struct event_base *base);
void source_close(struct source *source);

/* One token for the FIFO: 1; 0: its turn is awaited, and `wake` tells. */
int source_take(struct source *source);
/* Its turn is awaited; true: there is one now. */
bool source_await(struct source *source);
/* It does not wait any more. */
void source_leave(struct source *source);
/* One that the FIFO's account holds comes back. */
void source_give(struct source *source);
/* Tokens that the parent has lent; 0 for a root. */
unsigned source_borrowed(const struct source *source);
/* Tokens that it holds besides the implicit slot's. */
unsigned source_held(const struct source *source);
/* The same, with the implicit slot's. That may have been given back, too, by a job that runs elsewhere; the next token is
 * the slot's again. */
unsigned source_held_in_all(const struct source *source);
/* Tokens that other accounts hold. */
unsigned source_held_by_others(const struct source *source);
/* Tokens that it is asked for. */
unsigned source_recalled(const struct source *source);
/* So many of them lie in the FIFO: `wake` tells when somebody else here comes to wait for one. */
void source_set_idle(struct source *source, unsigned lying);
/* How many of the tokens that lie in the FIFO are claimed: by who runs on one that a client has put back
 * since. Given back (source_give()), they are whose who has claimed them. */
unsigned source_count_claimed(const struct source *source, unsigned lying);
/* Does another account wait here? */
bool source_others_wait(const struct source *source);
/* Does the parent grant nothing because it, or one above it, has paused us? */
bool source_is_paused(const struct source *source);
/* Does somebody else need tokens, here or at the parent? */
bool source_is_needed(const struct source *source);

/* To be called before whatever may grant a token: what limits that is looked at. */
void source_look(struct source *source);
/* So many of the tokens that are held would not be granted now, because of a limit. */
unsigned source_excess(const struct source *source);

/* Another server has taken the place of the parent that was lost. It is asked for as many tokens as the old one had lent,
 * at once; those that it does not have free are a debt here, for which we wait there like others: so nobody gains by
 * having had tokens elsewhere. `is_implicit_paid`: the user says that the implicit slot is; else it is paid for anew. */
void source_renew(struct source *source, bool is_implicit_paid);

/* The parent is asked for what is waited for; nobody is told anything yet. */
void source_feed(struct source *source);
/* To be called after whatever was done to the pool: all who wait are served, told and fed. */
void source_settle(struct source *source);
/* `jobs`: the most tokens there may be from now on, as many as a root's pool has; and limits. 0, -EINVAL, or another
 * negative errno: a limit cannot be looked at; then nothing has changed. */
int source_set(struct source *source, const struct steved_settings *settings);
