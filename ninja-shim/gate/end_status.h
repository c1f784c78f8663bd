/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NINJA_SHIM_GATE_END_STATUS_H
#define NINJA_SHIM_GATE_END_STATUS_H

#include <sys/types.h>

/* How a process has ended that is not our child and that its parent may reap at any moment: 0 and
 * *wait_status, as from waitpid(2). -ENODATA: it is reaped, and the kernel (before Linux 6.15) does
 * not keep that for the pidfd. -EBUSY: it has not ended. */
int end_status_of(pid_t pid, int pidfd, int *wait_status);

#endif
