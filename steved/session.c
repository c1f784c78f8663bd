/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/program/message.h"
#include "steved/ioctls.h"
#include "steved/requests.h"

/* Requests that are read in a row, before deaths and deadlines have their turn again. */
#define REQUESTS_PER_WAKE 64

/* --- what is asked for --- */

static struct opening *
opening_of(const struct fuse_file_info *fi)
{
    return (struct opening *)(uintptr_t)fi->fh;
}

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

struct opening *
session_open(fuse_req_t request)
{
    const struct session *session = fuse_req_userdata(request);
    const struct request asked = describe(request, &(struct fuse_file_info){0});

    return opening_create(session->server, &asked);
}

void
session_release(fuse_req_t request, struct fuse_file_info *fi)
{
    opening_release(opening_of(fi));
    fuse_reply_err(request, 0);
}

void
session_read(fuse_req_t request, size_t size, struct fuse_file_info *fi)
{
    const struct request asked = describe(request, fi);

    request_read(opening_of(fi), &asked, size);
}

void
session_write(fuse_req_t request, size_t size, struct fuse_file_info *fi)
{
    const struct request asked = describe(request, fi);

    request_write(opening_of(fi), &asked, size);
}

void
session_poll(fuse_req_t request, struct fuse_file_info *fi, struct fuse_pollhandle *pollhandle)
{
    const struct request asked = describe(request, fi);

    request_poll(opening_of(fi), &asked, pollhandle);
}

void
session_ioctl(fuse_req_t request, int command, void *argument, struct fuse_file_info *fi,
              unsigned flags, const void *in, size_t in_size, size_t out_size)
{
    const struct request asked = describe(request, fi);
    const struct ioctl_call call = {.command = (unsigned)command,
                                    .argument = argument,
                                    .in = in,
                                    .in_size = in_size,
                                    .out_size = out_size,
                                    .may_retry = flags & FUSE_IOCTL_UNRESTRICTED};

    request_ioctl(opening_of(fi), &asked, &call);
}

/* --- the session --- */

/* 1: one has been answered, or put off; 0: there is none; -1: the session has ended. */
static int
serve_one(struct session *session)
{
    int size = fuse_session_receive_buf(session->fuse, &session->request);

    if (size == -EINTR || size == -EAGAIN)
        return 0;
    if (size <= 0)
        return -1;
    if (session->calls)
        session->calls->look(session->server);
    fuse_session_process_buf(session->fuse, &session->request);
    return fuse_session_exited(session->fuse) ? -1 : 1;
}

/* One client alone sends its next request when it has the answer: to look for another would cost a
 * system call in vain each time. Many at once keep the burst long. */
static int
next_burst(int burst, int count)
{
    if (count < burst)
        return count > 0 ? count : 1;
    return 2 * burst < REQUESTS_PER_WAKE ? 2 * burst : REQUESTS_PER_WAKE;
}

static void
on_readable(evutil_socket_t fd, short what, void *data)
{
    struct session *session = data;
    int served = 1, count = 0;

    while (count < session->burst && (served = serve_one(session)) > 0) {
        session->calls->served(session->server);
        count++;
    }
    session->burst = next_burst(session->burst, count);
    if (served < 0)
        session->calls->ended(session->server);
}

/* libfuse says what is wrong in its own words, in lines that end in a newline. */
__attribute__((format(printf, 2, 0))) static void
on_fuse_message(enum fuse_log_level level, const char *format, va_list arguments)
{
    char line[256];

    vsnprintf(line, sizeof(line), format, arguments);
    line[strcspn(line, "\n")] = '\0';
    message("%s", line);
}

void
session_init(struct session *session, struct server *server)
{
    fuse_set_log_func(on_fuse_message);
    *session = (struct session){.server = server, .burst = 1};
}

int
session_greet(struct session *session)
{
    while (!session->is_initialised) {
        int served = serve_one(session);
        if (served < 0) {
            message("start: the kernel has closed the session");
            return -ENODEV;
        }
    }
    return 0;
}

int
session_serve(struct session *session, struct event_base *base, const struct session_calls *calls)
{
    int fd = fuse_session_fd(session->fuse), flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        message_errno(errno, "serve: fcntl");
        return -errno;
    }
    session->calls = calls;
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
    if (session->fuse && fuse_session_fd(session->fuse) >= 0)
        close(fuse_session_fd(session->fuse));
    free(session->request.mem);
}
