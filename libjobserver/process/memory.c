/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process and all below it use and do, and signals to all of them: found by their children, not by a pass over
 * /proc. */
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/process/private.h"

/* A job that has more processes than this uses at least what these do. */
#define TREE_MAX 1024
#define STATM_SIZE 256

/* A process and all below it, each before its children. */
struct tree {
    size_t count;
    pid_t pids[TREE_MAX];
};

static bool
has(const struct tree *tree, pid_t pid)
{
    for (size_t i = 0; i < tree->count; i++)
        if (tree->pids[i] == pid)
            return true;
    return false;
}

/* `visit` comes before anybody looks for the children. */
static void
walk(struct tree *tree, pid_t pid, void (*visit)(pid_t pid, void *argument), void *argument)
{
    pid_t children[PROCESS_CHILDREN_MAX];

    tree->pids[0] = pid;
    tree->count = 1;
    for (size_t next = 0; next < tree->count; next++) {
        visit(tree->pids[next], argument);
        size_t n = process_children_once(tree->pids[next], children);
        for (size_t i = 0; i < n && tree->count < TREE_MAX; i++)
            if (!has(tree, children[i]))
                tree->pids[tree->count++] = children[i];
    }
}

/* --- memory --- */

static void
add_resident(pid_t pid, void *argument)
{
    char text[STATM_SIZE];
    uint64_t *bytes = argument;
    ssize_t length = process_read_file(pid, "statm", text, sizeof(text));
    const char *pages = length > 0 ? strchr(text, ' ') : NULL;

    if (pages)
        *bytes += strtoull(pages, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t
process_tree_memory(pid_t pid)
{
    struct tree tree;
    uint64_t bytes = 0;

    walk(&tree, pid, add_resident, &bytes);
    return bytes;
}

/* --- what they do --- */

static bool
thread_is_active(pid_t pid, const char *tid)
{
    char name[PROCESS_PATH_SIZE], text[PROCESS_STAT_SIZE];

    snprintf(name, sizeof(name), "task/%.10s/stat", tid);
    ssize_t length = process_read_file(pid, name, text, sizeof(text));
    const char *end = length > 0 ? strrchr(text, ')') : NULL;
    return end && (strncmp(end, ") R", 3) == 0 || strncmp(end, ") D", 3) == 0);
}

static void
find_active(pid_t pid, void *argument)
{
    bool *is_active = argument;
    char path[PROCESS_PATH_SIZE];
    struct dirent *entry;

    if (*is_active)
        return;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    while (threads && !*is_active && (entry = readdir(threads)))
        *is_active = entry->d_name[0] != '.' && thread_is_active(pid, entry->d_name);
    if (threads)
        closedir(threads);
}

bool
process_tree_is_active(pid_t pid)
{
    struct tree tree;
    bool is_active = false;

    walk(&tree, pid, find_active, &is_active);
    return is_active;
}

/* --- signals --- */

static void
send(pid_t pid, void *argument)
{
    kill(pid, *(const int *)argument);
}

/* Who has been stopped cannot reap its children, so that their pids stay theirs. On another processor it may run
 * on for a moment, and fork: when nobody is found who was not there before, all stand still. */
static void
stop_all(struct tree *tree, pid_t pid)
{
    size_t former;
    int signal_number = SIGSTOP;

    tree->count = 0;
    do {
        former = tree->count;
        walk(tree, pid, send, &signal_number);
    } while (tree->count > former);
}

void
process_tree_stop(pid_t pid)
{
    struct tree tree;

    stop_all(&tree, pid);
}

static uint64_t
resident(pid_t pid)
{
    uint64_t bytes = 0;

    add_resident(pid, &bytes);
    return bytes;
}

int
process_tree_kill(pid_t pid, void (*visit)(pid_t pid, void *argument), void *argument)
{
    struct tree tree;
    pid_t largest = pid;
    uint64_t most = 0;

    stop_all(&tree, pid);
    for (size_t i = 0; i < tree.count; i++) {
        uint64_t bytes = resident(tree.pids[i]);
        if (bytes > most)
            largest = tree.pids[i];
        most = bytes > most ? bytes : most;
        visit(tree.pids[i], argument);
    }
    int pidfd = process_open_pidfd(largest);
    for (size_t i = 0; i < tree.count; i++)
        kill(tree.pids[i], SIGKILL);
    return pidfd < 0 ? -1 : pidfd;
}

void
process_tree_continue(pid_t pid)
{
    struct tree tree;
    int signal_number = SIGCONT;

    walk(&tree, pid, send, &signal_number);
}
