/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The process that outlives the server. It keeps the server's descriptors, and with them the file, its
 * waiting clients and what they hold; it starts another server where one has died, or where that is asked
 * for, or one hangs, and clients notice nothing; after the last one it takes the mount away. It is for the server what a service
 * manager that stores descriptors is: they speak sd_notify(3) and sd_listen_fds(3).
 *
 * It is the process that was started, so that its pid stays. SIGTERM and SIGINT end the server, and then
 * it; SIGHUP, if there was no terminal at the start, has the server replaced by the program that lies now
 * where this one was started from, if that says that it can go on (--check); SIGUSR1 is passed on. A server that ends
 * with status 0 (a signal to it, or its mount is gone) is followed by none.
 *
 * Once the server is ready it is the user that the server becomes, and has no privileges but what it
 * takes to unmount what root has mounted: CAP_SYS_ADMIN, and CAP_DAC_READ_SEARCH for the way there, neither in
 * effect until the end. A server that it starts has none; the descriptors are enough.
 */

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "steved/daemon.h"
#include "steved/fd_store.h"
#include "steved/identity.h"
#include "steved/lives.h"
#include "steved/notify.h"
#include "steved/unmounter.h"

struct guardian {
    /* Given to it. */
    char **argv;                     /* of the servers to come */
    const struct identity *identity; /* whom the server becomes */
    struct daemon_start *daemon;
    struct notify manager; /* who wants to know how we are */
    struct unmounter unmounter;
    int mount_lock; /* as from mount_point_lock(): the first server's */
    bool is_watched;
    uint64_t
        watchdog_us; /* if is_watched: how often the manager wants to hear of us; 0: we do not watch either */

    struct lives lives;
    struct fd_store store;
    pid_t server;          /* 0: none */
    pid_t check;           /* a program that is asked whether it can go on; 0: none */
    int64_t kill_at_ns;    /* if it has not ended by then; 0: it need not end */
    int64_t silence_ns;    /* of a server that hangs; 0: any */
    int64_t hangs_at_ns;   /* if nothing is heard of it before; 0: nothing need be */
    int64_t start_at_ns;   /* when there is none, and another one follows */
    unsigned failed_forks; /* in a row, for that one */
    int status;            /* of the last one that has ended */
    char *program;         /* its path; NULL: unknown */
    int program_fd;        /* as it was at our start; negative: unknown */
    int notices[2];
    int signals_fd;
    bool has_terminal;
    sigset_t old_mask;
};

/* Returns in the first server only, a child, which finds NOTIFY_SOCKET and FDSTORE set: 0; or, with no child, a negative
 * errno after having said it. *guardian is the caller's, and stays where it is. */
int guardian_start(struct guardian *guardian);
