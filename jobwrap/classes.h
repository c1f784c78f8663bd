/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The classes of a jobwrap that has no parent: a pool each besides that of the source, for those who keep accounts at
 * the control socket. A file beside the FIFO stands for each; nobody reads or writes it.
 */

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "jobwrap/private_fifo.h"
#include "jobwrap/source.h"
#include "libjobserver/classes/spec.h"
#include "libjobserver/pool/pool.h"

struct job_class {
    struct class_spec spec;
    uint64_t device, inode; /* of its file */
    struct pool *pool;
    int64_t lease_ends_ns; /* serve_set_class() */
};

struct classes {
    struct source *source; /* its stream tells of them, too */
    void (*tell)(void *owner, enum pool_due_kind kind);
    unsigned count;
    struct job_class classes[STEVED_CLASSES_MAX]; /* number 1 of events is the first */
    struct event *deadline;
};

/* `classes` names source, which is open, and tell, which gets what was given to pool_open(). 0 or a negative errno; then
 * classes_close() too. */
int classes_open(struct classes *classes, const struct class_specs *specs,
                 const struct private_fifo *fifo, struct event_base *base);
void classes_close(struct classes *classes);

/* NULL: that is the file of none. */
struct job_class *classes_find(struct classes *classes, uint64_t device, uint64_t inode);
void classes_list(const struct classes *classes, struct steved_classes *answer);
/* 0, -EINVAL or -ENOMEM; then nothing has changed. */
int class_set(struct job_class *job_class, const struct steved_settings *settings);

/* To be called after whatever was done to one of the pools: all who wait are told. */
void classes_settle(struct classes *classes);
