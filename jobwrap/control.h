/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The control socket beside the FIFO: those right below this jobwrap that keep accounts (other jobwraps,
 * gates, pytests, emerges, stevectl) acquire and return tokens, claim implicit slots, ask and set. A connection
 * is an account of the pool, or a part of one, and all that is on it ends with the connection. See
 * libjobserver/control.h.
 */

#include <event2/event.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "jobwrap/classes.h"
#include "jobwrap/clients.h"
#include "jobwrap/loans.h"
#include "jobwrap/private_fifo.h"
#include "jobwrap/source.h"
#include "jobwrap/told.h"
#include "libjobserver/program/allowance.h"
#include "libjobserver/serve.h"

struct connection;

struct control {
    struct source *source;
    struct classes *classes; /* a connection is of the source's pool, or of one of these */
    const struct private_fifo *fifo;
    const struct clients *clients;                 /* of the FIFO, once somebody has come */
    void (*first_came)(void *argument);            /* the FIFO is not alone any more */
    void (*settled)(void *argument);               /* what somebody has asked for is done */
    unsigned (*count_unexplained)(void *argument); /* tokens: relay_count_unexplained() */
    struct loans *loans; /* of the FIFO's tokens; NULL: none move yet, nobody lends */
    void (*loan_ended)(void *argument); /* a token is missing for one of them */
    void *argument;
    int fd;       /* listens; -1: not made */
    int spare_fd; /* given up for a moment where no descriptor is left to refuse somebody with */
    struct event *event;
    LIST_HEAD(, connection) connections;
    unsigned connection_count;
    uint64_t next_account;
    struct allowances allowances; /* for requests for which processes are looked at */
    struct memory_arbiter arbiter;
    struct serve_above above; /* the parent, as an arbiter of memory */
    struct told told;         /* of jobs, to the parent */
};

/* `control` names source and classes (which are open), fifo, clients, first_came, settled, count_unexplained, loan_ended and
 * argument. Makes the socket, which has the FIFO's owner and mode. 0 or a negative errno: without it all below is one account. */
int control_open(struct control *control, struct event_base *base);
/* The server that is above this one is another one now. */
void control_renew(struct control *control);
void control_close(struct control *control);

/* For the source: to the connection `owner`. */
void control_tell(void *owner, enum pool_due_kind kind);
/* For who pays: to the connection with this loan. */
void control_tell_paid(struct loan *loan);
