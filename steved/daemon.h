/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

/* --daemon: the parent exits when the file can be used, and its exit status tells whether it can. */
struct daemon_start {
    bool is_daemon;
    int ready_fd; /* to the waiting parent; -1: nobody waits */
    int null_fd;
};

/* If `is_daemon`, returns only in the child: 0, or a negative errno after having said it. */
int daemon_start(struct daemon_start *daemon, bool is_daemon);
/* For one that goes on where another daemon has ended, with the stdio of that: its stderr is the system's log
 * at once. */
void daemon_continue(bool is_daemon);
/* Another process lets the parent go. */
void daemon_forget(struct daemon_start *daemon);
/* Opens what daemon_ready() needs, for which it will be too late after lockdown(). */
int daemon_prepare(struct daemon_start *daemon);
/* Lets the parent go if it waits for us, and stdio: from now on stderr is the system's log. */
void daemon_ready(struct daemon_start *daemon);
