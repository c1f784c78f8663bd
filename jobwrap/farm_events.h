/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the server of the classes, where that is not this jobwrap itself, tells of where jobs run
 * (STEVED_EVENT_JOB_PLACED). */

#include <event2/event.h>

#include "libjobserver/client.h"

struct farm_events {
    void (*take)(void *context, const struct steved_event *event);
    void *context;
    struct client *client; /* NULL: nothing is told, or not any more */
    struct event *event;
    struct client_events page;
};

/* `events` names take and context, and is zero for the rest. class_name: any of the classes at this prefix
 * (environment_classes()). A server that cannot be read tells nothing. 0, or -ENOMEM. */
int farm_events_open(struct farm_events *events, const char *prefix, const char *class_name,
                     struct event_base *base);
/* All that it has told by now, so that what is known of a job does not come after its end. */
void farm_events_read(struct farm_events *events);
void farm_events_close(struct farm_events *events);
