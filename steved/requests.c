/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/requests.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "libjobserver/pool/pool.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"

/* A read that is blocked. */
struct reader {
    struct fuse_req *request;
    struct server *server;
    struct pool_waiter *waiter;
    pid_t pid;
};

/* --- descriptions --- */

static struct pool_process *
add_anonymous(struct server *server, const struct request *request)
{
    struct pool_account *account = pool_account(server->pool, request->uid, CLIENTS_KEY_OUTSIDE);

    return account ? pool_process_add(server->pool, 0, account, false) : NULL;
}

struct opening *
opening_create(struct server *server, const struct request *request)
{
    struct client *client = clients_of_thread(server, request->tid, request->uid);
    struct opening *opening = calloc(1, sizeof(*opening));

    if (!opening)
        return NULL;
    opening->server = server;
    opening->opener_uid = request->uid;
    memory_party_init(&opening->memory, clock_now_ns());
    LIST_INSERT_HEAD(&server->openings, opening, in_server);
    if (client) {
        opening->opener_pid = client->pid;
        opening->opener_serial = client->serial;
    } else {
        opening->anonymous = add_anonymous(server, request);
    }
    struct pool_process *opener = client ? client->process : opening->anonymous;
    opening->pool = opener ? pool_open(server->pool, opener, opening) : NULL;
    if (!opening->pool) {
        opening_release(opening);
        return NULL;
    }
    return opening;
}

void
opening_release(struct opening *opening)
{
    struct server *server = opening->server;

    if (opening->pool)
        pool_close(server->pool, opening->pool, clock_now_ns());
    if (opening->anonymous)
        pool_process_died(server->pool, opening->anonymous, clock_now_ns());
    if (opening->pollhandle)
        answer_forget(opening->pollhandle);
    memory_arbiter_leave(&server->arbiter, &opening->memory);
    LIST_REMOVE(opening, in_server);
    free(opening);
}

struct pool_process *
opening_process(struct opening *opening, const struct request *request, struct client **client)
{
    *client = clients_of_thread(opening->server, request->tid, request->uid);
    if (*client)
        return (*client)->process;
    if (!opening->anonymous)
        opening->anonymous = add_anonymous(opening->server, request);
    return opening->anonymous;
}

void
opening_mark_used(struct opening *opening, struct client *client)
{
    if (client && !client->uses_tokens)
        clients_mark_used(client);
    if (opening->is_used)
        return;
    opening->is_used = true;
    struct client *opener = clients_find(opening->server, opening->opener_pid);
    if (opener && opener->serial == opening->opener_serial)
        clients_mark_used(opener);
}

void
requests_end(struct server *server)
{
    struct opening *opening;

    while ((opening = LIST_FIRST(&server->openings)))
        opening_release(opening);
    /* A start that was refused has none. */
    if (server->pool)
        requests_answer(server);
}

/* --- read --- */

static void
on_interrupt(struct fuse_req *request, void *data)
{
    struct reader *reader = data;

    pool_interrupt(reader->server->pool, reader->waiter, clock_now_ns());
    free(reader);
    answer_waiting(request, EINTR);
}

static void
answer_granted(struct opening *opening, struct pool_process *process, const struct request *request)
{
    struct server *server = opening->server;
    bool is_delivered = answer_token(request->handle);

    server_trace(server, "grant to %d%s", (int)pool_process_pid(process),
                 is_delivered ? "" : ", which is gone");
    if (!is_delivered)
        pool_grant_failed(server->pool, opening->pool, process, clock_now_ns());
}

/* Edge-triggered epoll does not poll again after a read in vain: it waits for the notice that its last
 * poll has asked for. So the read itself stands in the queue in its place. */
static void
answer_again(struct opening *opening, struct pool_process *process, const struct request *request)
{
    if (opening->pollhandle && opening->poller == process)
        pool_poll(opening->server->pool, opening->pool, process, true, clock_now_ns());
    answer_error(request, EAGAIN);
}

static void
read_token(struct opening *opening, struct pool_process *process, const struct request *request)
{
    struct server *server = opening->server;
    struct reader *reader = NULL;
    struct pool_waiter *waiter;

    if (!request->is_nonblocking) {
        reader = malloc(sizeof(*reader));
        if (!reader) {
            answer_error(request, ENOMEM);
            return;
        }
        *reader = (struct reader){
            .request = request->handle, .server = server, .pid = pool_process_pid(process)};
    }
    enum pool_answer answer = pool_read(server->pool, opening->pool, process,
                                        request->is_nonblocking, reader, &waiter, clock_now_ns());
    if (answer == POOL_WAITS) {
        reader->waiter = waiter;
        answer_on_interrupt(request, on_interrupt, reader);
        return;
    }
    free(reader);
    if (answer == POOL_GRANTED)
        answer_granted(opening, process, request);
    else if (answer == POOL_TRY_AGAIN)
        answer_again(opening, process, request);
    else
        answer_error(request, ENOMEM);
}

void
request_read(struct opening *opening, const struct request *request, size_t size)
{
    struct client *client;
    struct pool_process *process = opening_process(opening, request, &client);

    if (!process) {
        answer_error(request, ENOMEM);
        return;
    }
    if (size == 0) {
        answer_empty(request);
        return;
    }
    /* libfuse knows of the interrupt already: it would call on_interrupt() at once, and touch the
     * request after that has answered it. */
    if (answer_is_interrupted(request)) {
        answer_error(request, EINTR);
        return;
    }
    opening_mark_used(opening, client);
    read_token(opening, process, request);
}

/* --- write --- */

void
request_write(struct opening *opening, const struct request *request, size_t size)
{
    struct server *server = opening->server;
    struct client *client;
    struct pool_process *process = opening_process(opening, request, &client);

    if (!process) {
        answer_error(request, ENOMEM);
        return;
    }
    pid_t pid = pool_process_pid(process);
    /* Before others are served, which takes its time: the writer has nothing to wait for. */
    answer_written(request, size);
    if (size == 0)
        return;
    /* A make that returns a token has seen the end of what had claimed it. */
    if (pool_write_ends_claims(process, size))
        clients_bury_claimers(server);
    size_t credited = pool_write(server->pool, opening->pool, process, size, clock_now_ns());
    if (credited)
        server_trace(server, "return of %zu from %d", credited, (int)pid);
    if (credited < size)
        server_trace(server, "drop %zu from %d, which owes nothing", size - credited, (int)pid);
}

/* --- poll --- */

/* The kernel keeps the last handle of a description only. */
static void
replace_pollhandle(struct opening *opening, struct fuse_pollhandle *pollhandle,
                   struct pool_process *poller)
{
    if (opening->pollhandle)
        answer_forget(opening->pollhandle);
    opening->pollhandle = pollhandle;
    opening->poller = poller;
}

void
request_poll(struct opening *opening, const struct request *request,
             struct fuse_pollhandle *pollhandle)
{
    unsigned ready = POLLOUT | POLLWRNORM;
    struct client *client;
    struct pool_process *process = opening_process(opening, request, &client);

    if (!process) {
        if (pollhandle)
            answer_forget(pollhandle);
        answer_error(request, ENOMEM);
        return;
    }
    /* Who is interested in writing alone does not stand in the queue. */
    bool wants_token = !request->poll_events || request->poll_events & (POLLIN | POLLRDNORM);
    if (pollhandle)
        replace_pollhandle(opening, pollhandle, process);
    if (wants_token) {
        opening_mark_used(opening, client);
        if (pool_poll(opening->server->pool, opening->pool, process, pollhandle != NULL,
                      clock_now_ns()))
            ready |= POLLIN | POLLRDNORM;
    }
    if (request->poll_events & POLLPRI &&
        (pool_recalled(opening->server->pool, opening->pool) > 0 ||
         pool_claim_has_come(opening->pool)))
        ready |= POLLPRI;
    answer_poll(request, ready);
}

/* --- what the pool has made due --- */

static void
grant(struct server *server, const struct pool_due *due)
{
    struct reader *reader = due->reader;
    bool is_delivered = answer_token(reader->request);

    server_trace(server, "grant to %d%s", (int)reader->pid, is_delivered ? "" : ", which is gone");
    free(reader);
    if (!is_delivered)
        pool_grant_failed(server->pool, due->opening, due->process, clock_now_ns());
}

static void
cancel(const struct server *server, struct reader *reader)
{
    answer_waiting(reader->request, server->is_ending ? ECONNABORTED : EINTR);
    free(reader);
}

/* Who polls for POLLPRI is asked for tokens by that. */
static void
notify(struct opening *opening)
{
    if (!opening->pollhandle)
        return;
    answer_notify(opening->pollhandle);
    opening->pollhandle = NULL;
    opening->poller = NULL;
}

void
requests_answer(struct server *server)
{
    struct pool_due due;

    while (pool_next_due(server->pool, &due)) {
        switch (due.kind) {
        case POOL_DUE_GRANT:
            grant(server, &due);
            break;
        case POOL_DUE_CANCEL:
            cancel(server, due.reader);
            break;
        case POOL_DUE_NOTIFY:
        case POOL_DUE_RECALL:
            notify(due.owner);
            break;
        }
    }
}
