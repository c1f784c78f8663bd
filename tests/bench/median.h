/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Of what was measured, which is sorted by it. */

#include <stdint.h>
#include <stdlib.h>

static inline int
compare(const void *a, const void *b)
{
    int64_t first = *(const int64_t *)a, second = *(const int64_t *)b;

    return (first > second) - (first < second);
}

static inline int64_t
median(int64_t *measured, long count)
{
    qsort(measured, (size_t)count, sizeof(*measured), compare);
    return measured[count / 2];
}
