/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/replay.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <unistd.h>

#include "libjobserver/program/message.h"
#include "steved/clients.h"
#include "steved/server.h"
#include "steved/state.h"
#include "steved/steps.h"

/* A request may end so many servers that come after each other, besides the one that it was sent to. */
#define TRIES_MAX 3u

int
replay_greeting(struct session *session)
{
    const struct state_greeting *greeting = state_greeting(session->server->state);

    session->is_taking_over = true;
    session_process(session, greeting->request);
    session->is_taking_over = false;
    if (!session->is_refused && session->is_initialised)
        return 0;
    message("take over: this version would negotiate other features with the kernel than the last "
            "server did");
    return -EINVAL;
}

/* --- what was decided --- */

/* The kernel may have it already, and then knows no such request any more. */
static void
answer_again(const struct session *session, const void *answer, size_t size)
{
    if (size > 0 && write(session->channel.fd, answer, size) < 0 && errno != ENOENT)
        message_errno(errno, "take over: answer");
}

static void
answer_error_to(const struct session *session, const struct fuse_in_header *request, int error)
{
    const struct fuse_out_header answer = {
        .len = sizeof(answer), .error = -error, .unique = request->unique};

    answer_again(session, &answer, sizeof(answer));
}

static void
answer_waiter(const struct session *session, const struct state_waiter *waiter)
{
    const struct fuse_in_header *request = (const void *)waiter->request;
    struct {
        struct fuse_out_header header;
        char token;
    } answer = {.header = {.unique = request->unique}, .token = '+'};

    if (waiter->error) {
        answer_error_to(session, request, waiter->error);
        return;
    }
    answer.header.len = sizeof(answer.header) + 1;
    answer_again(session, &answer, answer.header.len);
}

/* Those whose answer was recorded. */
static void
answer_waiters(const struct session *session)
{
    struct state *state = session->server->state;
    uint32_t count = state_rows(state, STATE_WAITER);

    for (uint32_t number = 0; number < count; number++) {
        const struct state_waiter *waiter = state_row(state, STATE_WAITER, number);
        if (waiter->state != STATE_WAITER_IS_ANSWERED)
            continue;
        answer_waiter(session, waiter);
        state_waiter_end(state, number);
        steps_count();
    }
    session->calls->served(session->server);
}

/* --- what was not --- */

/* A request that has ended so many new servers is not tried by one more. */
static bool
may_be_tried(const struct session *session, const struct fuse_in_header *request, uint32_t tries)
{
    if (tries <= TRIES_MAX)
        return true;
    message("take over: %d servers have ended at the same request of process %d: that request gets "
            "an error",
            (int)tries, (int)request->pid);
    answer_error_to(session, request, EIO);
    return false;
}

static void
replay(struct session *session, const void *request, uint32_t number)
{
    struct server *server = session->server;

    if (may_be_tried(session, request, state_try(server->state, number)))
        session_process(session, request);
    else
        state_request_done(server->state);
    session->calls->served(server);
    steps_count();
    state_tried(server->state, number);
}

struct asked {
    uint64_t unique;
    uint32_t number;
};

static int
by_time(const void *a, const void *b)
{
    const struct asked *first = a, *second = b;

    return (first->unique > second->unique) - (first->unique < second->unique);
}

/* In the order in which they came, which is that of their numbers at the kernel. */
static void
replay_waiters(struct session *session)
{
    struct state *state = session->server->state;
    uint32_t rows = state_rows(state, STATE_WAITER), count = 0;
    struct asked *asked = calloc(rows + 1, sizeof(*asked));

    if (!asked) {
        message("take over: out of memory");
        abort();
    }
    for (uint32_t number = 0; number < rows; number++) {
        const struct state_waiter *waiter = state_row(state, STATE_WAITER, number);
        const struct fuse_in_header *request = (const void *)waiter->request;
        if (waiter->state != STATE_WAITER_WAITS)
            continue;
        asked[count++] = (struct asked){request->unique, number};
        clients_remember_thread(session->server, (pid_t)request->pid, waiter->pid);
    }
    qsort(asked, count, sizeof(*asked), by_time);
    for (uint32_t i = 0; i < count; i++)
        replay(session, state_serve_waiter(state, asked[i].number), asked[i].number);
    free(asked);
}

/* The handle is of the open file, not of one poll. */
static void
notify_pollers(const struct session *session)
{
    const struct state *state = session->server->state;
    uint32_t count = state_rows(state, STATE_OPENING);

    for (uint32_t number = 0; number < count; number++) {
        const struct state_opening *opening = state_row(state, STATE_OPENING, number);
        const struct {
            struct fuse_out_header header;
            struct fuse_notify_poll_wakeup_out wakeup;
        } notice = {.header = {.len = sizeof(notice), .error = FUSE_NOTIFY_POLL},
                    .wakeup = {.kh = opening->poll_handle}};
        if (opening->poll_handle != 0)
            answer_again(session, &notice, sizeof(notice));
    }
}

void
replay_requests(struct session *session, void (*settle)(struct server *server))
{
    struct state *state = session->server->state;
    size_t size;
    const void *answer = state_last_answer(state, &size);

    answer_again(session, answer, size);
    answer_waiters(session);
    replay_waiters(session);
    settle(session->server);
    if (state_has_request(state)) {
        state_serve_request(state);
        replay(session, state_request(state), STATE_NONE);
    }
    notify_pollers(session);
}
