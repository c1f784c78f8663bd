/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* The command, which is the keeper's child: what jobwrap knows of it and does to it. */
struct command {
    pid_t pid; /* 0: not launched */
    int pidfd; /* or -1: the kernel gives none */
    bool has_ended;
    int status;              /* then: the wait status */
    bool has_given_terminal; /* it was stopped in the foreground with a process group of its own */
};

void command_signal(const struct command *command, int signal_number);
/* It has stopped: so do we, that the shell may see it. */
void command_stopped(struct command *command);
/* We are continued: so is it. */
void command_continue(struct command *command);
