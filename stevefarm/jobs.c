/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stevefarm/jobs.h"

#include <stdbool.h>
#include <string.h>

static bool
is_at(const struct farm_job *job, const char *node)
{
    return strcmp(job->node, node) == 0;
}

static bool
has(const struct farm_jobs *jobs, const struct farm_job *wanted)
{
    for (size_t i = 0; i < jobs->count; i++)
        if (jobs->list[i].number == wanted->number && is_at(&jobs->list[i], wanted->node))
            return true;
    return false;
}

static unsigned
count_at(const struct farm_jobs *jobs, const char *node)
{
    unsigned count = 0;

    for (size_t i = 0; i < jobs->count; i++)
        count += is_at(&jobs->list[i], node);
    return count;
}

/* Which of a node's jobs tells of the node. */
static bool
is_first_at(const struct farm_jobs *jobs, size_t place)
{
    for (size_t i = 0; i < place; i++)
        if (is_at(&jobs->list[i], jobs->list[place].node))
            return false;
    return true;
}

static bool
has_new_at(const struct farm_jobs *before, const struct farm_jobs *now, const char *node)
{
    for (size_t i = 0; i < now->count; i++)
        if (is_at(&now->list[i], node) && !has(before, &now->list[i]))
            return true;
    return false;
}

static struct steved_event
placed(const struct farm_jobs *now, const char *node, const char *file, uint32_t number)
{
    struct steved_event event = {
        .kind = STEVED_EVENT_JOB_PLACED, .job = number, .count = count_at(now, node)};

    event_place_write(&event, node, file);
    return event;
}

void
farm_jobs_compare(const struct farm_jobs *before, const struct farm_jobs *now,
                  void (*tell)(void *context, const struct steved_event *event), void *context)
{
    struct steved_event event;

    for (size_t i = 0; i < now->count; i++) {
        const struct farm_job *job = &now->list[i];
        if (has(before, job))
            continue;
        event = placed(now, job->node, job->file, job->number);
        tell(context, &event);
    }
    for (size_t i = 0; i < before->count; i++) {
        const char *node = before->list[i].node;
        if (!is_first_at(before, i) || count_at(before, node) == count_at(now, node) ||
            has_new_at(before, now, node))
            continue;
        event = placed(now, node, "", 0);
        tell(context, &event);
    }
}
