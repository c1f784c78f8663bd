/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jobwrap/tree.h"
#include "libjobserver/process.h"

/* Ends a race against something that forks as fast as it can. */
#define STOP_PASSES 100
/* What never stops changing is not counted. */
#define COUNT_PASSES 10

static int
compare_age(const void *a, const void *b)
{
    const struct process_info *one = a, *other = b;

    if (one->start_ticks != other->start_ticks)
        return one->start_ticks < other->start_ticks ? -1 : 1;
    return one->pid < other->pid ? -1 : one->pid > other->pid;
}

/* The oldest first. */
static ssize_t
find_all(pid_t top, struct process_info **found)
{
    ssize_t n = process_descendants(top, found);

    if (n > 0)
        qsort(*found, (size_t)n, sizeof(**found), compare_age);
    return n;
}

static bool
are_same(const struct process_info *one, ssize_t n, const struct process_info *other, ssize_t m)
{
    bool same = n == m;

    for (ssize_t i = 0; same && i < n; i++)
        same = compare_age(&one[i], &other[i]) == 0;
    return same;
}

/* -1: they came or went meanwhile. */
static int
count_threads(pid_t top, pid_t except, pid_t session)
{
    struct process_info *found = NULL, *again = NULL;
    ssize_t n = find_all(top, &found), m = n < 0 ? -1 : find_all(top, &again);
    int threads = 0;

    for (ssize_t i = 0; i < m; i++)
        if (again[i].pid != except && (session == 0 || again[i].session == session))
            threads += (int)again[i].threads;
    if (m < 0 || !are_same(found, n, again, m))
        threads = -1;
    free(found);
    free(again);
    return threads;
}

int
tree_count_threads(pid_t top, pid_t except, pid_t session)
{
    int threads, passes = 0;

    do
        threads = count_threads(top, except, session);
    while (threads < 0 && ++passes < COUNT_PASSES);
    return threads;
}

/* The pid may be another process's by now: a pidfd pins the process, its start time tells whether it
 * is the right one. */
static void
signal_found(const struct process_info *found, int signal_number)
{
    struct process_info now;
    int pidfd = process_open_pidfd(found->pid);

    if (process_info(found->pid, &now) == 0 && now.start_ticks == found->start_ticks)
        process_signal(found->pid, pidfd, signal_number);
    if (pidfd >= 0)
        close(pidfd);
}

static void
signal_all(const struct process_info *found, ssize_t n, int signal_number)
{
    for (ssize_t i = 0; i < n; i++)
        signal_found(&found[i], signal_number);
}

/* Who has a signal pending cannot fork any more: when a pass finds nobody new, all are stopped. */
static ssize_t
stop_all(pid_t top, struct process_info **found)
{
    struct process_info *before = NULL;
    ssize_t n_before = 0, n = 0;

    for (int pass = 0; pass < STOP_PASSES; pass++) {
        n = find_all(top, found);
        if (n < 0 || are_same(before, n_before, *found, n))
            break;
        signal_all(*found, n, SIGSTOP);
        free(before);
        before = *found;
        n_before = n;
        *found = NULL;
    }
    free(before);
    return n;
}

void
tree_end(pid_t top, int signal_number)
{
    struct process_info *found = NULL;
    ssize_t n = stop_all(top, &found);

    /* Nobody may be left unsignalled in a tree that does not settle. */
    if (!found)
        n = find_all(top, &found);
    signal_all(found, n, signal_number);
    signal_all(found, n, SIGCONT);
    if (n >= 0)
        free(found);
}

bool
tree_reap(pid_t except, unsigned *reaped)
{
    siginfo_t info = {0};
    unsigned count = 0;
    int result;

    /* Look first, so that the one whose status somebody else wants stays. */
    while ((result = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT)) == 0 &&
           info.si_pid != 0 && info.si_pid != except) {
        waitpid(info.si_pid, NULL, 0);
        info.si_pid = 0;
        count++;
    }
    if (reaped)
        *reaped = count;
    return result == 0 || errno != ECHILD;
}
