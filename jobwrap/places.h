/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Where jobs have run, as an engine tells (STEVED_EVENT_JOB_PLACED). It knows them by the files that they compile, and
 * gates by what they make. Pure.
 */

#include <stdint.h>

#include "libjobserver/events/place.h"

/* So many are kept, the last. */
#define PLACES_MAX 1024u

struct place {
    int64_t time_ns;
    uint32_t job_class; /* 0: any */
    struct event_place at;
};

struct places {
    unsigned seen;
    struct place last[PLACES_MAX];
};

void places_add(struct places *places, const struct steved_event *event);
/* The node of the job that has made this (the name of a file, without directories) at some time between these two.
 * job_class: of which it has had a token; 0: nobody knows. "": nobody has told, or several nodes are possible, as when
 * files of one name are compiled at one time. */
void places_find(const struct places *places, const char *made, uint32_t job_class, int64_t from_ns,
                 int64_t to_ns, char node[EVENT_NODE_SIZE]);
