/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The server that tokens are borrowed from has ended for good: the build goes on with what it has, the next server is
 * looked for, and joined by us and the keeper. The kernel tells when it is worth a look.
 */

#include <event2/event.h>
#include <stdbool.h>

#include "jobwrap/parent.h"
#include "libjobserver/server_events.h"

struct next_parent {
    struct parent *parent;
    bool is_named; /* by the user: no other file will do */
    /* We have joined it; the keeper is to, who then calls next_parent_joined(). false: there is no keeper. */
    bool (*send)(void *argument, int file);
    /* Its client has taken the place of the old one's. */
    void (*replaced)(void *argument);
    void *argument;

    struct server_events events;
    struct event *event;
    struct client *found; /* NULL: none yet */
};

/* `next` names the first five. Looks at once, too; nothing happens where the parent can have no successor. */
void next_parent_search(struct next_parent *next, struct event_base *base);
/* The keeper is a member, or is no more: 0; or a negative errno: that one has ended, too. */
void next_parent_joined(struct next_parent *next, int result);
void next_parent_close(struct next_parent *next);
