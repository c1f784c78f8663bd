/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What sidecars say to each other. Only one listener can exist in a tree of processes. So a shim below
 * another one registers at the sidecar that has it (outer.h), which then stops the jobs of both and
 * tells the inner sidecar of each (peers.h).
 *
 * The socket has an abstract name, made of the outer shim's pid and start time: an inner one finds it
 * by its ancestors, whatever has become of its environment. Each side must be of the same user as the
 * other, or root's; root's sidecar serves whoever owns the process that is to be stopped.
 */

#include <sys/socket.h>
#include <sys/un.h>

#include "ninja-shim/gate/seccomp/private.h"

enum seccomp_message_type {
    SECCOMP_MESSAGE_REGISTER,   /* pid: the inner shim's; names */
    SECCOMP_MESSAGE_REGISTERED, /* error */
    SECCOMP_MESSAGE_STOPPED,    /* pid, lazy: its parent */
    SECCOMP_MESSAGE_NOTED,      /* pid */
};

struct seccomp_message {
    enum seccomp_message_type type;
    int error;
    pid_t pid, lazy;
    bool is_root_lazy;
    char names[SECCOMP_NAMES_MAX][PROCESS_NAME_SIZE];
};

/* The name of the socket of the sidecar that has this root; returns its length. */
socklen_t seccomp_link_name(struct sockaddr_un *name, const struct process_info *root);
/* Of the other end. 0 or a negative errno. */
int seccomp_link_credentials(int fd, struct ucred *credentials);
bool seccomp_link_is_trusted(uid_t uid);

/* Tells a peer of a process that has been stopped for it. 0 or a negative errno (-EAGAIN: later). */
int seccomp_link_announce(const struct seccomp_peer *peer, pid_t pid, pid_t lazy);
