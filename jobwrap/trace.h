/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A build as a file of Trace Event JSON, which Perfetto (https://ui.perfetto.dev) and others open. Each gate is a
 * process, each of its slots a thread, each run of a job a span; waits are asynchronous spans; tokens, those of each
 * class, and memory are counters of jobwrap itself. What has happened is in the file soon after; the format allows the closing bracket to
 * be missing, if jobwrap is killed.
 */

#include <stdint.h>
#include <stdio.h>

#include "jobwrap/timeline.h"

struct trace {
    const char *file;                     /* borrowed */
    const struct steved_classes *classes; /* their names; borrowed */
    FILE *out; /* NULL: there is none, or it could not be written any more */
    bool has_events;
};

/* An existing file is overwritten, unless another jobwrap writes it. Nobody waits for what is no file: if that takes
 * nothing more, the trace is at its end. 0, or a negative errno with a message. */
int trace_open(struct trace *trace, const char *file, const struct steved_classes *classes);
/* Of jobwrap itself: what it runs. */
void trace_build(struct trace *trace, const char *name);
void trace_gate(struct trace *trace, const struct timeline_gate *gate);
void trace_changed(struct trace *trace, const struct timeline_job *job, enum timeline_change change,
                   int64_t time_ns);
/* Tokens that jobs have, the implicit slot included. */
void trace_held(struct trace *trace, unsigned held, int64_t time_ns);
/* Jobs that wait for one. */
void trace_waiting(struct trace *trace, unsigned waiting, int64_t time_ns);
/* The same of a class, by its number. */
void trace_class(struct trace *trace, unsigned job_class, unsigned held, int64_t time_ns);
/* event: STEVED_EVENT_MEMORY. */
void trace_memory(struct trace *trace, const struct steved_event *event);
/* Something that happens at one moment. */
void trace_moment(struct trace *trace, const char *name, unsigned count, int64_t time_ns);
/* What has been said goes to the file. */
void trace_flush(struct trace *trace);
void trace_close(struct trace *trace);
