/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/top_asker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* One at a time: it is told, and then there is nothing to be told until the next answer. */
static int
wait_for_question(const struct top_asker *asker, int watch_fd)
{
    struct pollfd polled[] = {{.fd = asker->ask_fd, .events = POLLIN},
                              {.fd = watch_fd, .events = POLLIN}};

    while (poll(polled, 2, -1) < 0 || !polled[0].revents) {
        if (polled[1].revents) {
            eventfd_write(asker->events_fd, 1);
            polled[1] = (struct pollfd){.fd = -1};
        }
    }
    return eventfd_read(asker->ask_fd, &(eventfd_t){0});
}

static void *
answer(void *argument)
{
    struct top_asker *asker = argument;
    int watch_fd = -1;

    while (wait_for_question(asker, watch_fd) == 0 && asker->question) {
        asker->result = asker->question(asker->client, asker->argument);
        watch_fd = asker->watches ? client_watch_fd(asker->client) : -1;
        eventfd_write(asker->answer_fd, 1);
    }
    eventfd_write(asker->answer_fd, 1);
    return NULL;
}

static int
start_thread(struct top_asker *asker)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&asker->thread, NULL, answer, asker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

static void
close_all(struct top_asker *asker)
{
    const int fds[] = {asker->ask_fd, asker->answer_fd, asker->events_fd};

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int
top_asker_start(struct top_asker *asker)
{
    *asker = (struct top_asker){.ask_fd = eventfd(0, EFD_CLOEXEC),
                                .answer_fd = eventfd(0, EFD_CLOEXEC),
                                .events_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    int error = asker->ask_fd < 0 || asker->answer_fd < 0 || asker->events_fd < 0
                    ? -errno
                    : start_thread(asker);
    if (error < 0)
        close_all(asker);
    return error;
}

void
top_asker_begin(struct top_asker *asker, top_question question, struct client *client,
                void *argument, bool watches)
{
    asker->question = question;
    asker->client = client;
    asker->argument = argument;
    asker->watches = watches;
    eventfd_write(asker->ask_fd, 1);
}

int
top_asker_end(struct top_asker *asker)
{
    eventfd_read(asker->answer_fd, &(eventfd_t){0});
    return asker->result;
}

bool
top_asker_stop(struct top_asker *asker, int patience_ms)
{
    struct pollfd answered = {.fd = asker->answer_fd, .events = POLLIN};

    top_asker_begin(asker, NULL, NULL, NULL, false);
    if (poll(&answered, 1, patience_ms) != 1)
        return false;
    pthread_join(asker->thread, NULL);
    close_all(asker);
    return true;
}
