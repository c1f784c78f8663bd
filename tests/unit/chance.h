/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Chance that can be repeated: *random is the seed at first. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* The number that `text` is, or one by chance if it is NULL. */
static inline uint64_t
seed_from(const char *text)
{
    uint64_t seed = 0;

    if (text)
        return strtoull(text, NULL, 0);
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        perror("getrandom");
    return seed;
}

/* splitmix64: small, and the same everywhere. */
static inline uint64_t
next_random(uint64_t *random)
{
    uint64_t z = (*random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline unsigned
below(uint64_t *random, unsigned n)
{
    return (unsigned)(next_random(random) % n);
}

static inline bool
one_in(uint64_t *random, unsigned n)
{
    return below(random, n) == 0;
}
