/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/watchdog.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"

static void
on_beat(evutil_socket_t timer_fd, short what, void *data)
{
    struct watchdog *watchdog = data;
    uint64_t due;

    if (read(timer_fd, &due, sizeof(due)) < 0)
        return;
    if (!notify_alive(watchdog->notify))
        event_del(watchdog->beat);
}

/* As sd_watchdog_enabled(3) recommends: one may come late. */
static struct itimerspec
twice_per(uint64_t us)
{
    const int64_t half_ns = (int64_t)us * NS_PER_US / 2;
    const struct timespec half = {.tv_sec = (time_t)(half_ns / NS_PER_S),
                                  .tv_nsec = (long)(half_ns % NS_PER_S)};

    return (struct itimerspec){.it_value = half, .it_interval = half};
}

/* Not a timeout of the event loop: the kernel would have to set a timer, and take it back, whenever the loop waits for
 * a request. */
int
watchdog_open(struct watchdog *watchdog, const struct notify *notify)
{
    uint64_t us;

    *watchdog = (struct watchdog){.notify = notify, .timer_fd = -1};
    if (notify->fd < 0 || !notify_watchdog(&us) || us == 0)
        return 0;
    const struct itimerspec beats = twice_per(us);
    watchdog->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (watchdog->timer_fd >= 0 && timerfd_settime(watchdog->timer_fd, 0, &beats, NULL) == 0)
        return 0;
    int error = errno;
    message_errno(error, "start: make a timer for the watchdog");
    watchdog_stop(watchdog);
    return -error;
}

int
watchdog_start(struct watchdog *watchdog, struct event_base *base)
{
    if (watchdog->timer_fd < 0)
        return 0;
    watchdog->beat = event_new(base, watchdog->timer_fd, EV_READ | EV_PERSIST, on_beat, watchdog);
    if (watchdog->beat && event_add(watchdog->beat, NULL) == 0)
        return 0;
    message("start: out of memory");
    return -ENOMEM;
}

void
watchdog_stop(struct watchdog *watchdog)
{
    if (watchdog->beat)
        event_free(watchdog->beat);
    if (watchdog->timer_fd >= 0)
        close(watchdog->timer_fd);
    watchdog->beat = NULL;
    watchdog->timer_fd = -1;
}
