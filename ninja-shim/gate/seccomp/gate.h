/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The gate by seccomp_unotify(2), for where ptrace is refused. Each execve below the shim is heard of;
 * a child of a lazy client that executes its first program and must wait for a token is stopped by
 * SIGSTOP before the first instruction of that. It runs by SIGCONT and is ended as exit.h
 * says, else by SIGKILL.
 *
 * What this kind cannot do: what somebody else continues runs until it is stopped again. The kernel
 * itself does so, with SIGHUP, when the end of a parent orphans its children's process groups: what
 * ignores that (nohup) runs until we have killed it. And a token may come home a moment after the
 * lazy client's parent has heard of its end.
 *
 * The gate must outlive everything under the filter, or nothing there could execute a program. Where
 * a filter is around us already, the sidecar that listens to it stops our jobs for us (link.h).
 */

#include "ninja-shim/gate/kind.h"

extern const struct gate_kind seccomp_gate_kind;
