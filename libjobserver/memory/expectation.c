/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/memory/expectation.h"

#include <stdlib.h>
#include <string.h>

/* --- many jobs --- */

static uint64_t
bounded(uint64_t bytes)
{
    return bytes < MEMORY_BYTES_MAX ? bytes : MEMORY_BYTES_MAX;
}

void
memory_peaks_add(struct memory_peaks *peaks, uint64_t bytes)
{
    peaks->bytes[peaks->next] = bounded(bytes);
    peaks->next = (peaks->next + 1) % MEMORY_PEAKS;
    if (peaks->count < MEMORY_PEAKS)
        peaks->count++;
}

static int
compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

struct memory_typical
memory_peaks_typical(const struct memory_peaks *peaks)
{
    uint64_t sorted[MEMORY_PEAKS];

    if (peaks->count == 0)
        return (struct memory_typical){0};
    memcpy(sorted, peaks->bytes, peaks->count * sizeof(*sorted));
    qsort(sorted, peaks->count, sizeof(*sorted), compare);
    return (struct memory_typical){sorted[peaks->count / 4], sorted[peaks->count / 2]};
}

/* --- one job --- */

static uint64_t
largest(const struct memory_record *records, size_t count, const uint64_t *command)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        if ((!command || records[i].command == *command) && records[i].peak_bytes > bytes)
            bytes = records[i].peak_bytes;
    return bounded(bytes);
}

static struct memory_expectation
expect_like(struct memory_typical others, enum memory_source source)
{
    return (struct memory_expectation){bounded(others.median_bytes), bounded(others.quarter_bytes),
                                       source};
}

struct memory_expectation
memory_expect(const struct memory_record *records, size_t count, uint64_t command,
              struct memory_typical in_package, struct memory_typical of_tool)
{
    uint64_t bytes = largest(records, count, &command);

    if (bytes > 0)
        return (struct memory_expectation){bytes, bytes, MEMORY_FROM_COMMAND};
    bytes = largest(records, count, NULL);
    bytes = bounded(bytes + bytes / 4);
    if (bytes > 0)
        return (struct memory_expectation){bytes, bytes, MEMORY_FROM_PATH};
    if (in_package.median_bytes > 0)
        return expect_like(in_package, MEMORY_FROM_PACKAGE);
    if (of_tool.median_bytes > 0)
        return expect_like(of_tool, MEMORY_FROM_TOOL);
    return (struct memory_expectation){0, 0, MEMORY_FROM_NOTHING};
}
