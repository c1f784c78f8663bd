/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Reads the events of this jobwrap for --trace and --report=FILE.html, and keeps what these show. */

#include <event2/event.h>
#include <stdbool.h>

#include "jobwrap/farm_events.h"
#include "jobwrap/series.h"
#include "jobwrap/summary.h"
#include "jobwrap/timeline.h"
#include "jobwrap/trace.h"
#include "libjobserver/events/log.h"

/* Of all jobs together; memory in bytes. */
enum recorded {
    RECORDED_JOBS,    /* the most that there may be at once */
    RECORDED_HELD,    /* tokens, the implicit slot included */
    RECORDED_WAITING, /* jobs that wait for a token, and the next: for memory */
    RECORDED_USED = RECORDED_WAITING + TIMELINE_REASONS,
    RECORDED_EXPECTED, /* what is used when all that run have grown */
    RECORDED_AVAILABLE,
    RECORDED_FLOOR,
    RECORDED_NUMBERS,
};

enum recorded_of_class { RECORDED_CLASS_JOBS, RECORDED_CLASS_HELD, RECORDED_CLASS_NUMBERS };

/* Of a class, by those who hold its tokens; where the pool is another's, by jobs at gates alone, and nobody tells how
 * many there are. */
struct recorded_class {
    unsigned held;
    struct series series[RECORDED_CLASS_NUMBERS];
};

/* A client that has come: by the time that its jobs are told of it may be gone. */
#define RECORDER_CLIENTS 64u
struct recorder_client {
    uint64_t account;
    int pid;
    char *name; /* owned; NULL: this one is free */
};

struct recorder {
    char *command; /* what jobwrap runs; owned */
    int64_t begin_ns;
    bool is_pool; /* tokens are its own: as many as jobs at once; and so are those of classes */
    struct steved_classes classes;
    struct trace trace;
    struct timeline timeline;
    struct summary summary;
    struct series series[RECORDED_NUMBERS];
    struct recorded_class of_class[STEVED_CLASSES_MAX];
    unsigned held;                                    /* as was told last */
    uint64_t lost;                                    /* events that were missed */
    struct recorder_client clients[RECORDER_CLIENTS]; /* the last */
    unsigned clients_seen;
    int patience_ms; /* with processes that are looked at */
    struct event_log *log;
    struct event_reader reader;
    struct event *read_event;
    struct farm_events farm;
};

/* What there is to be recorded, at first. */
struct recorder_plan {
    char *const *command;
    const char *trace_file;        /* NULL: no trace is wanted */
    unsigned jobs;                 /* RECORDED_JOBS */
    bool is_pool;                  /* as above */
    struct steved_classes classes; /* by their numbers: names and jobs */
};

/* NULL, with a message. */
struct recorder *recorder_open(const struct recorder_plan *plan);
/* The log is there. class_prefix: of the classes, where these are another server's (environment_classes()); else NULL.
 * 0 or a negative errno. */
int recorder_read(struct recorder *recorder, struct event_log *log, const char *class_prefix,
                  struct event_base *base);
/* Jobs have so many tokens from now on. */
void recorder_note_held(struct recorder *recorder, unsigned held, int64_t now_ns);
/* The log is about to end: nothing happens any more. */
void recorder_end(struct recorder *recorder);
/* NULL: nothing happens. */
void recorder_close(struct recorder *recorder);
