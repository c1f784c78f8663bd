/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Between any two of these steps a server may be killed: a build for tests counts them, and does so. */
#ifdef STEVED_COUNTS_STEPS
void steps_count(void);
#else
static inline void
steps_count(void)
{
}
#endif
