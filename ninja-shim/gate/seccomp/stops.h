/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Stopping a process between its execve(2) and the first instruction of the new program: SIGSTOP is
 * sent while it waits for us, and it goes on; the exec is done, which frees a parent that waits in
 * vfork(2), and on its way back the process stops. Whether it runs later is a matter of SIGCONT.
 */

#include "ninja-shim/gate/seccomp/private.h"

/* 0 or a negative errno (-ESRCH: it is dead; or begins its exec anew). */
int seccomp_stop_begin(struct seccomp_gate *of, const struct seccomp_exec *exec,
                       const struct process_info *info, struct seccomp_tree *tree);
/* One of ours may run although it has perhaps not stopped yet. */
void seccomp_stop_cancel(struct seccomp_gate *of, pid_t pid);
/* One of ours is killed. */
void seccomp_stop_forget(struct seccomp_gate *of, pid_t pid);
/* Is one of ours still on its way to its stop? */
bool seccomp_stop_is_under_way(const struct seccomp_gate *of, pid_t pid);

/* The peer has noted it, and will end it if need be. */
void seccomp_stop_hand_over(struct seccomp_gate *of, const struct seccomp_peer *peer, pid_t pid);
/* The peer is dead: what it has not noted is killed. */
void seccomp_stop_end_all(struct seccomp_gate *of, const struct seccomp_peer *peer);
void seccomp_stop_remove_all(struct seccomp_gate *of);

void seccomp_stop_on_timer(evutil_socket_t fd, short what, void *argument);
