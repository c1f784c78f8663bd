/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/watchdog.h"

#include <errno.h>

#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"

static void
on_beat(evutil_socket_t none, short what, void *data)
{
    struct watchdog *watchdog = data;

    if (!notify_alive(watchdog->notify))
        event_del(watchdog->beat);
}

int
watchdog_start(struct watchdog *watchdog, struct event_base *base, const struct notify *notify)
{
    uint64_t us;

    if (notify->fd < 0 || !notify_watchdog(&us) || us == 0)
        return 0;
    /* As sd_watchdog_enabled(3) recommends: one may come late. */
    struct timeval half = clock_until((int64_t)(us / 2 * NS_PER_US), 0);
    watchdog->notify = notify;
    watchdog->beat = event_new(base, -1, EV_PERSIST, on_beat, watchdog);
    if (watchdog->beat && event_add(watchdog->beat, &half) == 0)
        return 0;
    message("start: out of memory");
    return -ENOMEM;
}

void
watchdog_stop(struct watchdog *watchdog)
{
    if (watchdog->beat)
        event_free(watchdog->beat);
    watchdog->beat = NULL;
}
