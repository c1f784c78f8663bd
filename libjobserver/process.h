/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef JOBSERVER_PROCESS_H
#define JOBSERVER_PROCESS_H

/*
 * Who is this? Processes as /proc and pidfds show them (proc(5), pidfd_open(2)). All functions return
 * 0 or a negative errno (-ESRCH: no such process; -EIO: /proc makes no sense) unless they say
 * otherwise; nothing is written on an error.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* From /proc/PID/stat. A pid with another start time is another process. */
struct process_info {
    pid_t pid, parent, process_group, session;
    char state;           /* as in proc(5): 'R', 'S', 'D', 'T', 'Z', ... */
    uint64_t start_ticks; /* after boot, in clock ticks */
    unsigned threads;     /* 'Z' with more than one: only the first thread has ended */
    bool has_executed;    /* a program since its fork; of a thread but the first: false */
};

int process_info(pid_t pid, struct process_info *info);
/* Has it not exited yet? */
bool process_info_is_alive(const struct process_info *info);

/* A close-on-exec pidfd: readable once the process has exited. Owned by the caller. */
int process_open_pidfd(pid_t pid);
/* false once the process has been reaped (its pid may be in use again). Costs 0.2 us. */
bool process_pidfd_exists(int pidfd);

/* Has it exited, reaped or not? Costs 0.3 us. */
bool process_pidfd_has_exited(int pidfd);

/* The process that the thread belongs to, by /proc/TID/status. Costs 25 us. */
int process_of_thread(pid_t tid, pid_t *pid);
/* Is `tid` a thread of `pid` now? Costs 0.2 us (tgkill(2) with signal 0): what a cache of
 * process_of_thread() is checked with, since thread ids are used again while their process lives. */
bool process_has_thread(pid_t pid, pid_t tid);

/* Remembers which process a thread belongs to. Each answer is checked by process_has_thread(), so a
 * thread id that is used again is never mistaken. */
struct process_cache;
struct process_cache *process_cache_create(void); /* NULL: out of memory */
void process_cache_destroy(struct process_cache *cache);
/* As process_of_thread(), 0.5 us for a thread seen before. Where /proc hides the thread
 * (hidepid=), the thread is taken for a process. */
int process_cache_lookup(struct process_cache *cache, pid_t tid, pid_t *pid);
/* Forgets the threads of a process that has died. */
void process_cache_forget(struct process_cache *cache, pid_t pid);

/* The parent, its parent and so on, nearest first, up to `max`; returns how many, which ends at
 * pid 1, at the edge of the pid namespace, or at a process that cannot be read. */
size_t process_ancestors(pid_t pid, struct process_info *ancestors, size_t max);

/* All living descendants of `pid` (zombies do not count), in one pass over /proc, in no order.
 * *descendants is to be freed; returns their number or a negative errno. */
ssize_t process_descendants(pid_t pid, struct process_info **descendants);

/* Does it ignore this signal? false, too, if it cannot be read. */
bool process_ignores(pid_t pid, int signal_number);

/* The command line with blanks between the words and '?' for what cannot be printed, cut to `size`
 * with the NUL; the name in parentheses if there is none (kernel threads, zombies). */
int process_command(pid_t pid, char *command, size_t size);

#endif
