/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How many processors this process may run on (sched_getaffinity(2)); at least 1. */
unsigned cpus_count(void);
