/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NINJA_SHIM_GATE_CALLED_H
#define NINJA_SHIM_GATE_CALLED_H

#include <stdbool.h>
#include <sys/types.h>

#define CALLED_SIZE                                                                                \
    16 /* of a name with its NUL, cut to that as the kernel does: proc_pid_comm(5) */

/* Is the process called one of the names (the last is NULL) now? */
bool is_called(pid_t pid, const char *const *names);

#endif
