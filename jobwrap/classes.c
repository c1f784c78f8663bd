/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/classes.h"

#include <errno.h>
#include <sys/stat.h>

#include "libjobserver/program/clock.h"
#include "libjobserver/serve.h"

/* --- who waits --- */

static void
arm(struct classes *classes)
{
    int64_t first_ns = POOL_NO_DEADLINE;

    for (unsigned i = 0; i < classes->count; i++) {
        const struct job_class *job_class = &classes->classes[i];
        const int64_t deadline_ns = pool_next_deadline(job_class->pool);
        if (deadline_ns < first_ns)
            first_ns = deadline_ns;
        if (job_class->lease_ends_ns < first_ns)
            first_ns = job_class->lease_ends_ns;
    }
    if (first_ns == POOL_NO_DEADLINE) {
        event_del(classes->deadline);
        return;
    }
    struct timeval left = clock_until(first_ns, clock_now_ns());
    event_add(classes->deadline, &left);
}

void
classes_settle(struct classes *classes)
{
    struct pool_due due;

    for (unsigned i = 0; i < classes->count; i++)
        while (pool_next_due(classes->classes[i].pool, &due))
            classes->tell(due.owner, due.kind);
    if (classes->count > 0)
        arm(classes);
}

static void
on_deadline(evutil_socket_t none, short what, void *argument)
{
    struct classes *classes = argument;

    source_look(classes->source);
    for (unsigned i = 0; i < classes->count; i++) {
        struct job_class *job_class = &classes->classes[i];
        serve_end_lease(job_class->pool, job_class->spec.name, &job_class->lease_ends_ns,
                        clock_now_ns());
        pool_expire(job_class->pool, clock_now_ns());
    }
    classes_settle(classes);
    source_settle(classes->source);
}

/* --- asked for --- */

struct job_class *
classes_find(struct classes *classes, uint64_t device, uint64_t inode)
{
    for (unsigned i = 0; i < classes->count; i++) {
        struct job_class *job_class = &classes->classes[i];
        if (job_class->device == device && job_class->inode == inode)
            return job_class;
    }
    return NULL;
}

void
classes_list(const struct classes *classes, struct steved_classes *answer)
{
    *answer = (struct steved_classes){.count = classes->count};
    for (unsigned i = 0; i < classes->count; i++) {
        const struct job_class *job_class = &classes->classes[i];
        serve_class(job_class->pool, &job_class->spec, job_class->lease_ends_ns, clock_now_ns(),
                    &answer->classes[i]);
    }
}

int
class_set(struct job_class *job_class, const struct steved_settings *settings)
{
    return serve_set_class(job_class->pool, settings, &job_class->lease_ends_ns, clock_now_ns());
}

/* --- their life --- */

static int
open_class(struct classes *classes, const struct class_spec *spec, const struct private_fifo *fifo)
{
    struct job_class *job_class = &classes->classes[classes->count];
    struct stat status;

    *job_class = (struct job_class){.spec = *spec, .lease_ends_ns = POOL_NO_DEADLINE};
    int result = private_fifo_make_beside(fifo, spec->name, &status);
    if (result < 0)
        return result;
    job_class->device = status.st_dev;
    job_class->inode = status.st_ino;
    job_class->pool = pool_create(spec->jobs);
    if (!job_class->pool)
        return -ENOMEM;
    pool_tell(job_class->pool, &classes->source->stream.log, ++classes->count);
    return 0;
}

int
classes_open(struct classes *classes, const struct class_specs *specs,
             const struct private_fifo *fifo, struct event_base *base)
{
    int result = 0;

    if (specs->count == 0)
        return 0;
    classes->deadline = evtimer_new(base, on_deadline, classes);
    if (!classes->deadline)
        return -ENOMEM;
    for (unsigned i = 0; i < specs->count && result == 0; i++)
        result = open_class(classes, &specs->specs[i], fifo);
    return result;
}

void
classes_close(struct classes *classes)
{
    for (unsigned i = 0; i < classes->count; i++)
        pool_destroy(classes->classes[i].pool);
    if (classes->deadline)
        event_free(classes->deadline);
    classes->deadline = NULL;
    classes->count = 0;
}
