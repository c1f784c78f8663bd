/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What jobwrap and its keeper say to each other: packet.h. */

#include <stdbool.h>
#include <sys/types.h>

enum keeper_message_type {
    /* to the keeper */
    KEEPER_LAUNCH, /* value: in which candidate directory the FIFO is, or under which number jobwrap
                    * has a pipe (is_pipe) */
    KEEPER_FINISH, /* value: how many tokens to hold back as long as jobs live */
    KEEPER_PARENT, /* another server has taken the place of the parent, and a descriptor of its file comes along */
    /* from the keeper */
    KEEPER_READY,         /* it is a member of steved's group; value: 0 or a negative errno */
    KEEPER_JOINED,        /* it is one at the other server, too; value: 0 or a negative errno */
    KEEPER_LAUNCHED,      /* pid, and a pidfd comes with it */
    KEEPER_LAUNCH_FAILED, /* value: as launch_command() */
    KEEPER_STOPPED,       /* the command; value: the signal */
    KEEPER_ORPHAN_ENDED,  /* a process that has lost its parent */
    KEEPER_ENDED,         /* value: the wait status; empty: nothing lives below */
    KEEPER_FINISHED,      /* value: how many tokens it holds on to */
};

struct keeper_message {
    enum keeper_message_type type;
    int value;
    pid_t pid;
    bool is_empty, is_pipe;
    unsigned short spare; /* so that no byte is sent that nobody has written */
};
