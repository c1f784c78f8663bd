/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ninja-shim/gate/pipes.h"

#define CHILDREN_MAX 256
#define LOOKS_MAX 100 /* at what never stops changing */
#define PATH_SIZE sizeof("/proc/2147483647/task/2147483647/children")

void
pipes_read_standard(pid_t pid, unsigned long long pipes[PIPES_STANDARD])
{
    char path[PATH_SIZE];
    struct stat status;

    for (int fd = 0; fd < PIPES_STANDARD; fd++) {
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
        /* A socket is none: its ends differ, and as one descriptor for input and output, all that
         * inherit it would seem to be joined. */
        pipes[fd] = stat(path, &status) == 0 && S_ISFIFO(status.st_mode) ? status.st_ino : 0;
    }
}

bool
pipe_set_has(const struct pipe_set *set, unsigned long long pipe)
{
    for (unsigned i = 0; i < set->size; i++)
        if (set->pipes[i] == pipe)
            return true;
    return false;
}

static void
add(struct pipe_set *set, unsigned long long pipe)
{
    if (pipe != 0 && set->size < PIPES_MAX && !pipe_set_has(set, pipe))
        set->pipes[set->size++] = pipe;
}

static unsigned long long
mix(unsigned long long seen, unsigned long long number)
{
    return (seen ^ number) * 0x100000001b3;
}

/* Adds the pipes that it has, under whatever number: who has just been forked may not have moved them
 * to 0 and 1 yet. Returns what differs if something else is seen the next time. */
static unsigned long long
look_at(struct pipe_set *set, pid_t pid)
{
    char path[PATH_SIZE];
    struct dirent *entry;
    struct stat status;
    unsigned long long seen = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *fds = opendir(path);
    while (fds && (entry = readdir(fds))) {
        if (entry->d_name[0] == '.')
            continue;
        bool there = fstatat(dirfd(fds), entry->d_name, &status, 0) == 0;
        seen = mix(mix(seen, strtoul(entry->d_name, NULL, 10)), there ? status.st_ino : 0);
        if (there && S_ISFIFO(status.st_mode))
            add(set, status.st_ino);
    }
    if (fds)
        closedir(fds);
    return seen;
}

/* It runs meanwhile, and a pipe that goes from a number still to be read to one that has been is seen
 * nowhere. After two looks that saw the same, nothing has gone past them. */
static void
read_all(struct pipe_set *set, pid_t pid)
{
    unsigned long long former, seen;
    int looks = 1;

    set->size = 0;
    seen = look_at(set, pid);
    do {
        former = seen;
        seen = look_at(set, pid);
    } while (seen != former && ++looks < LOOKS_MAX);
}

static unsigned
read_children_of_thread(pid_t process, const char *thread, pid_t *children, unsigned n)
{
    char path[PATH_SIZE];
    int child;

    snprintf(path, sizeof(path), "/proc/%d/task/%.10s/children", (int)process, thread);
    FILE *file = fopen(path, "re");
    while (file && n < CHILDREN_MAX && fscanf(file, "%d", &child) == 1)
        children[n++] = child;
    if (file)
        fclose(file);
    return n;
}

static unsigned
look_for_children(pid_t process, pid_t *children)
{
    char path[PATH_SIZE];
    struct dirent *entry;
    unsigned n = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)process);
    DIR *threads = opendir(path);
    while (threads && (entry = readdir(threads)))
        if (entry->d_name[0] != '.')
            n = read_children_of_thread(process, entry->d_name, children, n);
    if (threads)
        closedir(threads);
    return n;
}

/* The kernel may pass one by when another is reaped meanwhile (proc(5), "children"). */
static unsigned
read_children(pid_t process, pid_t *children)
{
    pid_t former[CHILDREN_MAX];
    unsigned n_former, n;
    int looks = 1;

    n = look_for_children(process, children);
    do {
        n_former = n;
        memcpy(former, children, n * sizeof(*children));
        n = look_for_children(process, children);
    } while ((n != n_former || memcmp(former, children, n * sizeof(*children)) != 0) &&
             ++looks < LOOKS_MAX);
    return n;
}

/* Is the child at one of these pipes? Then they lead to all that it has, but what its parent has as
 * well: that joins all children, or none. */
static bool
pass_through(struct pipe_set *seen, struct pipe_set *reached, pid_t child,
             const struct pipe_set *of_parent)
{
    struct pipe_set own;
    bool passes = false;

    read_all(&own, child);
    for (unsigned i = 0; i < own.size; i++)
        passes = passes || pipe_set_has(seen, own.pipes[i]);
    for (unsigned i = 0; passes && i < own.size; i++) {
        if (pipe_set_has(of_parent, own.pipes[i]))
            continue;
        add(seen, own.pipes[i]);
        add(reached, own.pipes[i]);
    }
    return passes;
}

void
pipes_reach(struct pipe_set *reached, pid_t parent, pid_t pid,
            const unsigned long long pipes[PIPES_STANDARD],
            bool (*is_job)(const void *argument, pid_t child), const void *argument)
{
    unsigned long long of_parent_standard[PIPES_STANDARD];
    struct pipe_set seen = {.size = 0}, of_parent;
    pid_t children[CHILDREN_MAX];

    reached->size = 0;
    pipes_read_standard(parent, of_parent_standard);
    for (int i = 0; i < PIPES_STANDARD; i++)
        if (pipes[i] != of_parent_standard[0] && pipes[i] != of_parent_standard[1] &&
            pipes[i] != of_parent_standard[2])
            add(&seen, pipes[i]);
    if (seen.size == 0)
        return;
    read_all(&of_parent, parent);
    unsigned n = read_children(parent, children);
    bool again; /* one may lead to another that was passed by */
    do {
        again = false;
        for (unsigned i = 0; i < n; i++) {
            pid_t child = children[i];
            if (child == 0 || child == pid || is_job(argument, child) ||
                !pass_through(&seen, reached, child, &of_parent))
                continue;
            children[i] = 0;
            again = true;
        }
    } while (again);
}
