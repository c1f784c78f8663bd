/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All processes, and who has started whom: the ancestors of one, its descendants, its children. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/process/private.h"

#define LOOKS_MAX 100 /* at what never stops changing */
#define CHILDREN_SIZE 1024

/* The parent as it is now. A parent is never younger than its child, whoever adopts it: a younger
 * one has got the pid of a parent that died between our two reads, and then the child, read again,
 * has another. */
static bool
parent_of(struct process_info child, struct process_info *parent)
{
    for (;;) {
        pid_t expected = child.parent;
        if (expected > 0 && process_info(expected, parent) == 0 &&
            parent->start_ticks <= child.start_ticks)
            return true;
        uint64_t start_ticks = child.start_ticks;
        if (expected <= 0 || process_info(child.pid, &child) < 0 ||
            child.start_ticks != start_ticks || child.parent == expected)
            return false;
    }
}

size_t
process_ancestors(pid_t pid, struct process_info *ancestors, size_t max)
{
    struct process_info child;
    size_t count = 0;

    if (process_info(pid, &child) < 0)
        return 0;
    while (count < max && parent_of(child, &ancestors[count]))
        child = ancestors[count++];
    return count;
}

ssize_t
process_all(struct process_info **processes)
{
    struct process_info *all = NULL;
    size_t count = 0, room = 0;
    DIR *proc = opendir("/proc");
    int error = 0;

    if (!proc)
        return -errno;
    for (struct dirent *entry; (entry = readdir(proc));) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        if (count == room) {
            room = room ? 2 * room : 256;
            struct process_info *larger = reallocarray(all, room, sizeof(*all));
            if (!larger) {
                error = -ENOMEM;
                break;
            }
            all = larger;
        }
        if (process_info(atoi(entry->d_name), &all[count]) == 0)
            count++;
    }
    closedir(proc);
    if (error) {
        free(all);
        return error;
    }
    *processes = all;
    return (ssize_t)count;
}

static int
compare_parents(const void *a, const void *b)
{
    const struct process_info *left = a, *right = b;

    return (left->parent > right->parent) - (left->parent < right->parent);
}

/* The first in `all`, sorted by parent, whose parent is `parent`; else where it would be. */
static size_t
first_child(const struct process_info *all, size_t count, pid_t parent)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (all[middle].parent < parent)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Fills `queue` with `root` and all below it, zombies too; returns how many. A process is taken once
 * at most, since pids that were used again during the pass can make it look like a circle. */
static size_t
collect_tree(struct process_info *all, size_t count, struct process_info *queue)
{
    size_t tail = 1;

    for (size_t head = 0; head < tail; head++) {
        const struct process_info *parent = &queue[head];
        for (size_t i = first_child(all, count, parent->pid);
             i < count && all[i].parent == parent->pid; i++) {
            bool is_child = all[i].pid != 0 && all[i].pid != queue[0].pid &&
                            all[i].start_ticks >= parent->start_ticks;
            if (!is_child)
                continue;
            queue[tail++] = all[i];
            all[i].pid = 0;
        }
    }
    return tail;
}

ssize_t
process_descendants(pid_t pid, struct process_info **descendants)
{
    struct process_info root, *all = NULL;
    int error = process_info(pid, &root);

    if (error)
        return error;
    ssize_t count = process_all(&all);
    if (count < 0)
        return count;
    struct process_info *queue = reallocarray(NULL, (size_t)count + 1, sizeof(*queue));
    if (!queue) {
        free(all);
        return -ENOMEM;
    }
    queue[0] = root;
    qsort(all, (size_t)count, sizeof(*all), compare_parents);
    size_t collected = collect_tree(all, (size_t)count, queue);
    free(all);
    size_t living = 0;
    for (size_t i = 1; i < collected; i++) {
        if (process_info_is_alive(&queue[i]))
            queue[living++] = queue[i];
    }
    *descendants = queue;
    return (ssize_t)living;
}

/* --- children --- */

/* What is left at the end may be the beginning of a number. Returns how much that is. */
static size_t
take_numbers(char *text, size_t length, pid_t *children, size_t *n)
{
    char *number = text, *blank;

    text[length] = '\0';
    for (; (blank = strchr(number, ' ')) && *n < PROCESS_CHILDREN_MAX; number = blank + 1)
        children[(*n)++] = (pid_t)strtol(number, NULL, 10);
    size_t left = strlen(number);
    memmove(text, number, left);
    return left;
}

/* A blank follows each number. */
static size_t
read_children_of_thread(pid_t pid, const char *thread, pid_t *children, size_t n)
{
    char name[PROCESS_PATH_SIZE], text[CHILDREN_SIZE];
    size_t left = 0;
    ssize_t length;

    snprintf(name, sizeof(name), "task/%.10s/children", thread);
    int fd = process_open_file(pid, name, O_RDONLY);
    while (fd >= 0 && n < PROCESS_CHILDREN_MAX &&
           (length = read(fd, text + left, sizeof(text) - 1 - left)) > 0) {
        bool is_all = left + (size_t)length < sizeof(text) / 2;
        left = take_numbers(text, left + (size_t)length, children, &n);
        if (is_all)
            break;
    }
    if (fd >= 0)
        close(fd);
    return n;
}

/* By the links of the directory of its threads, which has one for each besides its own two. A kernel that
 * does not count them so has it looked into. */
static bool
has_one_thread(const char *threads)
{
    struct stat status;

    return stat(threads, &status) == 0 && status.st_nlink == 3;
}

size_t
process_children_once(pid_t pid, pid_t *children)
{
    char path[PROCESS_PATH_SIZE], first[sizeof("2147483647")];
    struct dirent *entry;
    size_t n = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    snprintf(first, sizeof(first), "%d", (int)pid);
    if (has_one_thread(path))
        return read_children_of_thread(pid, first, children, 0);
    DIR *threads = opendir(path);
    while (threads && (entry = readdir(threads)))
        if (entry->d_name[0] != '.')
            n = read_children_of_thread(pid, entry->d_name, children, n);
    if (threads)
        closedir(threads);
    return n;
}

/* The kernel may pass one by when another is reaped meanwhile (proc(5), "children"). */
size_t
process_children(pid_t pid, pid_t children[PROCESS_CHILDREN_MAX])
{
    pid_t former[PROCESS_CHILDREN_MAX];
    size_t n_former, n;
    int looks = 1;

    n = process_children_once(pid, children);
    do {
        n_former = n;
        memcpy(former, children, n * sizeof(*children));
        n = process_children_once(pid, children);
    } while ((n != n_former || memcmp(former, children, n * sizeof(*children)) != 0) &&
             ++looks < LOOKS_MAX);
    return n;
}
