/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

/* Between any two of these steps a server may be killed: a build for tests counts them, and does so. */
#ifdef STEVED_COUNTS_STEPS
void steps_count(void);
/* libfuse may be used as if it were built without. */
bool steps_allow_custom_io(void);
#else
static inline void
steps_count(void)
{
}
static inline bool
steps_allow_custom_io(void)
{
    return true;
}
#endif
