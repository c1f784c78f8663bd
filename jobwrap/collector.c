/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "collector.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

void
collector_init(struct collector *collector)
{
    *collector = (struct collector){.fifo_fd = -1, .ask_fd = -1, .got_fd = -1};
}

/* All signals are blocked here, as in the thread that started this one. The FIFO has a writer, the
 * relay, until the process ends, and this thread with it. */
static void *
collect(void *argument)
{
    const struct collector *collector = argument;
    char token;

    while (eventfd_read(collector->ask_fd, &(eventfd_t){0}) == 0)
        if (read(collector->fifo_fd, &token, 1) != 1 || eventfd_write(collector->got_fd, 1) < 0)
            break;
    return NULL;
}

static int
start(struct collector *collector, const char *fifo_path)
{
    pthread_attr_t attributes;
    pthread_t thread;

    collector->fifo_fd = open(fifo_path, O_RDONLY | O_CLOEXEC);
    collector->ask_fd = eventfd(0, EFD_CLOEXEC);
    collector->got_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (collector->fifo_fd < 0 || collector->ask_fd < 0 || collector->got_fd < 0)
        return -errno;
    int error = pthread_attr_init(&attributes);
    if (error)
        return -error;
    error = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (!error)
        error = pthread_create(&thread, &attributes, collect, collector);
    pthread_attr_destroy(&attributes);
    return -error;
}

int
collector_ask(struct collector *collector, const char *fifo_path)
{
    if (collector->is_asked)
        return 0;
    if (collector->got_fd < 0) {
        int result = start(collector, fifo_path);
        if (result < 0)
            return result;
    }
    collector->is_asked = true;
    return eventfd_write(collector->ask_fd, 1) < 0 ? -errno : 0;
}

bool
collector_has_got(struct collector *collector)
{
    if (collector->got_fd < 0 || eventfd_read(collector->got_fd, &(eventfd_t){0}) < 0)
        return false;
    collector->is_asked = false;
    return true;
}
