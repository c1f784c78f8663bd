/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tries whether a process that is stopped at its exec stands still: in a child, which has the filter, and a
 * child of that, which is stopped. */
#include "ninja-shim/gate/seccomp/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "ninja-shim/gate/seccomp/filter.h"
#include "ninja-shim/gate/seccomp/listener.h"

/* As in stops.c: no event tells what is waited for. */
#define LOOK_MS 1
#define LOOKS_MAX 1000
/* What a tracer takes to let it go on, if it does: it then runs to its end, or has gone on at least. */
#define TRACER_MS 250

struct probe {
    struct seccomp_listener listener;
    pid_t pid; /* of who is stopped */
    int pidfd;
    struct process_info info;
};

/* Until it may have changed. */
static bool
look(struct probe *probe)
{
    struct pollfd polled = {.fd = probe->pidfd, .events = POLLIN};

    return poll(&polled, 1, LOOK_MS) == 0 && process_info(probe->pid, &probe->info) == 0;
}

/* As fork(2), but the child does not outlive us. Who tries may be killed in the middle; who is stopped
 * there would stay so for ever, with the listener open that it waits for, and the pipe. */
static pid_t
fork_bound(void)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
        _exit(127);
    return pid;
}

static pid_t
fork_probed(void)
{
    pid_t pid = fork_bound();

    if (pid != 0)
        return pid;
    execl("/bin/sh", "sh", "-c", ":", (char *)NULL);
    _exit(127);
}

/* It executes; 0, or -EOPNOTSUPP: it ends without. */
static int
receive(struct probe *probe, struct seccomp_exec *exec)
{
    struct pollfd polled[] = {{.fd = probe->listener.fd, .events = POLLIN},
                              {.fd = probe->pidfd, .events = POLLIN}};

    while (poll(polled, 2, -1) < 0)
        if (errno != EINTR)
            return -errno;
    return polled[0].revents && seccomp_listener_receive(&probe->listener, exec) == 1 ? 0
                                                                                      : -EOPNOTSUPP;
}

/* Traced, it shows no difference between the stop that we want and one that its tracer ends soon, of which
 * there may be several before it. */
static bool
stands_still(const struct probe *probe)
{
    struct pollfd polled = {.fd = probe->pidfd, .events = POLLIN};
    uint64_t before, after;

    bool has_stopped = process_program_counter(probe->pid, &before) == 0;
    return has_stopped && poll(&polled, 1, TRACER_MS) == 0 &&
           process_program_counter(probe->pid, &after) == 0 && before == after;
}

static int
check_stop(struct probe *probe)
{
    for (unsigned looks = 0; looks < LOOKS_MAX && look(probe); looks++) {
        if (!probe->info.has_executed)
            continue;
        if (probe->info.state == 'T' || (probe->info.state == 't' && stands_still(probe)))
            return 0;
    }
    return -EOPNOTSUPP;
}

static int
stop(struct probe *probe)
{
    struct seccomp_exec exec = {.id = 0};
    unsigned looks = 0;
    int result = receive(probe, &exec);

    if (result < 0)
        return result;
    kill(probe->pid, SIGSTOP);
    while (looks++ < LOOKS_MAX && look(probe) && probe->info.state != 'D')
        continue;
    seccomp_listener_continue(&probe->listener, exec.id);
    return check_stop(probe);
}

static int
run(void)
{
    struct probe state = {0};
    struct probe *probe = &state;
    int fd = seccomp_filter_install();

    if (fd < 0)
        return fd;
    probe->listener.fd = fd;
    probe->pid = fork_probed();
    if (probe->pid < 0)
        return -errno;
    probe->pidfd = process_open_pidfd(probe->pid);
    int result = probe->pidfd < 0 ? probe->pidfd : stop(probe);
    kill(probe->pid, SIGKILL);
    waitpid(probe->pid, NULL, 0);
    return result;
}

/* By a pipe: where SIGCHLD is ignored, nobody can ask for an exit status. */
static int
run_in_child(const int ends[2])
{
    int result = -EOPNOTSUPP;
    pid_t child = fork_bound();

    if (child == 0) {
        result = run();
        _exit(write(ends[1], &result, sizeof(result)) < 0);
    }
    int error = errno;
    close(ends[1]);
    if (child < 0)
        return -error;
    if (read(ends[0], &result, sizeof(result)) != (ssize_t)sizeof(result))
        result = -EOPNOTSUPP;
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
    return result;
}

int
seccomp_probe(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    int result = run_in_child(ends);
    close(ends[0]);
    return result;
}
