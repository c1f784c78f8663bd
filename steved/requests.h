/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef STEVED_REQUESTS_H
#define STEVED_REQUESTS_H

/* What a client does with the open file; the same on a FUSE mount and on a CUSE device. Each function
 * answers the request, now or later. */

#include "steved/clients.h"
#include "steved/server.h"

/* An open file description of the file; fi->fh holds it. */
struct opening {
    LIST_ENTRY(opening) in_server;
    struct server *server;
    struct pool_opening *pool;
    /* Who uses it and cannot be told: a process of its own in the pool, which dies when the
     * description is released. NULL: there was none yet. */
    struct pool_process *anonymous;
    struct fuse_pollhandle *pollhandle; /* of the last poll that wanted a notice */
    struct pool_process *poller;        /* whose that was; only to be compared */
    uint64_t opener_serial;
    pid_t opener_pid; /* 0: anonymous */
    pid_t group_pid;  /* the process that founded the group of this description, else 0 */
    bool is_used;     /* its opener is known as a client */
};

static inline struct opening *
opening_of(const struct fuse_file_info *fi)
{
    return (struct opening *)(uintptr_t)fi->fh;
}

/* For the open request; unlike the others it does not answer. NULL: out of memory. */
struct opening *opening_create(struct server *server, fuse_req_t request);
/* At the last close, or when the open did not reach the client. */
void opening_release(struct opening *opening);

/* Who sends the request: its process in the pool, and *client, or NULL for one that cannot be told.
 * NULL: out of memory. */
struct pool_process *opening_process(struct opening *opening, fuse_req_t request,
                                     struct client **client);
/* From now on it is one that tokens are counted for, and so is the opener. */
void opening_mark_used(struct opening *opening, struct client *client);

void request_read(fuse_req_t request, size_t size, const struct fuse_file_info *fi);
void request_write(fuse_req_t request, size_t size, const struct fuse_file_info *fi);
/* Takes over `pollhandle`. */
void request_poll(fuse_req_t request, const struct fuse_file_info *fi,
                  struct fuse_pollhandle *pollhandle);
void request_release(fuse_req_t request, const struct fuse_file_info *fi);

/* What the pool asks for. */
extern const struct pool_events request_events;

#endif
