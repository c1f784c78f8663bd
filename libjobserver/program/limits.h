/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How many more descriptors and processes the kernel lets this process have. */

#include <limits.h>

#define LIMITS_NONE UINT_MAX

/* The soft RLIMIT_NOFILE. */
unsigned limits_descriptors(void);

/* What RLIMIT_NPROC and the pids.max of all control groups around this process leave, threads counted;
 * the answer may be too small as long as it is not below `enough`. */
unsigned limits_processes_left(unsigned enough);

/* The part of that for control groups. root: "", or the directory where /proc and what is mounted is looked for. */
unsigned limits_group_processes_left(const char *root);
