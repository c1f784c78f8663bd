/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The open file descriptions of a file. */

#include "libjobserver/memory/arbiter.h"
#include "steved/answers.h"
#include "steved/clients.h"
#include "steved/server.h"

/* A user that has descriptions open. */
struct opener {
    LIST_ENTRY(opener) in_file;
    uid_t uid;
    uint32_t count;
};

struct opening {
    LIST_ENTRY(opening) in_file;
    struct file *file;
    struct pool_opening *pool;
    uint32_t number; /* by which the state knows it: the pool's row */
    struct memory_party memory;
    struct event_reader reader;
    bool reads_events; /* also where that has begun at the server before, and not yet here */
    /* Who uses it and cannot be told: a process of its own in the pool, which dies when the
     * description is released. NULL: there was none yet. */
    struct pool_process *anonymous;
    uint64_t poll_handle; /* by which the kernel knows it when it is polled; 0: it never was */
    struct fuse_pollhandle *pollhandle; /* of the last poll that wanted a notice */
    struct pool_process *poller;        /* whose that was; only to be compared */
    uint64_t opener_serial;
    pid_t opener_pid; /* 0: anonymous */
    struct opener *opener;
    pid_t group_pid; /* the process that founded the group of this description, else 0 */
    bool is_used;    /* its opener is known as a client */
};

/* For the open request; unlike others it does not answer. 0, -ENOMEM, or -EMFILE: its user has as many as can still be
 * opened by all. */
int opening_create(struct file *file, const struct request *request, struct opening **created);
/* At the last close, or when the open did not reach the client. */
void opening_release(struct opening *opening);
/* By which the kernel knows it. */
uint64_t opening_id(const struct opening *opening);
/* NULL: there is none, or not any more. */
struct opening *opening_find(const struct server *server, uint64_t id);

/* Who sends the request: its process in the pool, and *client, or NULL for one that cannot be told.
 * NULL: out of memory. */
struct pool_process *opening_process(struct opening *opening, const struct request *request,
                                     struct client **client);
/* From now on it is one that tokens are counted for, and so is the opener. */
void opening_mark_used(struct opening *opening, struct client *client);
/* The client has joined the group of this description, or founded it. */
void opening_join_group(struct opening *opening, struct client *client);
/* Who has it open reads events. */
void opening_mark_reader(struct opening *opening);
/* It is polled under this handle. */
void opening_set_poll_handle(struct opening *opening, uint64_t poll_handle);

/* Makes those that the state tells of, for the pool that was restored. 0, or a negative errno after having
 * said it. */
int openings_restore(struct file *file);
