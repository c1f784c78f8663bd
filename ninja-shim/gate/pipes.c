/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which processes are joined by pipes, and so belong to one job. */
#include "ninja-shim/gate/pipes.h"

#include "libjobserver/process.h"

void
pipes_read_standard(pid_t pid, uint64_t pipes[PIPES_STANDARD])
{
    /* A socket is none: its ends differ, and as one descriptor for input and output, all that
     * inherit it would seem to be joined. */
    for (int fd = 0; fd < PIPES_STANDARD; fd++)
        pipes[fd] = process_pipe(pid, fd);
}

bool
pipes_set_has(const struct pipes_set *set, uint64_t pipe)
{
    for (size_t i = 0; i < set->size; i++)
        if (set->pipes[i] == pipe)
            return true;
    return false;
}

static void
add(struct pipes_set *set, uint64_t pipe)
{
    if (pipe != 0 && set->size < PIPES_MAX && !pipes_set_has(set, pipe))
        set->pipes[set->size++] = pipe;
}

/* Under whatever number: who has just been forked may not have moved them to 0 and 1 yet. */
static void
read_all(struct pipes_set *set, pid_t pid)
{
    set->size = process_pipes(pid, set->pipes, PIPES_MAX);
}

/* Is the child at one of these pipes? Then they lead to all that it has, but what its parent has as
 * well: that joins all children, or none. */
static bool
pass_through(struct pipes_set *seen, struct pipes_set *reached, pid_t child,
             const struct pipes_set *of_parent)
{
    struct pipes_set own;
    bool passes = false;

    read_all(&own, child);
    for (size_t i = 0; i < own.size; i++)
        passes = passes || pipes_set_has(seen, own.pipes[i]);
    for (size_t i = 0; passes && i < own.size; i++) {
        if (pipes_set_has(of_parent, own.pipes[i]))
            continue;
        add(seen, own.pipes[i]);
        add(reached, own.pipes[i]);
    }
    return passes;
}

void
pipes_reach(struct pipes_set *reached, pid_t parent, pid_t pid,
            const uint64_t pipes[PIPES_STANDARD], bool (*is_job)(const void *argument, pid_t child),
            const void *argument)
{
    uint64_t of_parent_standard[PIPES_STANDARD];
    struct pipes_set seen = {.size = 0}, of_parent;
    pid_t children[PROCESS_CHILDREN_MAX];

    reached->size = 0;
    pipes_read_standard(parent, of_parent_standard);
    for (int i = 0; i < PIPES_STANDARD; i++)
        if (pipes[i] != of_parent_standard[0] && pipes[i] != of_parent_standard[1] &&
            pipes[i] != of_parent_standard[2])
            add(&seen, pipes[i]);
    if (seen.size == 0)
        return;
    read_all(&of_parent, parent);
    size_t n = process_children(parent, children);
    bool again; /* one may lead to another that was passed by */
    do {
        again = false;
        for (size_t i = 0; i < n; i++) {
            pid_t child = children[i];
            if (child == 0 || child == pid || is_job(argument, child) ||
                !pass_through(&seen, reached, child, &of_parent))
                continue;
            children[i] = 0;
            again = true;
        }
    } while (again);
}
