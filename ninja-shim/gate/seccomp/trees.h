/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Whose children are jobs. Who is a lazy client is not followed but asked when a child of it executes
 * something: the root, if that is one, or what is called like one and is no part of a job. What loses
 * its ancestors on the way to the root (a daemon) is not recognised.
 */

#include "ninja-shim/gate/seccomp/private.h"

/* NULL: out of memory, or there is no such process. `names` ends with NULL; those of a
 * peer are copied, as far as there is room, ours borrowed. */
struct seccomp_tree *seccomp_tree_add(struct seccomp_gate *of, pid_t root, bool is_root_lazy,
                                      const char *const *names, struct seccomp_peer *peer);
void seccomp_tree_remove(struct seccomp_gate *of, struct seccomp_tree *tree);
void seccomp_tree_remove_all(struct seccomp_gate *of);

/* The tree in which the process is a lazy client, or NULL. */
struct seccomp_tree *seccomp_tree_of_lazy(struct seccomp_gate *of, pid_t pid);
/* It is one. */
void seccomp_tree_add_lazy(struct seccomp_gate *of, struct seccomp_tree *tree, pid_t pid);
bool seccomp_tree_has_living_lazy(const struct seccomp_gate *of, const struct seccomp_tree *tree);
/* Kills the lazy clients of a tree. */
void seccomp_tree_end(struct seccomp_gate *of, struct seccomp_tree *tree);

/* A first exec, by no child of a living lazy client: was it forked by one that has been killed since? */
bool seccomp_tree_has_orphan(struct seccomp_gate *of, const struct process_info *info);

/* The kind's part of a gate: see struct gate_kind. */
bool seccomp_tree_has_ended_lazy(const struct gate *gate, pid_t lazy);
