/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef STEVED_SERVER_H
#define STEVED_SERVER_H

/* The one state of the daemon, and the loop that serves it. Every rule of accounting is the pool's;
 * the files around it translate what the kernel says into its words and back. */

#define FUSE_USE_VERSION 34

#include <event2/event.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "libjobserver/pool/pool.h"
#include "libjobserver/process.h"
#include "steved/options.h"

struct client;
struct opening;
LIST_HEAD(client_bucket, client);
LIST_HEAD(openings, opening);
/* 10,000 clients make chains of five; 8 KiB in all, so that it never has to grow. */
#define CLIENT_BUCKETS 1024

enum server_signal { SERVER_TERM, SERVER_INT, SERVER_STATUS, SERVER_SIGNALS };

struct server {
    struct options options; /* min_jobs and per_process_limit are what is set now */
    uid_t uid;              /* who may set, besides root */

    /* Of the file that is served. */
    uid_t file_uid;
    gid_t file_gid;
    mode_t file_mode;

    struct pool *pool;
    struct openings openings;
    struct process_cache *threads;
    struct client_bucket clients[CLIENT_BUCKETS];
    uint64_t next_serial;    /* of clients, and of groups */
    bool is_short_of_pidfds; /* has been said */

    struct fuse_session *session; /* also of a CUSE device */
    struct fuse_buf request;      /* the one that is being looked at; libfuse allocates */
    bool is_initialised;          /* the kernel has greeted us */
    int burst;                    /* how many requests are read in a row */
    bool is_ending;

    struct event_base *base;
    struct event *readable;
    struct event *deadline;
    struct event *signals[SERVER_SIGNALS];
    int64_t armed_ns; /* what `deadline` waits for, or POOL_NO_DEADLINE */
};

/* Pool, tables and event loop, no session yet: 0, or a negative errno after having said it. */
int server_init(struct server *server);
/* Ends the session (whoever waits gets an error), then all the rest. */
void server_end(struct server *server);

/* Answers the kernel's greeting, which comes first on every session: 0 or a negative errno. */
int server_greet(struct server *server);
/* Serves until a signal or an unmount ends it: 0 or a negative errno. */
int server_run(struct server *server);

/* To be called after whatever may have changed the pool's next deadline. */
void server_arm_deadline(struct server *server);

/* Lines of --verbose. */
#define server_trace(server, ...)                                                                  \
    do {                                                                                           \
        if ((server)->options.verbose)                                                             \
            message(__VA_ARGS__);                                                                  \
    } while (0)

#endif
