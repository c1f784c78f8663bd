/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a client does with the open file, told to the pool; the same on a FUSE mount and on a CUSE device.
 * Each function answers the request, now or later. */

#include "libjobserver/memory/arbiter.h"
#include "steved/answers.h"
#include "steved/clients.h"
#include "steved/server.h"

/* An open file description of the file. */
struct opening {
    LIST_ENTRY(opening) in_server;
    struct server *server;
    struct pool_opening *pool;
    struct memory_party memory;
    /* Who uses it and cannot be told: a process of its own in the pool, which dies when the
     * description is released. NULL: there was none yet. */
    struct pool_process *anonymous;
    struct fuse_pollhandle *pollhandle; /* of the last poll that wanted a notice */
    struct pool_process *poller;        /* whose that was; only to be compared */
    uint64_t opener_serial;
    pid_t opener_pid; /* 0: anonymous */
    uid_t opener_uid;
    pid_t group_pid; /* the process that founded the group of this description, else 0 */
    bool is_used;    /* its opener is known as a client */
};

/* For the open request; unlike the others it does not answer. NULL: out of memory. */
struct opening *opening_create(struct server *server, const struct request *request);
/* At the last close, or when the open did not reach the client. */
void opening_release(struct opening *opening);

/* Who sends the request: its process in the pool, and *client, or NULL for one that cannot be told.
 * NULL: out of memory. */
struct pool_process *opening_process(struct opening *opening, const struct request *request,
                                     struct client **client);
/* From now on it is one that tokens are counted for, and so is the opener. */
void opening_mark_used(struct opening *opening, struct client *client);

void request_read(struct opening *opening, const struct request *request, size_t size);
void request_write(struct opening *opening, const struct request *request, size_t size);
/* Takes over `pollhandle`, which may be NULL: then nobody waits for another answer. */
void request_poll(struct opening *opening, const struct request *request,
                  struct fuse_pollhandle *pollhandle);

/* The server ends: who waits gets an error, and no description is left. */
void requests_end(struct server *server);

/* Gives the answers that the pool has made due; to be called after each request, death or deadline. */
void requests_answer(struct server *server);
