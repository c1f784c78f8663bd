/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a server keeps where its own death does not reach: in a file in memory (memfd_create(2)), which a
 * keeper has open, too, and hands to the next server. It holds tables of flat rows, the request that is
 * being served, and the last answer.
 *
 * Changes are collected, and are made all together by state_commit(): whenever the server is killed, the next
 * one finds all or none of them. Nothing here knows what the rows mean, nor FUSE nor the pool; what is in
 * the file was written by a server of the same version, and by nobody else.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libjobserver/protocol.h"

/* Of the layout, and of what the rows mean: a server takes over from one that has the same. */
#define STATE_VERSION 3u

#define STATE_NONE UINT32_MAX /* instead of a number: there is none */
#define STATE_NAME_SIZE 4096
/* The largest request that is served: an ioctl's argument of at most 16 KiB, or a write of 4 KiB. */
#define STATE_REQUEST_SIZE 32768u
#define STATE_ANSWER_SIZE 8192u
#define STATE_GREETING_SIZE 512u
/* A blocked read as the kernel sends it. */
#define STATE_WAITER_SIZE 80u

/* Files that are served, each with a pool; and sessions with the kernel: a device is one of its own, and a mount is one
 * for all files. */
#define STATE_FILES_MAX (1 + STEVED_CLASSES_MAX)

/* Rows of zeros are none. The numbers of those of a pool are its own (pool/rows.h), and so are those of
 * clients, which are processes there, and of openings. */
enum state_table {
    /* One of each for every file: state_table_of(). */
    STATE_POOL_ROWS, /* + enum pool_row_kind */
    STATE_CLIENT = STATE_POOL_ROWS + 7,
    STATE_OPENING,
    STATE_FILE,
    STATE_FILE_TABLES, /* how many these are */

    STATE_SERVER = STATE_FILE_TABLES * STATE_FILES_MAX,
    STATE_SERIAL,
    STATE_WAITER,
    STATE_TABLES,
};

/* `table` is the first file's, `file` the number of a file. */
static inline enum state_table
state_table_of(unsigned file, unsigned table)
{
    return (enum state_table)(file * STATE_FILE_TABLES + table);
}

/* What is set, by the command line or since. */
struct state_settings {
    uint32_t jobs, min_jobs, per_process_limit, per_user_limit;
    struct steved_limits limits;
};

/* The only row of its table. */
struct state_server {
    struct state_settings given; /* by the command line */
    struct state_settings now;   /* `jobs` is the pool's */
    uint32_t file_uid, file_gid, file_mode;
    uint32_t is_mount;
    char name[STATE_NAME_SIZE]; /* of the device, or the directory */
};

/* The only row of its table; the first file has none. */
struct state_file {
    char name[STEVED_CLASS_NAME_SIZE]; /* of the class; empty: there is no such file */
    uint32_t given_jobs;               /* by the command line */
    uint32_t has_lease;
    int64_t lease_ends_ns;
};

/* The only row of its table. */
struct state_serial {
    uint64_t next;
};

enum state_client_flag {
    STATE_CLIENT_IS_THERE = 1u,
    STATE_CLIENT_USES_TOKENS = 2u,
    STATE_CLIENT_IS_BELOW_GROUP = 4u,
};

struct state_client {
    uint64_t serial;
    uint64_t start_ticks; /* 0: not known */
    int32_t pid;
    int32_t group_pid;
    uint32_t heir_of; /* a client, or STATE_NONE */
    uint32_t flags;
};

enum state_opening_flag {
    STATE_OPENING_IS_THERE = 1u,
    STATE_OPENING_IS_USED = 2u,
    STATE_OPENING_READS_EVENTS = 4u,
};

struct state_opening {
    uint64_t
        poll_handle; /* by which the kernel is told to poll it again; 0: nobody ever has polled it */
    uint64_t opener_serial;
    int32_t opener_pid;
    int32_t group_pid;
    uint32_t anonymous; /* a process of the pool, or STATE_NONE */
    uint32_t flags;
    uint32_t opener_uid;
    uint32_t spare;
};

enum state_waiter_state { STATE_WAITER_WAITS = 1, STATE_WAITER_IS_ANSWERED };

/* A blocked read. */
struct state_waiter {
    uint32_t state;
    int32_t error;  /* of the answer; 0: a token */
    uint32_t tries; /* see state_try() */
    int32_t pid;    /* whose thread has asked; 0: it could not be told */
    uint32_t session;
    uint32_t spare;
    _Alignas(8) unsigned char request[STATE_WAITER_SIZE];
};

/* What the kernel said first, and was answered. */
struct state_greeting {
    uint32_t request_size, answer_size; /* answer_size: 0: it was not answered */
    _Alignas(8) unsigned char request[STATE_GREETING_SIZE];
    _Alignas(8) unsigned char answer[STATE_GREETING_SIZE];
};

struct state;

/* An empty one. Where the system gives no file for it, it ends with the server, and state_fd() is -1. NULL:
 * out of memory. SIGXFSZ is to be ignored. */
struct state *state_create(void);
/* The one that another server has left. Takes over `fd`, but not on an error: NULL, and *what is wrong. errno: EBUSY
 * if another process has it, which is told by a lock that ends as soon as a process closes any descriptor of the file. */
struct state *state_open(int fd, const char **what);
/* Could state_open() take that over, as far as its version and layout tell? It may be in use, and is not changed.
 * NULL: yes; else what is wrong. */
const char *state_check(int fd);
/* Where it lies, to be handed on; the state's own. -1: nowhere. */
int state_fd(const struct state *state);
void state_close(struct state *state);

/* --- rows --- */

/* The first `size` bytes of a row; they are seen after state_commit(). What is put last counts. */
void state_put(struct state *state, enum state_table table, uint32_t number, const void *bytes,
               size_t size);
/* There is no such row any more. */
void state_drop(struct state *state, enum state_table table, uint32_t number);
void state_commit(struct state *state);
/* May the row be put? */
bool state_has_room(enum state_table table, uint32_t number);
/* How many rows it can have. */
uint32_t state_room(enum state_table table);

/* As committed. */
const void *state_row(const struct state *state, enum state_table table, uint32_t number);
/* No row has this number or a higher one. */
uint32_t state_rows(const struct state *state, enum state_table table);
/* Is there any? */
bool state_has_rows(const struct state *state, enum state_table table);

/* --- the request that is being served --- */

/* Where the next of this session is to be read into; its first four bytes are not 0 then, and they are what tells that
 * it is there. The memory is there, and stays: the kernel ends a request with an error if it has to wait for a page
 * while we are being killed. */
void *state_request(struct state *state, unsigned session);
/* One was read, and is not done with. */
bool state_has_request(const struct state *state);
/* It is being served, perhaps anew. */
const void *state_serve_request(struct state *state);
/* A read that has waited is being served anew, for a new server: its request. */
const void *state_serve_waiter(struct state *state, uint32_t number);
/* Which one's is what is being served? */
unsigned state_session(const struct state *state);
/* It waits: under this number. pid: as in struct state_waiter. STATE_NONE: there is no room. */
uint32_t state_wait(struct state *state, pid_t pid);
/* It is done with, or waits. */
void state_request_done(struct state *state);
/* How often new servers have tried this waiter, or the request (STATE_NONE), this one included: it may be what
 * kills them. */
uint32_t state_try(struct state *state, uint32_t number);
/* It did not. */
void state_tried(struct state *state, uint32_t number);

/* A read that has waited has its answer, which is to be given after state_commit(); and then is no more.
 * error: as in struct state_waiter. */
void state_waiter_answered(struct state *state, uint32_t number, int error);
void state_waiter_end(struct state *state, uint32_t number);

/* --- answers --- */

/* STATE_ANSWER_SIZE bytes for the next; the memory stays. */
void *state_answer(struct state *state);
/* It is to the request that is being served, which is done with: state_commit(), and it may be given. */
void state_answered(struct state *state, size_t size);
/* The last such, which may not have been given to its session; size 0: there is none. */
const void *state_last_answer(const struct state *state, size_t *size, unsigned *session);

/* Of this session. Not part of a transaction: it counts once its answer_size is set. */
struct state_greeting *state_greeting(struct state *state, unsigned session);
