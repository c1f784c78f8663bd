/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The jobserver of a make that a shim stands before, told so that this make can use it. What fails for
 * lack of memory ends the program. */

#include <stdbool.h>

#include "libjobserver/auth.h"

struct make_jobserver {
    struct auth
        auth; /* as MAKEFLAGS names it; AUTH_FIFO: or as JOBWRAP_FIFO does, where MAKEFLAGS */
    bool is_withheld; /* names descriptors that are not for us, */
    bool is_dropped;  /* or none */
    unsigned jobs;    /* of the -jN beside it; 0: there is none */
};

/* false: none is named, or in a way that makes no sense, of which make shall complain. */
bool make_jobserver_find(struct make_jobserver *jobserver);

/* Can it be used? A make with an explicit -jN would leave it, then, or has been made to. */
bool make_jobserver_can_open(const struct make_jobserver *jobserver);

/* MAKEFLAGS names it by descriptors, if it is a FIFO and the make at this path is older than 4.4, or if
 * it was withheld. Where MAKEFLAGS names none, none is named. What cannot be opened is -j1, as it is to a newer make. */
void make_jobserver_adapt(const struct make_jobserver *jobserver, const char *make);

/* Becomes `jobwrap -jN command...`. Returns if there is no jobwrap. */
void make_jobserver_become_capped(struct make_jobserver *jobserver, unsigned jobs, char **command);
/* What was dropped from MAKEFLAGS is to be named there again. */
void make_jobserver_rejoin(struct make_jobserver *jobserver);
