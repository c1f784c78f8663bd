/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The inner sidecars, at the outer one: they register here, and it stops their jobs. See link.h. */

#include "ninja-shim/gate/seccomp/private.h"

/* Without the socket the inner shims do not find us, and do without a gate. */
void seccomp_peers_open(struct seccomp_gate *of, pid_t root);
void seccomp_peers_close(struct seccomp_gate *of);
