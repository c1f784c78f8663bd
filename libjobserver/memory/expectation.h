/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How much memory a job will need at its peak, from what jobs like it have needed. Pure: no I/O, no
 * clock. The size of a source file says nothing about it, the last time says nearly all: the same command
 * again needs the same within a per cent, the next version of its file seldom a quarter more.
 */

#include <stddef.h>
#include <stdint.h>

/* More than any machine has: what is larger counts as this, so that sums cannot overflow. */
#define MEMORY_BYTES_MAX (UINT64_C(1) << 50)

/* So many of the last times count. */
#define MEMORY_RECORDS 3u

/* One time that the job has run. */
struct memory_record {
    uint64_t peak_bytes;
    uint64_t command; /* a hash of its command line */
};

/* The newest peaks of many jobs, for those of which nothing else is known. Zeroed at first. */
#define MEMORY_PEAKS 255u
struct memory_peaks {
    uint64_t bytes[MEMORY_PEAKS];
    unsigned count, next;
};

void memory_peaks_add(struct memory_peaks *peaks, uint64_t bytes);

/* What they are like; 0: there are none. */
struct memory_typical {
    uint64_t quarter_bytes; /* a quarter of them need no more than this */
    uint64_t median_bytes;
};

struct memory_typical memory_peaks_typical(const struct memory_peaks *peaks);

/* What an expectation is drawn from, the vaguest first. */
enum memory_source {
    MEMORY_FROM_NOTHING, /* nobody knows: 0 bytes */
    MEMORY_FROM_TOOL,    /* what its tool needs, whatever the package */
    MEMORY_FROM_PACKAGE, /* what its tool needs in its package */
    MEMORY_FROM_PATH,    /* this job, by another command: of another version, with other options */
    MEMORY_FROM_COMMAND, /* this job */
};

struct memory_expectation {
    uint64_t bytes; /* at the peak */
    /* The same for one that can be killed and run again if it needs more: where jobs like it are all that is
     * known, the heavy ones are found out by that, and the light ones need not wait. */
    uint64_t bold_bytes;
    enum memory_source source;
};

/* `records`: of the job itself, up to MEMORY_RECORDS, in any order. Jobs of its tool, in its package and
 * everywhere, are the last two; 0: nobody knows. */
struct memory_expectation memory_expect(const struct memory_record *records, size_t count,
                                        uint64_t command, struct memory_typical in_package,
                                        struct memory_typical of_tool);
