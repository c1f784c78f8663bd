/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How many requests are read in a row before the event loop waits again. A client alone sends its next request when
 * it has the answer, and each look for another request would be a system call in vain; where many clients ask at once,
 * each wait that is left out saves one. No I/O, no clock. */

#include <stdbool.h>

/* Then deaths and deadlines have their turn again, whatever is left to be read. */
#define BURST_MAX 64

struct burst {
    int size;       /* so many are read at most: 1 to BURST_MAX */
    int full;       /* bursts of this size in a row that found as many */
    int patience;   /* that many of them before a longer one is tried; 1 or more */
    bool has_grown; /* the next one is longer than the last */
};

void burst_init(struct burst *burst);
/* A burst found `count` requests, 0 to size; less than size: the last read was in vain. */
void burst_ended(struct burst *burst, int count);
