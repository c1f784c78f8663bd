/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The end of a seccomp filter at which each execve(2) under it is heard of (seccomp_unotify(2)). It
 * lies in memory that the sidecar and its keeper share: whatever the one has heard of and not
 * answered when it is killed, the other answers, and all that come after, as long as anything runs
 * under the filter.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "libjobserver/process.h"

#define SECCOMP_LAZY_MAX 1024
/* Room for the kernel's structures, which may grow. */
#define SECCOMP_REQUEST_SIZE 1024
#define SECCOMP_RESPONSE_SIZE 256

struct seccomp_listener {
    atomic_int fd;                     /* -1: none */
    const char *const *names;          /* what lazy clients are called */
    atomic_int lazy[SECCOMP_LAZY_MAX]; /* their pids, as far as there is room; 0: none */
    /* What has been received last; the kernel says how much of it it writes. */
    _Alignas(uint64_t) unsigned char request[SECCOMP_REQUEST_SIZE];
};

struct seccomp_exec {
    uint64_t id;           /* of the notification */
    pid_t tid;             /* of the thread that executes; 0: not in our pid namespace */
    uint64_t path_address; /* in its memory: of what it executes */
};

/* Makes one in the room that the sidecar shares with its keeper; fd: -1, or the descriptor, which is the
 * listener's. */
struct seccomp_listener *seccomp_listener_open(void *shared, const char *const *names, int fd);
void seccomp_listener_close(struct seccomp_listener *listener);

/* To be called when the descriptor is readable: 1; 0: it has died meanwhile; or a negative errno. */
int seccomp_listener_receive(struct seccomp_listener *listener, struct seccomp_exec *exec);
/* Is it still waiting? If so, what was looked up by its tid before was the truth. */
bool seccomp_listener_is_valid(const struct seccomp_listener *listener, uint64_t id);
/* Lets it go on. Nothing if it is dead. */
void seccomp_listener_continue(const struct seccomp_listener *listener, uint64_t id);

/* Kills the process `pid` that it has been looked up to be, if that is still the truth. */
void seccomp_listener_kill(const struct seccomp_listener *listener, uint64_t id, pid_t pid);
/* It fails with this negative errno. */
void seccomp_listener_refuse(const struct seccomp_listener *listener, uint64_t id, int error);

/* Is it the first program that a process executes after its fork? 1, and fills *info for the process; 0;
 * or a negative errno: nobody can tell. */
int seccomp_exec_is_first(const struct seccomp_exec *exec, struct process_info *info);

/* Will it be called one of the names (the last is NULL) then? false, too, where its memory cannot be
 * read (Yama). */
bool seccomp_exec_is_called(const struct seccomp_exec *exec, const char *const *names);

void seccomp_listener_add_lazy(struct seccomp_listener *listener, pid_t pid);
void seccomp_listener_remove_lazy(struct seccomp_listener *listener, pid_t pid);

/* In the keeper (struct gate_kind): answers whatever waits. Returns the descriptor; -1: nothing runs
 * under the filter any more, or there is none. */
int seccomp_listener_keep(void *shared);
