/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The server: a real pool for the processors and one for each class, in simulated time. What becomes due to a client
 * reaches it some time later. After each request the invariant of the pool is checked.
 */

#include "libjobserver/pool/pool.h"
#include "tests/sim/agenda.h"

enum pool_index { CPU, REMOTE, LINK, POOLS };

struct server {
    struct agenda *agenda;
    struct pool *pools[POOLS];
    struct entry deadlines[POOLS];
    struct deadline_of {
        struct server *server;
        enum pool_index index;
    } deadline_of[POOLS];
    int64_t latency_ns;
    bool checks_all; /* pool_check() after each request, and not the sums alone */
    pid_t last_pid;
    uint64_t reads, polls, writes;
    uint64_t second, in_second, most_in_second; /* reads and polls */
    /* The class remote has been given more tokens, and they are not all in use. INT64_MAX: it has not. */
    int64_t raised_ns, back_since_ns;
    unsigned rises;
    double fill_s, fill_most_s; /* from more tokens to their use, of all rises */
    double back_most_s;         /* from the return of a node to the use of its tokens */
};

/* How a process of a client uses a pool. The caller's. */
struct port {
    struct server *server;
    enum pool_index index;
    struct pool_process *process; /* NULL: it is not open */
    struct pool_opening *opening;
    struct pool_waiter *waiter;
    struct entry wake;
    bool polls;
    bool is_granted; /* what its read waited for; it does not know yet */
    void (*on_token)(struct port *port);
    void *context;
};

void server_init(struct server *server, struct agenda *agenda, const unsigned capacity[POOLS],
                 int64_t latency_ns, bool checks_all);
void server_free(struct server *server);
void server_get_status(const struct server *server, enum pool_index index,
                       struct pool_status *status);
/* Of the class remote. back_since_ns: since when the first of the nodes has been back that this is for; INT64_MAX:
 * it is for none. */
void server_set_remote(struct server *server, unsigned capacity, int64_t back_since_ns);

/* Whoever has the same account, from 1 on, is in it. founds: a group that is the account; else it is below one.
 * on_token: a token is there for who polls, or a read that waited has been granted. */
void port_open(struct port *port, struct server *server, enum pool_index index, uint64_t account,
               bool founds, void (*on_token)(struct port *port), void *context);
/* The process has died: what it held is taken back. */
void port_close(struct port *port);
/* A read that does not block. */
bool port_try(struct port *port);
/* A read that does. false: it waits. */
bool port_read(struct port *port);
/* Polls from now on, or does not any more, which nobody tells the server. */
void port_poll(struct port *port, bool polls);
void port_give(struct port *port);
