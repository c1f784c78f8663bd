/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The outer sidecar, at an inner one: it stops our jobs for us, and tells of each. See link.h. */

#include "ninja-shim/gate/seccomp/private.h"

/* Registers `root` at the sidecar of one of its ancestors. 0; -EBUSY: there is none; or another
 * negative errno. */
int seccomp_outer_join(struct seccomp_gate *of, pid_t root);
void seccomp_outer_close(struct seccomp_gate *of);
