/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The connection to the kernel, of a FUSE mount (fuse_mount.h) or a CUSE device (cuse_device.h): reads
 * requests and hands them on. It knows nothing of tokens.
 */

#include <event2/event.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>

struct opening;
struct server;

/* What the server does: before and after each request, and once the kernel has closed the session. */
struct session_calls {
    void (*look)(struct server *server);
    void (*served)(struct server *server);
    void (*ended)(struct server *server);
};

struct session {
    struct server *server;     /* for requests.h */
    struct fuse_session *fuse; /* also of a CUSE device; NULL: none yet */
    struct fuse_buf request;   /* the one that is being looked at; libfuse allocates */
    bool is_initialised;       /* the kernel has greeted us */
    int burst;                 /* how many requests are read in a row */
    struct event *readable;
    const struct session_calls *calls;
};

/* What is asked for with the open file, the same for both kinds: handed on to requests.h and ioctls.h. */
struct opening *session_open(fuse_req_t request); /* does not answer; NULL: out of memory */
void session_release(fuse_req_t request, struct fuse_file_info *fi);
void session_read(fuse_req_t request, size_t size, struct fuse_file_info *fi);
void session_write(fuse_req_t request, size_t size, struct fuse_file_info *fi);
void session_poll(fuse_req_t request, struct fuse_file_info *fi,
                  struct fuse_pollhandle *pollhandle);
void session_ioctl(fuse_req_t request, int command, void *argument, struct fuse_file_info *fi,
                   unsigned flags, const void *in, size_t in_size, size_t out_size);

/* libfuse's own messages become ours. */
void session_init(struct session *session, struct server *server);
/* Answers the kernel's greeting, which comes first on every session: 0, or a negative errno after having
 * said it. */
int session_greet(struct session *session);
/* Serves from now on, as part of the event loop. 0, or a negative errno after having said it. */
int session_serve(struct session *session, struct event_base *base,
                  const struct session_calls *calls);
/* Who still waits gets an error. */
void session_end(struct session *session);
