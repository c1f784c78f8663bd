/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "jobwrap/signals.h"
#include "libjobserver/program/ending.h"

static const int handled[] = {SIGHUP,  SIGINT,  SIGQUIT,  SIGTERM, SIGUSR1,
                              SIGUSR2, SIGALRM, SIGWINCH, SIGCONT};

int
signals_take(struct signals *signals)
{
    sigset_t blocked, read;

    sigemptyset(&read);
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
        if (!ending_is_ignored(handled[i]))
            sigaddset(&read, handled[i]);
    sigaddset(&read, SIGCHLD);
    blocked = read;
    sigaddset(&blocked, SIGPIPE); /* a parent's pipe without readers */
    sigaddset(&blocked, SIGTTOU); /* the terminal is handed on from the background */
    signals->is_child_ignored = ending_is_ignored(SIGCHLD);
    signal(SIGCHLD, SIG_DFL);
    if (sigprocmask(SIG_BLOCK, &blocked, &signals->original) < 0)
        return -errno;
    signals->fd = signalfd(-1, &read, SFD_CLOEXEC | SFD_NONBLOCK);
    return signals->fd < 0 ? -errno : 0;
}

int
signals_open_children(void)
{
    sigset_t children;

    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    int fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

void
signals_give_back(const struct signals *signals)
{
    if (signals->is_child_ignored)
        signal(SIGCHLD, SIG_IGN);
    sigprocmask(SIG_SETMASK, &signals->original, NULL);
}
