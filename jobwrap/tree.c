/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "tree.h"

/* A directory has a link from each directory in it, besides its own two. */
static int
count_threads(pid_t pid)
{
    char path[sizeof("/proc/2147483647/task")];
    struct stat status;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    return stat(path, &status) == 0 && status.st_nlink > 2 ? (int)status.st_nlink - 2 : 0;
}

int
tree_count_threads(pid_t top, pid_t except, pid_t session)
{
    struct process_info *found;
    ssize_t n = process_descendants(top, &found);
    int threads = 0;

    if (n < 0)
        return -1;
    for (ssize_t i = 0; i < n; i++)
        if (found[i].pid != except && (session == 0 || found[i].session == session))
            threads += count_threads(found[i].pid);
    free(found);
    return threads;
}

/* The pid may be another process's by now: a pidfd pins the process, its start time tells whether it
 * is the right one. */
static int
open_found(const struct process_info *found)
{
    struct process_info now;
    int pidfd = process_open_pidfd(found->pid);

    if (pidfd < 0)
        return pidfd;
    if (process_info(found->pid, &now) == 0 && now.start_ticks == found->start_ticks)
        return pidfd;
    close(pidfd);
    return -ESRCH;
}

static int
compare_age(const void *a, const void *b)
{
    const struct process_info *one = a, *other = b;

    if (one->start_ticks != other->start_ticks)
        return one->start_ticks < other->start_ticks ? -1 : 1;
    return one->pid < other->pid ? -1 : one->pid > other->pid;
}

void
tree_signal(pid_t top, pid_t except, int signal_number)
{
    struct process_info *found;
    ssize_t n = process_descendants(top, &found);

    if (n < 0)
        return;
    qsort(found, (size_t)n, sizeof(*found), compare_age);
    for (ssize_t i = 0; i < n; i++) {
        int pidfd = found[i].pid == except ? -1 : open_found(&found[i]);
        if (pidfd < 0)
            continue;
        syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0);
        close(pidfd);
    }
    free(found);
}

void
tree_wait_for_end(pid_t top, pid_t session, int child_fd, int timeout_ms)
{
    struct signalfd_siginfo info;
    struct process_info *found = NULL;
    ssize_t n = process_descendants(top, &found);
    struct pollfd *watched = calloc((n > 0 ? (size_t)n : 0) + 1, sizeof(*watched));
    nfds_t n_watched = 1;

    if (!watched) {
        free(found);
        return;
    }
    watched[0] = (struct pollfd){.fd = child_fd, .events = POLLIN};
    for (ssize_t i = 0; i < n; i++) {
        int pidfd = session == 0 || found[i].session == session ? open_found(&found[i]) : -1;
        if (pidfd >= 0)
            watched[n_watched++] = (struct pollfd){.fd = pidfd, .events = POLLIN};
    }
    poll(watched, n_watched, timeout_ms);
    while (read(child_fd, &info, sizeof(info)) > 0)
        continue;
    while (n_watched > 1)
        close(watched[--n_watched].fd);
    free(watched);
    free(found);
}

bool
tree_reap(pid_t except)
{
    siginfo_t info = {0};

    /* Look first, so that the one whose status somebody else wants stays. */
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
        if (info.si_pid == 0 || info.si_pid == except)
            return true;
        waitpid(info.si_pid, NULL, 0);
        info.si_pid = 0;
    }
    return errno != ECHILD;
}
