/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Puts this process, and all that it will ever start, under a filter by which each execve(2) waits
 * until a listener has let it go on (seccomp_unotify(2)). It cannot be taken away again: without
 * a listener every execve fails with ENOSYS.
 *
 * Without CAP_SYS_ADMIN it costs the privilege that set-id programs give (PR_SET_NO_NEW_PRIVS): a
 * user's jobs cannot call sudo then.
 */

/* The listener: close-on-exec, the caller's. -EBUSY: this tree of processes has one already; -EINVAL:
 * the kernel is older than Linux 5.19; or another negative errno. */
int seccomp_filter_install(void);
