/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Who is asking: the processes that have used a file, from their first request until they die. */

#include "steved/server.h"

struct pool_account;

struct client {
    LIST_ENTRY(client) in_bucket;
    struct file *file;
    struct pool_process *process;
    uint32_t number;      /* by which the state knows it: the row of its process in the pool */
    uint64_t start_ticks; /* tells it from another that has the same pid after it; 0: not known */
    struct event *died;
    uint64_t serial; /* tells it from another that had the same pid before */
    pid_t pid;
    uid_t uid; /* as its first request told: who it counts for, unless it is below a group */
    int pidfd;
    int64_t seen_alive_ns;
    pid_t group_pid;     /* first member of the group it is in, else 0 */
    bool uses_tokens;    /* has read, polled or joined: what it starts, it has paid for */
    bool is_below_group; /* started by a member of a group */

    /* A make opens the file long before it reads, and a make below it may read first: those that
     * turn out to be paid for once this one uses tokens. */
    LIST_HEAD(, client) heirs;
    LIST_ENTRY(client) in_heirs;
    struct client *heir_of; /* NULL: of nobody */
};

/* It reads, polls or joins a group. */
void clients_mark_used(struct client *client);
/* It is a member of the group that this process has founded. */
void clients_set_group(struct client *client, pid_t group_pid);

/* The process of the thread that sent a request, introduced to the pool if it is new, as this user's. NULL: it
 * can't be told who it is (it is outside of our pid namespace, or it is gone, or there is no memory). */
struct client *clients_of_thread(struct file *file, pid_t tid, uid_t uid);

/* The server before knew whose thread this is; what saves a look at it is checked all the same. */
void clients_remember_thread(struct server *server, pid_t tid, pid_t pid);

/* One that is alive. NULL: nobody known. */
struct client *clients_find(struct file *file, pid_t pid);

/* Nobody nests deeper; a chain that does is a client's own loss. */
#define CLIENTS_ANCESTORS_MAX 64
/* Those of a process' ancestors that are known, nearest first: how many. Costs a look at each process
 * between them. */
size_t clients_ancestors(struct file *file, pid_t pid,
                         struct client *ancestors[CLIENTS_ANCESTORS_MAX]);

/* Those that have a claim and have died are treated so now, though no event has told it yet. */
void clients_bury_claimers(struct file *file);

/* As pool_process_add(), if there is an account and the state has room for one more. */
struct pool_process *clients_add_process(struct file *file, pid_t pid, struct pool_account *account,
                                         bool is_paid);

/* Makes those that the state tells of, for the pool and the openings that were restored; what those had who
 * have died since is reclaimed. 0, or a negative errno after having said it. */
int clients_restore(struct file *file);

/* How accounts of one user are named; the kinds never meet. */
#define CLIENTS_KEY_OUTSIDE (UINT64_C(3) << 60) /* of those that cannot be told from one another */
uint64_t clients_key_of_group(struct server *server);

/* Forgets all; the pool has been destroyed. */
void clients_end(struct file *file);
