/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * By which pipes processes are joined, as /proc shows it. A pipe is its inode; 0: none. Who cannot
 * be looked at has none.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PIPES_STANDARD 3 /* standard input, output and error */
#define PIPES_MAX 64     /* more than that of one pipeline are not seen */

struct pipes_set {
    uint64_t pipes[PIPES_MAX];
    size_t size;
};

void pipes_read_standard(pid_t pid, uint64_t pipes[PIPES_STANDARD]);
bool pipes_set_has(const struct pipes_set *set, uint64_t pipe);

/* What the pipes of `pid`, a child of `parent`, lead to by way of other children that have executed
 * nothing: the middle of a shell's 'a | while read x; do ...; done | b', or a member that is late.
 * is_job: false for such a child. */
void pipes_reach(struct pipes_set *reached, pid_t parent, pid_t pid,
                 const uint64_t pipes[PIPES_STANDARD],
                 bool (*is_job)(const void *argument, pid_t child), const void *argument);
