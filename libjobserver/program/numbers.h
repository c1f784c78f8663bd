/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which of two numbers. */

#include <stdint.h>

static inline unsigned
lesser(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static inline uint64_t
lesser64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
