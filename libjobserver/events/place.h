/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The name of a STEVED_EVENT_JOB_PLACED: a node of a farm, and the file of a job that runs there. Pure. */

#include "libjobserver/protocol.h"

/* Of a node: what is longer is cut. */
#define EVENT_NODE_SIZE 32

struct event_place {
    char node[EVENT_NODE_SIZE];
    char file
        [STEVED_EVENT_NAME_SIZE]; /* "": none; else the end of its path, as much as there is room for */
};

/* node: "" makes no sense. Both may be of any length; blanks in the node and what cannot be printed become '?'. */
void event_place_write(struct steved_event *event, const char *node, const char *file);
/* Whatever the name is: both are printable, and the node has no blanks. */
void event_place_read(struct event_place *place, const struct steved_event *event);
