/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/server.h"

#include <err.h>
#include <inttypes.h>
#include <stdlib.h>

#define UID 1000u

/* --- after each request --- */

static void
wake(struct port *port)
{
    struct agenda *agenda = port->server->agenda;

    agenda_set(agenda, &port->wake, agenda->now_ns + port->server->latency_ns);
}

static void
deliver(const struct pool_due *due)
{
    struct port *port;

    switch (due->kind) {
    case POOL_DUE_GRANT:
        port = due->reader;
        port->waiter = NULL;
        port->is_granted = true;
        wake(port);
        break;
    case POOL_DUE_NOTIFY:
        port = due->owner;
        if (port->polls)
            wake(port);
        break;
    case POOL_DUE_CANCEL: /* it has died */
    case POOL_DUE_RECALL: /* nobody here holds a token that does not run a job */
        break;
    }
}

static void
check(const struct server *server, enum pool_index index, const struct pool_status *status)
{
    const char *wrong = server->checks_all ? pool_check(server->pools[index]) : NULL;

    if (status->free + status->held + status->reserved != status->capacity + status->debt)
        wrong = "free + held + reserved is not capacity + debt";
    if (status->debt > 0 && status->free + status->reserved > 0)
        wrong = "there is a debt beside tokens that nobody holds";
    if (wrong)
        errx(EXIT_FAILURE, "pool %d, at %.6f s: %s", index,
             (double)server->agenda->now_ns / NS_PER_S, wrong);
}

static void
note_filled(struct server *server, const struct pool_status *status)
{
    const int64_t now_ns = server->agenda->now_ns;

    if (server->raised_ns == INT64_MAX || (status->waiting > 0 && status->free > 0) ||
        status->reserved > 0)
        return;
    double fill_s = (double)(now_ns - server->raised_ns) / NS_PER_S;
    double back_s =
        server->back_since_ns < now_ns ? (double)(now_ns - server->back_since_ns) / NS_PER_S : 0;
    server->rises++;
    server->fill_s += fill_s;
    if (fill_s > server->fill_most_s)
        server->fill_most_s = fill_s;
    if (back_s > server->back_most_s)
        server->back_most_s = back_s;
    server->raised_ns = server->back_since_ns = INT64_MAX;
}

static void
settle(struct server *server, enum pool_index index)
{
    struct pool *pool = server->pools[index];
    struct pool_status status;
    struct pool_due due;

    while (pool_next_due(pool, &due))
        deliver(&due);
    int64_t deadline_ns = pool_next_deadline(pool);
    if (deadline_ns == POOL_NO_DEADLINE)
        agenda_cancel(server->agenda, &server->deadlines[index]);
    else
        agenda_set(server->agenda, &server->deadlines[index], deadline_ns);
    pool_get_status(pool, &status);
    check(server, index, &status);
    if (index == REMOTE)
        note_filled(server, &status);
}

static void
on_deadline(void *context)
{
    const struct deadline_of *of = context;

    pool_expire(of->server->pools[of->index], of->server->agenda->now_ns);
    settle(of->server, of->index);
}

/* --- the server --- */

void
server_init(struct server *server, struct agenda *agenda, const unsigned capacity[POOLS],
            int64_t latency_ns, bool checks_all)
{
    *server = (struct server){.agenda = agenda,
                              .latency_ns = latency_ns,
                              .checks_all = checks_all,
                              .raised_ns = INT64_MAX,
                              .back_since_ns = INT64_MAX};
    for (enum pool_index i = 0; i < POOLS; i++) {
        server->pools[i] = pool_create(capacity[i]);
        if (!server->pools[i])
            err(EXIT_FAILURE, "pool of %u tokens", capacity[i]);
        server->deadline_of[i] = (struct deadline_of){server, i};
        entry_init(&server->deadlines[i], on_deadline, &server->deadline_of[i]);
    }
}

void
server_free(struct server *server)
{
    for (enum pool_index i = 0; i < POOLS; i++)
        pool_destroy(server->pools[i]);
}

void
server_get_status(const struct server *server, enum pool_index index, struct pool_status *status)
{
    pool_get_status(server->pools[index], status);
}

void
server_set_remote(struct server *server, unsigned capacity, int64_t back_since_ns)
{
    struct pool_status status;

    pool_get_status(server->pools[REMOTE], &status);
    if (capacity == status.capacity)
        return;
    if (capacity > status.capacity && server->raised_ns == INT64_MAX) {
        server->raised_ns = server->agenda->now_ns;
        server->back_since_ns = back_since_ns;
    }
    if (pool_set_capacity(server->pools[REMOTE], capacity, server->agenda->now_ns) < 0)
        errx(EXIT_FAILURE, "capacity %u is refused", capacity);
    settle(server, REMOTE);
}

/* --- ports --- */

static void
count_request(struct server *server, uint64_t *requests)
{
    const uint64_t second = (uint64_t)(server->agenda->now_ns / NS_PER_S);

    (*requests)++;
    if (second != server->second)
        server->in_second = 0;
    server->second = second;
    if (++server->in_second > server->most_in_second)
        server->most_in_second = server->in_second;
}

static bool
poll_now(struct port *port)
{
    struct server *server = port->server;

    count_request(server, &server->polls);
    bool is_there = pool_poll(server->pools[port->index], port->opening, port->process, true,
                              server->agenda->now_ns);
    settle(server, port->index);
    return is_there;
}

/* As epoll(7) has it: what was ready is polled again once it has been served. */
static void
on_wake(void *context)
{
    struct port *port = context;

    if (port->is_granted) {
        port->is_granted = false;
        port->on_token(port);
        return;
    }
    if (!port->polls || !poll_now(port))
        return;
    port->on_token(port);
    if (port->polls && poll_now(port))
        wake(port);
}

void
port_open(struct port *port, struct server *server, enum pool_index index, uint64_t account,
          bool founds, void (*on_token)(struct port *port), void *context)
{
    struct pool *pool = server->pools[index];

    *port =
        (struct port){.server = server, .index = index, .on_token = on_token, .context = context};
    entry_init(&port->wake, on_wake, port);
    struct pool_account *of = pool_account(pool, UID, account);
    port->process = of ? pool_process_add(pool, ++server->last_pid, of, !founds) : NULL;
    port->opening = port->process ? pool_open(pool, port->process, port) : NULL;
    if (!port->opening || (founds && pool_group_join(pool, port->opening, port->process, account,
                                                     server->agenda->now_ns) < 0))
        err(EXIT_FAILURE, "client of account %" PRIu64, account);
}

void
port_close(struct port *port)
{
    struct server *server = port->server;
    struct pool *pool = server->pools[port->index];

    agenda_cancel(server->agenda, &port->wake);
    pool_process_died(pool, port->process, server->agenda->now_ns);
    pool_close(pool, port->opening, server->agenda->now_ns);
    port->process = NULL;
    port->opening = NULL;
    port->waiter = NULL;
    settle(server, port->index);
}

static enum pool_answer
read_now(struct port *port, bool nonblocking)
{
    struct server *server = port->server;

    count_request(server, &server->reads);
    enum pool_answer answer = pool_read(server->pools[port->index], port->opening, port->process,
                                        nonblocking, port, &port->waiter, server->agenda->now_ns);
    if (answer == POOL_NO_MEMORY)
        err(EXIT_FAILURE, "read");
    settle(server, port->index);
    return answer;
}

bool
port_try(struct port *port)
{
    return read_now(port, true) == POOL_GRANTED;
}

bool
port_read(struct port *port)
{
    return read_now(port, false) == POOL_GRANTED;
}

void
port_poll(struct port *port, bool polls)
{
    if (port->polls == polls)
        return;
    port->polls = polls;
    if (!polls)
        agenda_cancel(port->server->agenda, &port->wake);
    else if (poll_now(port))
        wake(port);
}

void
port_give(struct port *port)
{
    struct server *server = port->server;

    server->writes++;
    if (pool_write(server->pools[port->index], port->opening, port->process, 1,
                   server->agenda->now_ns) != 1)
        errx(EXIT_FAILURE, "a token of pool %d that was held is not credited", port->index);
    settle(server, port->index);
}
