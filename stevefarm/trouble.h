/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What is wrong with something that is tried each second: said when it begins, changes or ends, and never twice within
 * ten seconds. */

#include <stdint.h>

#define TROUBLE_SIZE 320

struct trouble {
    char now[TROUBLE_SIZE]; /* "": all is well */
    char told[TROUBLE_SIZE];
    int64_t quiet_until_ns;
};

__attribute__((format(printf, 2, 3))) void trouble_set(struct trouble *trouble, const char *format,
                                                       ...);
void trouble_clear(struct trouble *trouble);
/* Says what there is to say of `subject`, if it may. now_ns: of clock_now_ns(). */
void trouble_tell(struct trouble *trouble, const char *subject, int64_t now_ns);
