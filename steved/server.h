/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The state of a server, and its event loop. Every rule of accounting is the pool's; requests.h and
 * ioctls.h translate what clients ask for into its words, session.h and answers.h what the kernel says. */

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "libjobserver/classes/spec.h"
#include "libjobserver/events/stream.h"
#include "libjobserver/memory/arbiter.h"
#include "libjobserver/process.h"
#include "libjobserver/program/allowance.h"
#include "libjobserver/program/message.h"
#include "libjobserver/throttle/throttle.h"
#include "steved/options.h"
#include "steved/state.h"

struct channel;
struct client;
struct opening;
struct pool;
LIST_HEAD(client_bucket, client);
LIST_HEAD(openings, opening);
LIST_HEAD(openers, opener);
/* 10,000 clients make chains of five; 8 KiB in all, so that it never has to grow. */
#define CLIENT_BUCKETS 1024

/* A file that is served, and the pool behind it: the first is the server's own, cpu; the others are its classes. */
struct file {
    struct server *server;
    unsigned number;
    struct class_spec spec;  /* of a class: its name, and what the command line says */
    struct channel *channel; /* to the kernel; of a mount all have the same */
    struct pool *pool;
    struct openings openings;
    struct openers openers;
    uint32_t opening_count;
    struct client_bucket clients[CLIENT_BUCKETS];
    int64_t lease_ends_ns; /* serve_set_class() */
};

static inline bool
file_is_class(const struct file *file)
{
    return file->number > 0;
}

enum server_signal { SERVER_TERM, SERVER_INT, SERVER_STATUS, SERVER_SIGNALS };

struct server {
    struct options options;      /* what is set now, but for `limits` */
    struct state_settings given; /* on the command line */
    uid_t uid;                   /* who may set, besides root */

    /* Of the files that are served. */
    uid_t file_uid;
    gid_t file_gid;
    mode_t file_mode;

    struct state *state; /* what a server that comes after this one has to know */
    struct file files[STATE_FILES_MAX];
    unsigned file_count;
    struct memory_arbiter arbiter;
    struct throttle throttle;     /* limits as they are set now */
    struct stream stream;         /* of events */
    struct allowances allowances; /* for what costs more than a token */
    struct process_cache *threads;
    uint64_t next_serial;    /* of clients, and of groups */
    bool is_short_of_pidfds; /* has been said */
    bool is_ending;
    void (*answer)(struct server *server); /* gives what the pools have made due */

    struct event_base *base;
    struct event *deadline;
    struct event *signals[SERVER_SIGNALS];
    int64_t armed_ns;     /* what `deadline` waits for, or POOL_NO_DEADLINE */
    struct event *unused; /* --idle-timeout has passed; NULL: there is none */
    bool is_unused;       /* nobody has the file open, nor a token */
    void (*tell_unused)(void *argument);
    void *argument;
};

/* Tables and event loop; `answer` gives what the pools have made due. 0, or a negative errno after having said
 * it. */
int server_init(struct server *server, void (*answer)(struct server *server));
/* Pools, and a state that nobody has left: 0, or a negative errno after having said it. */
int server_begin(struct server *server);
/* What is set, or served, is not what it was. */
void server_record_settings(struct server *server);
/* One more file, which is known to nobody yet: 0, or a negative errno after having said it. */
int server_begin_file(struct server *server, const struct class_spec *spec);
/* The same without a pool; and once that was made. */
struct file *server_add_file(struct server *server, const struct class_spec *spec);
void server_follow(struct file *file);
/* Of a class: what is set is not what it was. */
void server_record_file(const struct file *file);
/* It has no jobs any more if its lease is over. */
void server_end_lease(struct file *file, int64_t now_ns);
/* Of a class that cannot be served: it has no jobs, but what is given counts again for the next server. */
void server_withdraw_file(struct file *file);
/* Serves until a signal or server_leave() ends it: 0, or a negative errno after having said it. */
int server_run(struct server *server);
void server_leave(struct server *server);
/* Nothing is served any more; what still waits is told so by requests_end(). */
void server_stop(struct server *server);
/* Frees all that is left, when there are no clients any more. */
void server_end(struct server *server);

/* To be called before whatever may make the pool grant a token: what limits that is looked at. */
void server_look(struct server *server);
/* To be called after whatever may have changed the pool: others get their answers, and its next deadline
 * is waited for. */
void server_settle(struct server *server);

/* Lines of --verbose. */
#define server_trace(server, ...)                                                                  \
    do {                                                                                           \
        if ((server)->options.is_verbose)                                                          \
            message(__VA_ARGS__);                                                                  \
    } while (0)
