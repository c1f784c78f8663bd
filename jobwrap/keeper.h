/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The keeper stands between jobwrap and the command: it starts the command and all that the command
 * leaves behind becomes its child, so that the kernel tells it when nothing is left (ECHILD). If
 * jobwrap is killed, it ends the tree, and then, and not before, returns the borrowed tokens and
 * removes the directory. If the keeper is killed, its children become jobwrap's, which goes on.
 */

#include <sys/types.h>

#include "jobwrap/launch.h"
#include "jobwrap/private_fifo.h"
#include "libjobserver/ledger.h"

struct keeper {
    struct ledger *ledger;     /* NULL without a parent */
    struct private_fifo *fifo; /* planned, not made */
    const struct launch *launch;
    pid_t pid;  /* for jobwrap */
    int socket; /* see keeper_link.h; non-blocking at jobwrap's end */
};

/* Forks it. Everything that `keeper` names must be there, and no token borrowed. 0 or -errno. */
int keeper_start(struct keeper *keeper);

/* Gives back all tokens but `most`, then one after the other as the processes below `top` end that
 * might use them; takes what their jobs put into the FIFO. child_fd: a signalfd for SIGCHLD. Used by
 * the keeper, or in its place by jobwrap. */
void keeper_hold(struct ledger *ledger, struct private_fifo *fifo, pid_t top, unsigned most,
                 int child_fd);
