/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NINJA_SHIM_GATE_SECCOMP_LINK_H
#define NINJA_SHIM_GATE_SECCOMP_LINK_H

/*
 * Only one listener can exist in a tree of processes. So a shim below another one registers at the
 * sidecar that has it, which then stops the jobs of both and tells the inner sidecar of each.
 *
 * The socket has an abstract name, made of the outer shim's pid and start time: an inner one finds it
 * by its ancestors, whatever has become of its environment. Each side must be of the same user as the
 * other, or root's; root's sidecar serves whoever owns the process that is to be stopped.
 */

#include "ninja-shim/gate/seccomp/private.h"

/* Without the socket the inner shims do not find us, and do without a gate. */
void link_open(struct seccomp_gate *of, pid_t root);
/* Registers `root` at the sidecar of one of its ancestors. 0; -EBUSY: there is none; or another
 * negative errno. */
int link_join(struct seccomp_gate *of, pid_t root);
void link_close(struct seccomp_gate *of);

/* Tells a peer of a process that has been stopped for it. 0 or a negative errno (-EAGAIN: later). */
int link_announce(const struct peer *peer, pid_t pid, pid_t lazy);

#endif
