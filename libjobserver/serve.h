/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What servers of a pool answer in the structures of protocol.h: steved by ioctl, jobwrap by its socket. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libjobserver/classes/spec.h"
#include "libjobserver/memory/arbiter.h"
#include "libjobserver/pool/pool.h"
#include "libjobserver/protocol.h"

/* All but min_jobs and the limits on what one may hold, which are the server's, and what is about memory; `opening`: who asks. */
void serve_status(const struct pool *pool, const struct pool_opening *opening,
                  struct steved_status *answer);
/* In: its cursor. may_look: processes are looked at for their names, which takes time. 0, or -EINVAL: a
 * reserved member is not 0. */
int serve_clients(const struct pool *pool, bool may_look, struct steved_clients *page);
/* STEVED_EVENT_CAME: its name; may_look: as above. */
void serve_name_client(struct steved_event *event, bool may_look);
/* The weight of who asks. 0, -EINVAL, -EPERM, -EBUSY as in protocol.h; `is_owner`: is it root, or the
 * server's own user? */
int serve_set_weight(struct pool *pool, struct pool_opening *opening,
                     const struct steved_weight *weight, bool is_owner, int64_t now_ns);
/* Who asks about an account. */
struct serve_asker {
    uid_t uid;
    bool is_owner; /* root, or the server's own user */
};
/* 0, -EINVAL, -EPERM, -ENOENT as in protocol.h. */
int serve_account(struct pool *pool, const struct memory_arbiter *arbiter, struct serve_asker asker,
                  struct steved_account *account, int64_t now_ns);
/* The server that this one has its tokens from, as an arbiter of memory. */
struct serve_above {
    /* 0, or a negative errno: it is none, or not any more, and is not asked again. NULL: it is none. */
    int (*ask)(void *argument, struct steved_memory *memory);
    void *argument;
};
/* What a party tells, and is answered; its account: whose jobs it tells of; `pid`: the process that it was opened by,
 * above which parties are looked for of whose jobs it is part; 0: it cannot be told; above: NULL: there is none. 0,
 * -EINVAL as in protocol.h; -ENOSPC: there are too many. */
int serve_memory(struct memory_arbiter *arbiter, struct memory_party *party,
                 const struct pool_account *account, pid_t pid, struct serve_above *above,
                 struct steved_memory *memory, int64_t now_ns);
/* It has gone. */
void serve_memory_left(struct memory_arbiter *arbiter, struct memory_party *party,
                       struct serve_above *above, int64_t now_ns);
/* 0, or -EINVAL: names settings that are not known, or a class's. */
int serve_check_settings(const struct steved_settings *settings);

/* --- classes --- */

/* A lease is the time at which the class loses its jobs; POOL_NO_DEADLINE: it has none. */

/* STEVED_IOC_SET: 0, -EINVAL or -ENOMEM; then nothing has changed. */
int serve_set_class(struct pool *pool, const struct steved_settings *settings,
                    int64_t *lease_ends_ns, int64_t now_ns);
/* Has it just ended? That has been said, then. */
bool serve_end_lease(struct pool *pool, const char *name, int64_t *lease_ends_ns, int64_t now_ns);
/* As STEVED_IOC_CLASSES tells of it. */
void serve_class(const struct pool *pool, const struct class_spec *spec, int64_t lease_ends_ns,
                 int64_t now_ns, struct steved_class *answer);
