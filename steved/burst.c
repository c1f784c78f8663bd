/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/burst.h"

#include "libjobserver/program/numbers.h"

/* With a client alone one read of so many is in vain, and when many come they are noticed after as many. */
#define PATIENCE_MAX 64

void
burst_init(struct burst *burst)
{
    *burst = (struct burst){.size = 1, .patience = 1};
}

void
burst_ended(struct burst *burst, int count)
{
    const bool has_grown = burst->has_grown;

    burst->has_grown = false;
    if (count < burst->size) {
        burst->size = count > 0 ? count : 1;
        burst->full = 0;
        burst->patience = (int)lesser(PATIENCE_MAX, 2 * (unsigned)burst->patience);
        return;
    }
    if (has_grown && burst->patience > 1)
        burst->patience /= 2;
    if (++burst->full < burst->patience || burst->size == BURST_MAX)
        return;
    burst->size = (int)lesser(BURST_MAX, 2 * (unsigned)burst->size);
    burst->full = 0;
    burst->has_grown = true;
}
