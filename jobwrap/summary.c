/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/summary.h"

#include <string.h>

static uint64_t
measure(enum summary_list list, const struct summary_job *job)
{
    switch (list) {
    case SUMMARY_LONGEST:
        return (uint64_t)job->ran_ns;
    case SUMMARY_HEAVIEST:
        return job->bytes;
    case SUMMARY_WAITED:
    case SUMMARY_LISTS:
        break;
    }
    return (uint64_t)job->waited_ns[TIMELINE_FOR_TOKEN] +
           (uint64_t)job->waited_ns[TIMELINE_FOR_MEMORY];
}

static void
insert(struct summary *summary, enum summary_list list, const struct summary_job *job)
{
    struct summary_job *jobs = summary->lists[list].jobs;
    size_t count = summary->lists[list].count, place = count;

    while (place > 0 && measure(list, job) > measure(list, &jobs[place - 1]))
        place--;
    if (measure(list, job) == 0 || place == SUMMARY_JOBS)
        return;
    if (count < SUMMARY_JOBS)
        count = ++summary->lists[list].count;
    memmove(&jobs[place + 1], &jobs[place], (count - place - 1) * sizeof(*jobs));
    jobs[place] = *job;
}

void
summary_add(struct summary *summary, const struct timeline_job *job)
{
    struct summary_job line = {
        .gate = job->gate->number,
        .began_ns = job->began_ns,
        .ran_ns = job->ran_ns,
        .bytes = job->bytes,
        .expected_bytes = job->expected_bytes,
        .runs = job->runs_begun,
        .job_class = job->job_class,
        .status = job->status,
    };

    memcpy(line.name, job->name, sizeof(line.name));
    memcpy(line.waited_ns, job->waited_ns, sizeof(line.waited_ns));
    memcpy(line.node, job->node, sizeof(line.node));
    summary->has_nodes |= job->node[0] != '\0';
    for (enum summary_list list = 0; list < SUMMARY_LISTS; list++)
        insert(summary, list, &line);
}
