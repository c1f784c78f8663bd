/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/requests.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "libjobserver/pool/rows.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"
#include "steved/state.h"

/* A read that is blocked. */
struct reader {
    struct fuse_req *request;
    struct file *file;
    struct pool_waiter *waiter;
    uint32_t number; /* by which the state knows it */
    pid_t pid;
};

void
requests_end_file(struct file *file)
{
    struct opening *opening;

    while ((opening = LIST_FIRST(&file->openings)))
        opening_release(opening);
}

void
requests_end(struct server *server)
{
    for (unsigned i = 0; i < server->file_count; i++)
        requests_end_file(&server->files[i]);
    /* Where memory was short at the start, the last one has none. */
    if (server->file_count > 0 && server->files[server->file_count - 1].pool)
        requests_answer(server);
}

/* --- read --- */

static void
reader_end(struct reader *reader)
{
    state_waiter_end(reader->file->server->state, reader->number);
    free(reader);
}

static void
on_interrupt(struct fuse_req *request, void *data)
{
    struct reader *reader = data;

    pool_interrupt(reader->file->pool, reader->waiter, clock_now_ns());
    state_waiter_answered(reader->file->server->state, reader->number, EINTR);
    answer_waiting(request, EINTR);
    reader_end(reader);
}

static void
answer_granted(struct opening *opening, struct pool_process *process, const struct request *request)
{
    const struct file *file = opening->file;
    bool is_delivered = answer_token(request->handle);

    server_trace(file->server, "grant to %d%s", (int)pool_process_pid(process),
                 is_delivered ? "" : ", which is gone");
    if (!is_delivered)
        pool_grant_failed(file->pool, opening->pool, process, clock_now_ns());
}

/* Edge-triggered epoll does not poll again after a read in vain: it waits for the notice that its last
 * poll has asked for. So the read itself stands in the queue in its place. */
static void
answer_again(struct opening *opening, struct pool_process *process, const struct request *request)
{
    if (opening->pollhandle && opening->poller == process)
        pool_poll(opening->file->pool, opening->pool, process, true, clock_now_ns());
    answer_error(request, EAGAIN);
}

/* It is answered by requests_answer(), or by on_interrupt(). */
static void
wait_for_token(struct reader *reader, struct pool_waiter *waiter, const struct request *request)
{
    reader->waiter = waiter;
    reader->number = state_wait(reader->file->server->state, reader->pid);
    if (reader->number != STATE_NONE) {
        answer_on_interrupt(request, on_interrupt, reader);
        return;
    }
    pool_interrupt(reader->file->pool, waiter, clock_now_ns());
    free(reader);
    answer_error(request, ENOMEM);
}

static void
read_token(struct opening *opening, struct pool_process *process, const struct request *request)
{
    struct reader *reader = NULL;
    struct pool_waiter *waiter;

    if (!request->is_nonblocking) {
        reader = malloc(sizeof(*reader));
        if (!reader) {
            answer_error(request, ENOMEM);
            return;
        }
        *reader = (struct reader){
            .request = request->handle, .file = opening->file, .pid = pool_process_pid(process)};
    }
    enum pool_answer answer = pool_read(opening->file->pool, opening->pool, process,
                                        request->is_nonblocking, reader, &waiter, clock_now_ns());
    if (answer == POOL_WAITS) {
        assert(reader);
        wait_for_token(reader, waiter, request);
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
    struct file *file = opening->file;
    struct client *client;
    struct pool_process *process = opening_process(opening, request, &client);

    if (!process) {
        answer_error(request, ENOMEM);
        return;
    }
    pid_t pid = pool_process_pid(process);
    if (size == 0) {
        answer_written(request, 0);
        return;
    }
    /* A make that returns a token has seen the end of what had claimed it. */
    if (pool_write_ends_claims(process, size))
        clients_bury_claimers(file);
    size_t credited = pool_write(file->pool, opening->pool, process, size, clock_now_ns());
    answer_written(request, size);
    if (credited)
        server_trace(file->server, "return of %zu from %d", credited, (int)pid);
    if (credited < size)
        server_trace(file->server, "drop %zu from %d, which owes nothing", size - credited,
                     (int)pid);
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

/* A new server knows a reader by that alone until it has read. */
static bool
has_events(const struct opening *opening)
{
    if (!opening->reads_events)
        return false;
    return !opening->reader.is_reading ||
           event_log_is_due(&opening->file->server->stream.log, &opening->reader, clock_now_ns());
}

static bool
is_urgent(const struct opening *opening)
{
    return pool_recalled(opening->file->pool, opening->pool) > 0 ||
           pool_claim_has_come(opening->pool) || has_events(opening);
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
    if (pollhandle) {
        opening_set_poll_handle(opening, request->poll_handle);
        replace_pollhandle(opening, pollhandle, process);
    }
    if (wants_token) {
        opening_mark_used(opening, client);
        if (pool_poll(opening->file->pool, opening->pool, process, pollhandle != NULL,
                      clock_now_ns()))
            ready |= POLLIN | POLLRDNORM;
    }
    if (request->poll_events & POLLPRI && is_urgent(opening))
        ready |= POLLPRI;
    answer_poll(request, ready);
}

/* --- what is recorded before an answer is given (rule 12) --- */

static int
error_of_cancelled(const struct server *server)
{
    return server->is_ending ? ECONNABORTED : EINTR;
}

/* Those who poll are all told again by a new server. */
static void
record_due(struct server *server, const struct pool_due *due)
{
    const struct reader *reader = due->reader;

    if (due->kind == POOL_DUE_GRANT)
        state_waiter_answered(server->state, reader->number, 0);
    else if (due->kind == POOL_DUE_CANCEL)
        state_waiter_answered(server->state, reader->number, error_of_cancelled(server));
}

static void
record_row(const struct file *file, const struct pool_row *row)
{
    static const size_t sizes[POOL_ROW_KINDS] = {
        [POOL_ROW_POOL] = sizeof(row->pool),       [POOL_ROW_ACCOUNT] = sizeof(row->account),
        [POOL_ROW_PROCESS] = sizeof(row->process), [POOL_ROW_GROUP] = sizeof(row->group),
        [POOL_ROW_OPENING] = sizeof(row->opening), [POOL_ROW_LOAN] = sizeof(row->loan),
    };
    const enum state_table table = state_table_of(file->number, STATE_POOL_ROWS + row->kind);
    struct state *state = file->server->state;

    /* What was refused for want of room has come and gone. */
    if (row->is_gone && !state_has_room(table, row->number))
        return;
    if (row->is_gone)
        state_drop(state, table, row->number);
    else
        state_put(state, table, row->number, row,
                  offsetof(struct pool_row, pool) + sizes[row->kind]);
}

void
requests_record(struct server *server)
{
    struct pool_row row;
    struct pool_due due;

    for (unsigned i = 0; i < server->file_count; i++) {
        const struct file *file = &server->files[i];
        while (pool_next_change(file->pool, &row))
            record_row(file, &row);
        while (pool_next_new_due(file->pool, &due))
            record_due(server, &due);
    }
}

/* --- what the pool has made due --- */

static void
grant(struct file *file, const struct pool_due *due)
{
    struct server *server = file->server;
    struct reader *reader = due->reader;
    bool is_delivered = answer_token(reader->request);

    server_trace(server, "grant to %d%s", (int)reader->pid, is_delivered ? "" : ", which is gone");
    reader_end(reader);
    if (is_delivered)
        return;
    pool_grant_failed(file->pool, due->opening, due->process, clock_now_ns());
    requests_record(server);
    state_commit(server->state);
}

static void
cancel(const struct server *server, struct reader *reader)
{
    answer_waiting(reader->request, error_of_cancelled(server));
    reader_end(reader);
}

/* Who polls for POLLPRI is asked for tokens by that, or told of events. */
static void
notify(struct opening *opening)
{
    if (!opening->pollhandle)
        return;
    answer_notify(opening->file->channel, opening->pollhandle);
    opening->pollhandle = NULL;
    opening->poller = NULL;
}

void
request_wake_reader(void *opening)
{
    notify(opening);
}

static void
answer_of(struct file *file)
{
    struct pool_due due;

    while (pool_next_due(file->pool, &due)) {
        switch (due.kind) {
        case POOL_DUE_GRANT:
            grant(file, &due);
            break;
        case POOL_DUE_CANCEL:
            cancel(file->server, due.reader);
            break;
        case POOL_DUE_NOTIFY:
        case POOL_DUE_RECALL:
            notify(due.owner);
            break;
        }
    }
}

void
requests_answer(struct server *server)
{
    requests_record(server);
    state_request_done(server->state);
    state_commit(server->state);
    for (unsigned i = 0; i < server->file_count; i++)
        answer_of(&server->files[i]);
}
