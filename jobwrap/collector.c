/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/collector.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "libjobserver/process.h"

/* The FIFO has a writer, the relay, until the process ends, and this thread with it. */
static void *
collect(void *argument)
{
    struct collector *collector = argument;
    /* While the process ends, *collector may be gone, and a number read from it any descriptor's. */
    const int fifo_fd = collector->fifo_fd, ask_fd = collector->ask_fd, got_fd = collector->got_fd;
    char token;

    atomic_store(&collector->thread, gettid());
    while (eventfd_read(ask_fd, &(eventfd_t){0}) == 0)
        if (read(fifo_fd, &token, 1) != 1 || eventfd_write(got_fd, 1) < 0)
            break;
    return NULL;
}

static int
start_thread(struct collector *collector)
{
    sigset_t all, before;
    pthread_t thread;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, NULL, collect, collector);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error)
        pthread_detach(thread);
    return -error;
}

static int
start(struct collector *collector, const char *fifo_path)
{
    collector->fifo_fd = open(fifo_path, O_RDONLY | O_CLOEXEC);
    collector->ask_fd = eventfd(0, EFD_CLOEXEC);
    collector->got_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (collector->fifo_fd < 0 || collector->ask_fd < 0 || collector->got_fd < 0)
        return -errno;
    return start_thread(collector);
}

static void
close_all(const struct collector *collector)
{
    const int fds[] = {collector->fifo_fd, collector->ask_fd, collector->got_fd};

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int
collector_start(struct collector *collector, const char *fifo_path)
{
    if (collector->is_started)
        return 0;
    int result = start(collector, fifo_path);
    collector->is_started = result == 0;
    if (result < 0)
        close_all(collector);
    return result;
}

void
collector_ask(struct collector *collector)
{
    if (!collector->is_asked)
        collector->is_asked = eventfd_write(collector->ask_fd, 1) == 0;
}

bool
collector_has_got(struct collector *collector)
{
    if (!collector->is_asked || eventfd_read(collector->got_fd, &(eventfd_t){0}) < 0)
        return false;
    collector->is_asked = false;
    return true;
}

/* It waits to be asked or for a token: what it had taken before that, it has told. */
static bool
is_waiting(const struct collector *collector)
{
    const pid_t thread = atomic_load(&collector->thread);
    struct process_info info;

    return thread == 0 || (process_info(thread, &info) == 0 && info.state == 'S');
}

bool
collector_may_have_one(const struct collector *collector)
{
    struct pollfd got = {.fd = collector->got_fd, .events = POLLIN};

    return collector->is_asked && (!is_waiting(collector) || poll(&got, 1, 0) == 1);
}
