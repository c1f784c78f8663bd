/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The connection to the kernel, of a FUSE mount (fuse_mount.h) or a CUSE device (cuse_device.h): reads
 * requests and hands them on. It knows nothing of tokens.
 *
 * A request is read into the state (state.h), and so each answer passes through here, however it was made:
 * what has changed by then is recorded together with it, and only then it is given. So another server can go
 * on with the same session at any moment (replay.h).
 */

#include <event2/event.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>

#include "steved/burst.h"
#include "steved/channel.h"

struct opening;
struct server;

/* What the server does: before and after each request; before an answer, what has changed; and once the kernel has
 * closed the session. */
struct session_calls {
    void (*look)(struct server *server);
    void (*record)(struct server *server);
    void (*served)(struct server *server);
    void (*ended)(struct server *server);
};

struct session {
    struct channel channel; /* first, for answers.c */
    struct server *server;  /* for requests.h */
    unsigned number; /* of the file whose device it is; a mount's is that of all, and has 0 */
    struct fuse_session *fuse;            /* also of a CUSE device; NULL: none yet */
    const struct fuse_in_header *request; /* the one that is being served; NULL: none is */
    bool is_initialised;                  /* the kernel has greeted us */
    bool is_taking_over; /* its greeting is repeated, and what we say is compared */
    bool is_refused;     /* and is not what it was */
    bool is_inherited;   /* and is: another server has begun it */
    bool has_ended;      /* by the kernel: unmounted, or the like */
    struct burst burst;  /* how many requests are read in a row */
    struct event *readable;
    const struct session_calls *calls;
};

/* What is asked for with the open file, the same for both kinds: handed on to requests.h and ioctls.h. */
/* Does not answer; `file`: its number. 0: *id names the opening from now on; or a negative errno. */
int session_open(fuse_req_t request, unsigned file, uint64_t *id);
/* The answer to the open has not reached the client. */
void session_close(const struct session *session, uint64_t id);
void session_release(fuse_req_t request, struct fuse_file_info *fi);
void session_read(fuse_req_t request, size_t size, struct fuse_file_info *fi);
void session_write(fuse_req_t request, size_t size, struct fuse_file_info *fi);
void session_poll(fuse_req_t request, struct fuse_file_info *fi,
                  struct fuse_pollhandle *pollhandle);
void session_ioctl(fuse_req_t request, int command, void *argument, struct fuse_file_info *fi,
                   unsigned flags, const void *in, size_t in_size, size_t out_size);

void session_init(struct session *session, unsigned number, struct server *server,
                  const struct session_calls *calls);
/* Serves the session that the kernel knows by this descriptor, by what session->fuse was made for. 0, or a
 * negative errno after having said it. */
int session_attach(struct session *session, int fd);
/* Answers the kernel's greeting, which comes first on every session: 0, or a negative errno after having
 * said it. What the state has of requests stays as it is. */
int session_greet(struct session *session);
/* Hands on one request, as the kernel has sent it. */
void session_process(struct session *session, const void *request);
/* Serves from now on, as part of the event loop. 0, or a negative errno after having said it. */
int session_serve(struct session *session, struct event_base *base);
/* Who still waits gets an error. */
void session_end(struct session *session);
