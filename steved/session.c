/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/session.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/program/message.h"
#include "steved/ioctls.h"
#include "steved/openings.h"
#include "steved/requests.h"
#include "steved/state.h"
#include "steved/steps.h"

/* --- what is asked for --- */

static struct request
describe(fuse_req_t request, const struct fuse_file_info *fi)
{
    const struct fuse_ctx *caller = fuse_req_ctx(request);

    return (struct request){.handle = request,
                            .tid = caller->pid,
                            .uid = caller->uid,
                            .is_nonblocking = fi->flags & O_NONBLOCK,
                            .poll_events = fi->poll_events};
}

/* NULL: the kernel names one that there is not, and is told so. */
static struct opening *
find_opening(fuse_req_t request, uint64_t id)
{
    const struct session *session = fuse_req_userdata(request);
    struct opening *opening = opening_find(session->server, id);

    if (!opening)
        fuse_reply_err(request, EBADF);
    return opening;
}

int
session_open(fuse_req_t request, unsigned file, uint64_t *id)
{
    const struct session *session = fuse_req_userdata(request);
    const struct request asked = describe(request, &(struct fuse_file_info){0});
    struct opening *opening;
    int error = opening_create(&session->server->files[file], &asked, &opening);

    if (error == 0)
        *id = opening_id(opening);
    return error;
}

void
session_close(const struct session *session, uint64_t id)
{
    struct opening *opening = opening_find(session->server, id);

    if (opening)
        opening_release(opening);
}

void
session_release(fuse_req_t request, struct fuse_file_info *fi)
{
    session_close(fuse_req_userdata(request), fi->fh);
    fuse_reply_err(request, 0);
}

void
session_read(fuse_req_t request, size_t size, struct fuse_file_info *fi)
{
    struct opening *opening = find_opening(request, fi->fh);
    const struct request asked = describe(request, fi);

    if (opening)
        request_read(opening, &asked, size);
}

void
session_write(fuse_req_t request, size_t size, struct fuse_file_info *fi)
{
    struct opening *opening = find_opening(request, fi->fh);
    const struct request asked = describe(request, fi);

    if (opening)
        request_write(opening, &asked, size);
}

void
session_poll(fuse_req_t request, struct fuse_file_info *fi, struct fuse_pollhandle *pollhandle)
{
    const struct session *session = fuse_req_userdata(request);
    struct opening *opening = find_opening(request, fi->fh);
    struct request asked = describe(request, fi);

    if (!opening) {
        if (pollhandle)
            fuse_pollhandle_destroy(pollhandle);
        return;
    }
    asked.poll_handle = ((const struct fuse_poll_in *)(session->request + 1))->kh;
    request_poll(opening, &asked, pollhandle);
}

void
session_ioctl(fuse_req_t request, int command, void *argument, struct fuse_file_info *fi,
              unsigned flags, const void *in, size_t in_size, size_t out_size)
{
    struct opening *opening = find_opening(request, fi->fh);
    const struct request asked = describe(request, fi);
    const struct ioctl_call call = {.command = (unsigned)command,
                                    .argument = argument,
                                    .in = in,
                                    .in_size = in_size,
                                    .out_size = out_size,
                                    .may_retry = flags & FUSE_IOCTL_UNRESTRICTED};

    if (opening)
        request_ioctl(opening, &asked, &call);
}

/* --- answers --- */

/* How much of the answer to the greeting counts: all but the version, which is our library's own. */
static bool
is_same_greeting(const struct state_greeting *greeting, const struct fuse_out_header *answer,
                 size_t size)
{
    unsigned char before[STATE_GREETING_SIZE], now[STATE_GREETING_SIZE];
    const size_t version_at = sizeof(*answer) + offsetof(struct fuse_init_out, minor);

    if (size != greeting->answer_size || size < version_at + sizeof(uint32_t))
        return false;
    memcpy(before, greeting->answer, size);
    memcpy(now, answer, size);
    memset(before + version_at, 0, sizeof(uint32_t));
    memset(now + version_at, 0, sizeof(uint32_t));
    return memcmp(before, now, size) == 0;
}

static bool
is_greeting(const struct fuse_in_header *request)
{
    return request->opcode == FUSE_INIT || request->opcode == CUSE_INIT;
}

/* That the state is complete is told by the size, which is therefore set last. */
static void
keep_greeting(struct session *session, const struct fuse_out_header *answer, size_t size)
{
    struct state_greeting *greeting = state_greeting(session->server->state, session->number);

    if (session->request->len > sizeof(greeting->request) || size > sizeof(greeting->answer))
        return;
    greeting->answer_size = 0;
    memcpy(greeting->request, session->request, session->request->len);
    greeting->request_size = session->request->len;
    memcpy(greeting->answer, answer, size);
    steps_count();
    greeting->answer_size = (uint32_t)size;
}

/* Rule 12: together with what has changed. Others than that of the request which is being served are recorded
 * by who makes them due; each session has numbers of its own. */
static void
record_answer(struct session *session, const struct fuse_out_header *answer, size_t size)
{
    const bool is_served = session->request && answer->unique == session->request->unique;
    struct state *state = session->server->state;

    session->calls->record(session->server);
    if (is_served && is_greeting(session->request))
        keep_greeting(session, answer, size);
    else if (is_served)
        state_answered(state, size);
    state_commit(state);
}

/* 0: it is too large. */
static size_t
gather(unsigned char *answer, const struct iovec *parts, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len > STATE_ANSWER_SIZE - size)
            return 0;
        memcpy(answer + size, parts[i].iov_base, parts[i].iov_len);
        size += parts[i].iov_len;
    }
    return size;
}

static ssize_t
on_answer(int fd, struct iovec *parts, int count, void *userdata)
{
    struct session *session = userdata;
    struct state *state = session->server->state;
    struct fuse_out_header *answer = state_answer(state);
    size_t size = gather((unsigned char *)answer, parts, count);

    if (size == 0) {
        errno = EMSGSIZE;
        return -1;
    }
    if (session->is_taking_over) {
        session->is_refused =
            !is_same_greeting(state_greeting(state, session->number), answer, size);
        return (ssize_t)size;
    }
    /* Notices have no number: one more than there is need for does no harm. */
    if (answer->unique != 0)
        record_answer(session, answer, size);
    steps_count();
    ssize_t written = write(fd, answer, size);
    steps_count();
    return written;
}

/* --- requests --- */

void
session_process(struct session *session, const void *request)
{
    session->request = request;
    const struct fuse_buf buffer = {.size = session->request->len,
                                    .mem = (void *)(uintptr_t)request};
    channel_begin(&session->channel, session->request->unique);
    fuse_session_process_buf(session->fuse, &buffer);
    channel_end(&session->channel);
    session->request = NULL;
}

/* 1: one has been answered, or put off; 0: there is none; -1: the session has ended. */
static int
serve_one(struct session *session)
{
    struct state *state = session->server->state;
    void *request = state_request(state, session->number);
    ssize_t size = read(session->channel.fd, request, STATE_REQUEST_SIZE);

    steps_count();
    /* ENOENT: it was interrupted before we came to it. */
    if (size < 0 && errno == ENOENT)
        return 1;
    if (size < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (size < (ssize_t)sizeof(struct fuse_in_header))
        return -1;
    session->calls->look(session->server);
    state_serve_request(state);
    session_process(session, request);
    return fuse_session_exited(session->fuse) ? -1 : 1;
}

static void
on_readable(evutil_socket_t fd, short what, void *data)
{
    struct session *session = data;
    int served = 1, count = 0;

    while (count < session->burst.size && (served = serve_one(session)) > 0) {
        session->calls->served(session->server);
        count++;
    }
    burst_ended(&session->burst, count);
    if (served >= 0)
        return;
    session->has_ended = true;
    session->calls->ended(session->server);
}

void
session_init(struct session *session, unsigned number, struct server *server,
             const struct session_calls *calls)
{
    _Static_assert(offsetof(struct session, channel) == 0, "answers.c finds it there");
    *session = (struct session){.server = server, .number = number, .calls = calls};
    burst_init(&session->burst);
    channel_init(&session->channel, on_answer);
}

int
session_attach(struct session *session, int fd)
{
    return channel_open(&session->channel, session->fuse, fd);
}

/* Into memory of its own: the state may have a request that another server has left. */
int
session_greet(struct session *session)
{
    _Alignas(struct fuse_in_header) unsigned char request[FUSE_MIN_READ_BUFFER];
    ssize_t size;

    do
        size = read(session->channel.fd, request, sizeof(request));
    while (size < 0 && errno == EINTR);
    if (size < (ssize_t)sizeof(struct fuse_in_header)) {
        message("start: the kernel has closed the session");
        return -ENODEV;
    }
    session_process(session, request);
    if (session->is_initialised)
        return 0;
    /* It greets once, and nothing else would ever come. */
    message("start: the kernel's greeting could not be answered");
    return -EIO;
}

/* --- serving --- */

int
session_serve(struct session *session, struct event_base *base)
{
    int fd = session->channel.fd, flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        message_errno(errno, "serve: fcntl");
        return -errno;
    }
    session->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, session);
    if (session->readable && event_add(session->readable, NULL) == 0)
        return 0;
    message("serve: out of memory");
    return -ENOMEM;
}

/* libfuse frees a session only together with its mount, which is left to the unmounter: what is closed
 * here is all that the kernel knows of it. */
void
session_end(struct session *session)
{
    if (session->readable)
        event_free(session->readable);
    channel_close(&session->channel);
}
