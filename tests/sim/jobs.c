/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/jobs.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/agenda.h"
#include "tests/unit/chance.h"

#define MS_MAX 100000000u

static const char *const kinds[] = {
    [JOB_COMPILES] = "compile", [JOB_LINKS] = "link", [JOB_ARCHIVES] = "archive"};

static void
add(struct records *records, const struct record *record)
{
    records->list = reallocarray(records->list, records->count + 1, sizeof(*records->list));
    if (!records->list)
        err(EXIT_FAILURE, "records");
    records->list[records->count++] = *record;
}

/* false: the line is not one. */
static bool
parse(char *line, struct record *record)
{
    unsigned preprocessing_ms, work_ms;
    char kind[16], rest;

    if (sscanf(line, "%15s %u %u %c", kind, &preprocessing_ms, &work_ms, &rest) != 3 ||
        preprocessing_ms > MS_MAX || work_ms > MS_MAX)
        return false;
    *record = (struct record){.preprocessing_ns = preprocessing_ms * NS_PER_MS,
                              .work_ns = work_ms * NS_PER_MS};
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        record->kind = (enum job_kind)i;
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    }
    return false;
}

static void
check(const struct records *records, const char *path)
{
    unsigned found = 0;

    for (unsigned i = 0; i < records->count; i++)
        found |= 1u << records->list[i].kind;
    if (!(found >> JOB_COMPILES & 1) || !(found >> JOB_LINKS & 1))
        errx(EXIT_FAILURE, "%s: no job that compiles, or none that links", path);
}

void
records_read(struct records *records, const char *path)
{
    FILE *file = fopen(path, "re");
    struct record record;
    char line[200];

    *records = (struct records){0};
    if (!file)
        err(EXIT_FAILURE, "%s", path);
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || line[0] == '\0')
            continue;
        if (!parse(line, &record))
            errx(EXIT_FAILURE, "%s: '%s' is not a job and two numbers of milliseconds", path, line);
        add(records, &record);
    }
    fclose(file);
    check(records, path);
}

void
records_free(struct records *records)
{
    free(records->list);
}

static const struct record *
any_record(const struct records *records, uint64_t *random)
{
    return &records->list[below(random, records->count)];
}

void
graph_make(struct graph *graph, const struct records *records, unsigned count, uint64_t *random)
{
    const struct record *record;

    *graph = (struct graph){.jobs = calloc(count, sizeof(*graph->jobs)),
                            .groups = calloc(count, sizeof(*graph->groups)),
                            .count = count};
    if (!graph->jobs || !graph->groups)
        err(EXIT_FAILURE, "build of %u jobs", count);
    for (unsigned i = 0; i < count; i++) {
        record = any_record(records, random);
        while (i + 1 == count && record->kind != JOB_LINKS)
            record = any_record(records, random);
        graph->jobs[i] = *record;
        graph->groups[i] = graph->group_count;
        graph->group_count += record->kind != JOB_COMPILES;
    }
}

void
graph_free(struct graph *graph)
{
    free(graph->jobs);
    free(graph->groups);
}

int64_t
graph_critical_ns(const struct graph *graph)
{
    int64_t longest_ns = 0, compiling_ns = 0;

    for (unsigned i = 0; i < graph->count; i++) {
        const struct record *job = &graph->jobs[i];
        int64_t job_ns = job->preprocessing_ns + job->work_ns;
        if (i + 1 == graph->count)
            return (longest_ns > compiling_ns ? longest_ns : compiling_ns) + job_ns;
        if (job->kind == JOB_COMPILES) {
            compiling_ns = compiling_ns > job_ns ? compiling_ns : job_ns;
            continue;
        }
        longest_ns = longest_ns > compiling_ns + job_ns ? longest_ns : compiling_ns + job_ns;
        compiling_ns = 0;
    }
    return longest_ns;
}
