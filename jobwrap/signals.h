/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <signal.h>
#include <stdbool.h>

/*
 * jobwrap and its keeper block the signals that would end them and read them from a signalfd; the
 * command starts with the mask and the dispositions that jobwrap was started with. SIGTSTP keeps its
 * action: ^Z stops all of us together.
 */
struct signals {
    sigset_t original;     /* the mask that the command gets */
    bool is_child_ignored; /* SIGCHLD was ignored, which would keep us from waiting */
    int fd;                /* signalfd; of the process that opened it only */
};

/* 0 or a negative errno. Signals that were ignored from the start (nohup) stay so. */
int signals_take(struct signals *signals);
/* The keeper needs to hear of children only. It opens its own: a signalfd reads the signals of the
 * process that reads, but epoll watches those of the one that added it. */
int signals_open_children(void);
/* In the child that becomes the command. */
void signals_give_back(const struct signals *signals);
