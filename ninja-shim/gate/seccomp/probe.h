/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Does a stop hold here? Whoever traces the processes of a build (proot, a debugger) may drop the signal
 * that stops them, and then all jobs run, and nothing tells of it. So it is tried first, with a process that
 * executes a program, below a filter of its own: once a process has a filter, there is no way back.
 */

/* 0; -EBUSY: a filter with a listener is around us already, and nothing was tried; -EOPNOTSUPP: a stopped
 * process runs on; or another negative errno: no filter is allowed. */
int seccomp_probe(void);
