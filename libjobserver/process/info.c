/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Out of memory, a thread is not remembered; uthash would end the program. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* /proc/PID/stat as far as the start time: a pid of 10 digits, a name of at most 63 bytes, of which
 * the kernel may write each as a 4 byte escape, and 20 numbers of at most 20 digits: below 700. */
#define STAT_SIZE 1024
/* /proc/PID/status as far as Tgid: the name (as above), Umask, State: below 400. */
#define STATUS_SIZE 1024
/* PF_FORKNOEXEC of the kernel's <linux/sched.h>, which proc(5) shows among the flags. */
#define FORKED_NOT_EXECUTED 0x40u
/* As many threads are remembered: about 8 MiB. Who makes more (pid_max may be 4 million) makes us
 * forget all of them, which costs time and no truth. */
#define CACHE_MAX 65536

/* --- /proc --- */

/* One read(2), which gives a consistent picture of the files read here. Returns the length; the text
 * ends in a NUL and may be cut. */
static ssize_t
read_proc(pid_t pid, const char *file, char *text, size_t size)
{
    char path[sizeof("/proc/2147483647/cmdline")];

    if (pid <= 0)
        return -ESRCH;
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    ssize_t length = read(fd, text, size - 1);
    int error = errno;
    close(fd);
    if (length < 0)
        return -error;
    text[length] = '\0';
    return length;
}

/* The name may hold blanks and parentheses of its own, what follows it cannot. */
static int
parse_stat(const char *text, struct process_info *info)
{
    struct process_info parsed = {0};
    const char *name_end = strrchr(text, ')');
    unsigned flags;

    if (!name_end || sscanf(text, "%d", &parsed.pid) != 1)
        return -EIO;
    int found = sscanf(name_end + 1,
                       " %c %d %d %d %*d %*d %u %*u %*u %*u %*u %*u %*u"
                       " %*d %*d %*d %*d %u %*d %" SCNu64,
                       &parsed.state, &parsed.parent, &parsed.process_group, &parsed.session,
                       &flags, &parsed.threads, &parsed.start_ticks);
    if (found != 7)
        return -EIO;
    parsed.has_executed = !(flags & FORKED_NOT_EXECUTED);
    *info = parsed;
    return 0;
}

int
process_info(pid_t pid, struct process_info *info)
{
    char text[STAT_SIZE];
    ssize_t length = read_proc(pid, "stat", text, sizeof(text));

    return length < 0 ? (int)length : parse_stat(text, info);
}

bool
process_info_is_alive(const struct process_info *info)
{
    if (info->state == 'Z')
        return info->threads > 1;
    return info->state != 'X' && info->state != 'x';
}

/* --- pidfds --- */

int
process_open_pidfd(pid_t pid)
{
    if (pid <= 0)
        return -ESRCH;
    int pidfd = pidfd_open(pid, 0);
    if (pidfd >= 0)
        return pidfd;
    /* A thread that leads no process: EINVAL, and ENOENT since Linux 6.9. */
    return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
}

bool
process_pidfd_exists(int pidfd)
{
    return pidfd_send_signal(pidfd, 0, NULL, 0) == 0 || errno == EPERM;
}

bool
process_pidfd_has_exited(int pidfd)
{
    struct pollfd polled = {.fd = pidfd, .events = POLLIN};

    return poll(&polled, 1, 0) == 1;
}

/* --- threads --- */

int
process_of_thread(pid_t tid, pid_t *pid)
{
    static const char key[] = "\nTgid:"; /* no name holds a newline: the kernel escapes it */
    char text[STATUS_SIZE];
    ssize_t length = read_proc(tid, "status", text, sizeof(text));

    if (length < 0)
        return (int)length;
    const char *line = strstr(text, key);
    pid_t parsed;
    if (!line || sscanf(line + strlen(key), "%d", &parsed) != 1)
        return -EIO;
    *pid = parsed;
    return 0;
}

/* EPERM: there is such a thread, and it is another user's. */
bool
process_has_thread(pid_t pid, pid_t tid)
{
    return syscall(SYS_tgkill, pid, tid, 0) == 0 || errno == EPERM;
}

/* kill(2) finds a process by any of its threads. */
static bool
thread_exists(pid_t tid)
{
    return tid > 0 && (kill(tid, 0) == 0 || errno == EPERM);
}

/* --- the cache --- */

struct thread {
    pid_t tid;
    struct thread_list *process;
    LIST_ENTRY(thread) sibling;
    UT_hash_handle hh;
};

/* The threads of one process; never empty. */
struct thread_list {
    pid_t pid;
    LIST_HEAD(thread_head, thread) threads;
    UT_hash_handle hh;
};

struct process_cache {
    struct thread *threads;        /* by tid */
    struct thread_list *processes; /* by pid */
};

struct process_cache *
process_cache_create(void)
{
    return calloc(1, sizeof(struct process_cache));
}

static struct thread_list *
find_or_add_process(struct process_cache *cache, pid_t pid)
{
    struct thread_list *process;

    HASH_FIND_INT(cache->processes, &pid, process);
    if (process)
        return process;
    process = calloc(1, sizeof(*process));
    if (!process)
        return NULL;
    process->pid = pid;
    LIST_INIT(&process->threads);
    HASH_ADD_INT(cache->processes, pid, process);
    if (!process->hh.tbl) {
        free(process);
        return NULL;
    }
    return process;
}

static void
drop_process_if_empty(struct process_cache *cache, struct thread_list *process)
{
    if (!LIST_EMPTY(&process->threads))
        return;
    HASH_DEL(cache->processes, process);
    free(process);
}

static void
drop_thread(struct process_cache *cache, struct thread *thread)
{
    struct thread_list *process = thread->process;

    LIST_REMOVE(thread, sibling);
    HASH_DEL(cache->threads, thread);
    free(thread);
    drop_process_if_empty(cache, process);
}

static void
drop_all(struct process_cache *cache)
{
    struct thread *thread, *next;

    HASH_ITER (hh, cache->threads, thread, next)
        drop_thread(cache, thread);
}

void
process_cache_destroy(struct process_cache *cache)
{
    if (!cache)
        return;
    drop_all(cache);
    free(cache);
}

static void
remember(struct process_cache *cache, pid_t tid, pid_t pid)
{
    if (HASH_COUNT(cache->threads) >= CACHE_MAX)
        drop_all(cache);
    struct thread *thread = calloc(1, sizeof(*thread));
    if (!thread)
        return;
    thread->process = find_or_add_process(cache, pid);
    if (!thread->process) {
        free(thread);
        return;
    }
    thread->tid = tid;
    HASH_ADD_INT(cache->threads, tid, thread);
    if (!thread->hh.tbl) {
        drop_process_if_empty(cache, thread->process);
        free(thread);
        return;
    }
    LIST_INSERT_HEAD(&thread->process->threads, thread, sibling);
}

int
process_cache_lookup(struct process_cache *cache, pid_t tid, pid_t *pid)
{
    struct thread *thread;
    pid_t found;

    HASH_FIND_INT(cache->threads, &tid, thread);
    if (thread && process_has_thread(thread->process->pid, tid)) {
        *pid = thread->process->pid;
        return 0;
    }
    if (thread)
        drop_thread(cache, thread);
    int error = process_of_thread(tid, &found);
    if (error) {
        if (!thread_exists(tid))
            return error;
        found = tid; /* hidden by hidepid= */
    }
    remember(cache, tid, found);
    *pid = found;
    return 0;
}

void
process_cache_forget(struct process_cache *cache, pid_t pid)
{
    struct thread_list *process;

    HASH_FIND_INT(cache->processes, &pid, process);
    if (!process)
        return;
    struct thread *thread = LIST_FIRST(&process->threads);
    while (thread) {
        struct thread *next = LIST_NEXT(thread, sibling);
        drop_thread(cache, thread); /* the last one ends `process` */
        thread = next;
    }
}

/* --- the tree --- */

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

/* Returns how many processes there are in *processes (to be freed), or a negative errno. */
static ssize_t
read_all(struct process_info **processes)
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
    ssize_t count = read_all(&all);
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

/* --- signals --- */

bool
process_ignores(pid_t pid, int signal_number)
{
    static const char key[] = "\nSigIgn:";
    char text[4096]; /* the list of groups comes before it, of which there may be many */
    ssize_t length = read_proc(pid, "status", text, sizeof(text));
    const char *line = length > 0 ? strstr(text, key) : NULL;
    uint64_t ignored = line ? strtoull(line + strlen(key), NULL, 16) : 0;

    return ignored & UINT64_C(1) << (signal_number - 1);
}

/* --- the command line --- */

static void
make_printable(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\0')
            text[i] = ' ';
        else if (text[i] < ' ' || text[i] > '~')
            text[i] = '?';
    }
}

/* "(name)", from /proc/PID/stat, which a process cannot make us wait for. */
static int
command_name(pid_t pid, char *command, size_t size)
{
    char text[STAT_SIZE];
    ssize_t length = read_proc(pid, "stat", text, sizeof(text));

    if (length < 0)
        return (int)length;
    char *name = strchr(text, '('), *end = strrchr(text, ')');
    if (!name || !end || end < name)
        return -EIO;
    end[1] = '\0';
    make_printable(name, strlen(name));
    snprintf(command, size, "%s", name);
    return 0;
}

int
process_command(pid_t pid, char *command, size_t size)
{
    if (size == 0)
        return -EINVAL;
    char *text = malloc(size);
    if (!text)
        return -ENOMEM;
    ssize_t length = read_proc(pid, "cmdline", text, size);
    while (length > 0 && text[length - 1] == '\0')
        length--;
    if (length > 0) {
        make_printable(text, (size_t)length);
        text[length] = '\0';
        memcpy(command, text, (size_t)length + 1);
    }
    free(text);
    if (length < 0)
        return (int)length;
    return length > 0 ? 0 : command_name(pid, command, size);
}
