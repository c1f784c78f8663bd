/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which process a thread belongs to, and a memory for the answers. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Out of memory, a thread is not remembered; uthash would end the program. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "libjobserver/process.h"
#include "libjobserver/process/private.h"

/* /proc/PID/status as far as Tgid: the name (as in stat), Umask, State: below 400. */
#define STATUS_SIZE 1024
/* As many threads are remembered: about 8 MiB. Who makes more (pid_max may be 4 million) makes us
 * forget all of them, which costs time and no truth. */
#define CACHE_MAX 65536

int
process_of_thread(pid_t tid, pid_t *pid)
{
    static const char key[] = "\nTgid:"; /* no name holds a newline: the kernel escapes it */
    char text[STATUS_SIZE];
    ssize_t length = process_read_file(tid, "status", text, sizeof(text));

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

void
process_cache_remember(struct process_cache *cache, pid_t tid, pid_t pid)
{
    struct thread *thread;

    HASH_FIND_INT(cache->threads, &tid, thread);
    if (thread)
        return;
    if (HASH_COUNT(cache->threads) >= CACHE_MAX)
        drop_all(cache);
    thread = calloc(1, sizeof(*thread));
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
    process_cache_remember(cache, tid, found);
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
