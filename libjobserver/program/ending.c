/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/ending.h"

#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

bool
ending_is_ignored(int signal_number)
{
    struct sigaction action;

    return sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

_Noreturn void
ending_by_signal(int signal_number)
{
    sigset_t only;

    prctl(PR_SET_DUMPABLE, 0);
    signal(signal_number, SIG_DFL);
    sigemptyset(&only);
    sigaddset(&only, signal_number);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    raise(signal_number);
    _exit(128 + signal_number);
}

int
ending_like(int wait_status)
{
    if (WIFSIGNALED(wait_status))
        ending_by_signal(WTERMSIG(wait_status));
    return WEXITSTATUS(wait_status);
}
