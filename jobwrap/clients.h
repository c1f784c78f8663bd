/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Who has the private FIFO open and so may hold tokens, and whose jobs run on after its death. All of it
 * is looked up in /proc; a pidfd of each client tells when to look again.
 *
 * A client is a process that has opened the FIFO by itself, or one that has inherited the two descriptors
 * of the pipe style and is known to use them: all others that the command starts inherit them too, and what they have
 * taken is seen only by what nobody else can have (losses_unexplained()). Where a client runs does not matter (below
 * systemd-run it is not below us), but it has started after us.
 *
 * The children of a process that dies become the keeper's, or ours. If it was a client they are its jobs,
 * and run on. A process in another session than the client's is a daemon, and no job.
 */

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "jobwrap/losses.h"
#include "libjobserver/process.h"

struct client_process;
struct left_job;

struct clients {
    struct event_base *base;
    void (*on_end)(void *argument); /* a client has ended */
    void *argument;
    dev_t device; /* the FIFO */
    ino_t inode;
    struct process_info self;
    pid_t keeper, command; /* command: 0: not there yet */
    int inherited[2];      /* the descriptors of the pipe style; -1: it is not that */

    struct client_process *list;
    size_t count;
    struct left_job *left;
    size_t left_count;
    struct process_info *before; /* all processes when they were last looked at, by pid */
    size_t before_count;
};

/* fifo_fd: an open one. 0 or a negative errno. */
int clients_open(struct clients *clients, int fifo_fd, pid_t keeper, struct event_base *base,
                 void (*on_end)(void *argument), void *argument);
void clients_close(struct clients *clients);
/* The command runs. `inherits`: it has got the descriptors of the pipe style. */
void clients_set_command(struct clients *clients, pid_t command, bool inherits);

/* Is the process a client, which may have tokens of the FIFO? true, too, if it cannot be looked at. */
bool clients_may_hold(const struct clients *clients, pid_t pid);

/* Looks; takes some ms. `lent` is copied into *view. *has_died: a client, or somebody who might have been
 * one, has died or has closed the FIFO since the last time. 0 or a negative errno. */
int clients_look(struct clients *clients, unsigned lent, struct losses_view *view, bool *has_died);
