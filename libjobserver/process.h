/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Processes as /proc and pidfds show them (proc(5), pidfd_open(2)). Nothing else here reads /proc.
 * All functions return 0 or a negative errno (-ESRCH: no such process; -EIO: /proc makes no sense)
 * unless they say otherwise; nothing is written on an error.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Is /proc there, and of our own pid namespace? -ESRCH: of another one, which would show other
 * processes under the pids that we know. */
int process_check_proc(void);

/* --- one process --- */

/* Of a name with its NUL: the kernel cuts it to that (proc_pid_comm(5)). */
#define PROCESS_NAME_SIZE 16

/* From /proc/PID/stat, which no process can make us wait for. A pid with another start time is another
 * process. */
struct process_info {
    pid_t pid, parent, process_group, session;
    char name[PROCESS_NAME_SIZE]; /* '?' for what cannot be printed */
    char state;                   /* as in proc(5): 'R', 'S', 'D', 'T', 'Z', ... */
    uint64_t start_ticks;         /* after boot, in clock ticks */
    unsigned threads;             /* 'Z' with more than one: only the first thread has ended */
    bool has_executed;            /* a program since its fork; of a thread but the first: false */
    bool is_exiting; /* its descriptors may be closed already, its children still its own */
};

int process_info(pid_t pid, struct process_info *info);
/* Has it not exited yet? */
bool process_info_is_alive(const struct process_info *info);

/* Whose process is it? */
int process_owner(pid_t pid, uid_t *uid);

/* Is the process called one of the names now? The list ends with NULL. false, too, if there is no
 * such process. */
bool process_is_called(pid_t pid, const char *const *names);
/* Would it be called one of them if it executed a file of this name? */
bool process_name_is_one_of(const char *name, const char *const *names);

/* The command line with blanks between the words and '?' for what cannot be printed, cut to `size`
 * with the NUL; the name in parentheses if there is none (kernel threads, zombies). It lies in the
 * process's memory, and who locks that makes us wait for as long as it likes: only for our own
 * children; process_label() for others. */
int process_command(pid_t pid, char *command, size_t size);

/* The same as words, with a NULL behind the last, that lie in `text`: how many, or -E2BIG if they do not fit
 * into `size` or `max`. */
ssize_t process_arguments(pid_t pid, char *text, size_t size, char **words, size_t max);
/* Where it works; "" on an error. */
int process_directory(pid_t pid, char *path, size_t size);

/* What is running there, as a user knows it. */
struct process_label {
    char *command;   /* as process_command(), in full, but without "jobwrap" or "jobgate" and their
                      * options; the name in parentheses if that could not be read in time */
    char *directory; /* where it works; "": it may not be known */
    bool is_stopped; /* by a signal: ^Z */
};

/* start_ticks: of the process that is meant, -ESRCH if the pid is another one's (0: whoever has it now).
 * The memory is read by a child, which is killed if that takes longer than half of *patience_ms, from
 * which is subtracted what it took: several calls share one limit, and none uses it up. The kernel may
 * not let that child die before the memory is free, and nobody waits for it.
 * process_label_clear() frees what is in *label, which is {0} after an error. */
int process_label(pid_t pid, uint64_t start_ticks, int *patience_ms, struct process_label *label);
void process_label_clear(struct process_label *label);
/* "COMMAND in DIRECTORY", with ~ for $HOME, the command cut after so many bytes. To be freed; NULL: out
 * of memory. */
char *process_label_text(const struct process_label *label, int command_max);

/* Sets of signals, from /proc/PID/status. */
struct process_signals {
    uint64_t pending; /* for the process or for its first thread */
    uint64_t blocked; /* by its first thread */
    uint64_t ignored;
};

int process_signals(pid_t pid, struct process_signals *signals);
/* A signal's place in such a set. */
uint64_t process_signal_bit(int signal_number);

/* A line of /proc/PID/status that holds a decimal number, by its key ("Threads"). -ENODATA: this kernel
 * has none such. */
int process_status_number(pid_t pid, const char *key, unsigned *number);

/* Does it sleep until a child has ended or a descriptor is ready (wait4, pselect, poll and the like)? false,
 * too, if it cannot be looked at. */
bool process_waits_for_events(pid_t pid);
/* Has the word been on its command line, or in the value of the variable, when it was executed? Words are
 * what blanks part; `is_word` decides about each. false, too, if it cannot be looked at. */
bool process_was_given(pid_t pid, const char *variable, bool (*is_word)(const char *word));
/* The value that the variable had when it was executed. To be freed; NULL: none, or it cannot be looked at. */
char *process_variable(pid_t pid, const char *variable);

/* --- pidfds --- */

/* A close-on-exec pidfd: readable once the process has exited. Owned by the caller. */
int process_open_pidfd(pid_t pid);
/* Sends it a signal: by the pidfd, which is its own for sure; where there is none (-1), or the kernel or a
 * container refuses (before Linux 5.1; EPERM of old container profiles), by the pid, which nobody may have
 * reaped yet, or only just now. */
int process_signal(pid_t pid, int pidfd, int signal_number);
/* Has it exited, reaped or not? Costs 0.3 us. */
bool process_pidfd_has_exited(int pidfd);
/* How a process has ended that is not our child, and that its parent may reap at any moment:
 * *wait_status is as from waitpid(2). -ENODATA: it is reaped, and the kernel (before Linux 6.15) does
 * not keep that for the pidfd. -EBUSY: it has not ended. */
int process_end_status(pid_t pid, int pidfd, int *wait_status);

/* --- threads --- */

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
/* Somebody else has looked it up, who need not be right any more. */
void process_cache_remember(struct process_cache *cache, pid_t tid, pid_t pid);
/* Forgets the threads of a process that has died. */
void process_cache_forget(struct process_cache *cache, pid_t pid);

/* --- the tree --- */

/* The parent, its parent and so on, nearest first, up to `max`; returns how many, which ends at
 * pid 1, at the edge of the pid namespace, or at a process that cannot be read. */
size_t process_ancestors(pid_t pid, struct process_info *ancestors, size_t max);

/* All living descendants of `pid` (zombies do not count), in one pass over /proc, in no order.
 * *descendants is to be freed; returns their number or a negative errno. */
ssize_t process_descendants(pid_t pid, struct process_info **descendants);
/* All that there are, zombies too, as far as /proc shows them. *processes is to be freed; returns their
 * number or a negative errno. */
ssize_t process_all(struct process_info **processes);

#define PROCESS_CHILDREN_MAX 4096
/* The children, zombies too; returns how many. A kernel that does not tell (CONFIG_PROC_CHILDREN)
 * seems to have none. */
size_t process_children(pid_t pid, pid_t children[PROCESS_CHILDREN_MAX]);

/* The process and all below it, as far as each one's parent lives: a daemon is none of them. For our own
 * children and theirs. */
/* What they have in memory, in bytes; what they share counts for each. Costs 10 us a process. */
uint64_t process_tree_memory(pid_t pid);
/* Does any thread of them run, or wait for a processor or a disk? One that only waits for others, or sleeps, does not. */
bool process_tree_is_active(pid_t pid);
/* SIGSTOP: when this returns, no more of them come. SIGCONT to those that have been stopped so. */
void process_tree_stop(pid_t pid);
void process_tree_continue(pid_t pid);
/* SIGKILL to all, when none can do anything about it any more; before that, `visit` is shown each. Returns a pidfd
 * of the one that has most memory, the caller's, or -1: it has gone already. */
int process_tree_kill(pid_t pid, void (*visit)(pid_t pid, void *argument), void *argument);

/* --- descriptors --- */

/* The pipe that the process has open under this number, as its inode. 0: it is none, or cannot be
 * looked at. */
uint64_t process_pipe(pid_t pid, int fd);
/* All pipes that the process has open, under whatever number, each once, up to `max`; returns how
 * many. It may move them about meanwhile. */
size_t process_pipes(pid_t pid, uint64_t *pipes, size_t max);
/* The numbers under which the process has this file open, up to `max`; returns how many. */
size_t process_find_file(pid_t pid, dev_t device, ino_t inode, int *numbers, size_t max);

/* Shows the paths of the regular files that it has open for writing. */
void process_each_written_file(pid_t pid, void (*show)(const char *path, void *argument),
                               void *argument);
/* Does it read from a terminal, or has it the same input and output as `parent`? */
bool process_shares_console(pid_t pid, pid_t parent);

/* The path by which processes of the same user can open what a process has open under this number, even
 * if it has no other name (a pipe). To be freed; NULL: out of memory. */
char *process_path_to_descriptor(pid_t pid, int fd);

/* The path by which our own descriptor was opened, if it still has one; a longer one than `size` is
 * refused with -ENAMETOOLONG. */
int process_descriptor_path(int fd, char *path, size_t size);
/* Opens once more what our own descriptor stands for, by /proc/self/fd, so that the flags (open(2),
 * O_CLOEXEC is added) are those of a file description of its own. Returns the caller's descriptor. */
int process_reopen(int fd, int flags);

/* --- the program --- */

/* Does the file that it executes give privilege that we have not: by a set-user-ID or set-group-ID
 * bit or by capabilities, where the mount allows that? false, too, if it cannot be looked at. */
bool process_has_set_id_program(pid_t pid);

/* The first bytes of the file that it executes; returns how many. */
ssize_t process_read_program(pid_t pid, void *bytes, size_t size);
/* Where in its memory a process that stands still goes on. -EBUSY: it runs. */
int process_program_counter(pid_t pid, uint64_t *address);
/* Reads from its memory, all or nothing. */
int process_read_memory(pid_t pid, uint64_t address, void *bytes, size_t size);
/* Writes into its memory, read-only code too: a page that is shared is copied first, as for a
 * debugger's breakpoint. */
int process_write_memory(pid_t pid, uint64_t address, const void *bytes, size_t size);
