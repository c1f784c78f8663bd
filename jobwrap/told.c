/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/told.h"

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
    if (!event_readers_may_ask(&told->readers, now_ns))
        return false;
    struct steved_told copy = complete(events, pid, now_ns);
    event_readers_answered(&told->readers, client_tell(parent, &copy), &copy, now_ns);
    return told->readers.is_there;
}
