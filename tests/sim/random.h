/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Times by chance. */

#include <math.h>
#include <stdint.h>

#include "tests/unit/chance.h"

static inline double
uniform(uint64_t *random)
{
    return (double)(next_random(random) >> 11) / (double)(UINT64_C(1) << 53);
}

/* As long as something lasts that ends by chance. */
static inline int64_t
exponential_ns(uint64_t *random, int64_t mean_ns)
{
    return (int64_t)(-log(1 - uniform(random)) * (double)mean_ns);
}
