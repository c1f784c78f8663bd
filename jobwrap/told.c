/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/told.h"

#include <errno.h>

#include "libjobserver/program/clock.h"

static struct steved_told
complete(const struct steved_told *events, pid_t pid, int64_t now_ns)
{
    struct steved_told copy = *events;

    for (unsigned i = 0; i < copy.count; i++) {
        struct steved_event *event = &copy.events[i];
        if (event->pid <= 0)
            event->pid = pid;
        if (event->time_ns == 0)
            event->time_ns = (uint64_t)now_ns;
    }
    return copy;
}

bool
told_hand_on(struct told *told, struct client *parent, const struct steved_told *events, pid_t pid,
             int64_t now_ns)
{
    if (!told->is_read && now_ns < told->silence_ns)
        return false;
    struct steved_told copy = complete(events, pid, now_ns);
    int result = client_tell(parent, &copy);
    if (result != -EAGAIN)
        told->is_read = result == 0 && copy.is_read;
    told->silence_ns = result == -ENOTTY ? INT64_MAX : now_ns + STEVED_TELL_AGAIN_MS * NS_PER_MS;
    return told->is_read;
}
