/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The trees of shims, and the lazy clients in them. */
#include "ninja-shim/gate/seccomp/trees.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/process.h"

#define ANCESTORS_MAX 256

/* --- lazy clients --- */

static void
forget_lazy(struct seccomp_gate *of, struct seccomp_lazy *lazy)
{
    HASH_DEL(of->lazies, lazy);
    seccomp_listener_remove_lazy(of->listener, lazy->pid);
    if (lazy->holding >= 0)
        holdings_remove(of->gate->holdings, lazy->holding);
    if (lazy->end_event)
        event_free(lazy->end_event);
    close(lazy->pidfd);
    free(lazy);
}

/* Whoever ends by itself may leave jobs behind on purpose: a shell's 'job &'. */
static bool
has_left_jobs(const struct seccomp_gate *of, const struct seccomp_lazy *lazy)
{
    int status;

    return !of->gate->plan->is_ended_by_signals &&
           process_end_status(lazy->pid, lazy->pidfd, &status) == 0 && WIFEXITED(status);
}

static void
on_lazy_end(evutil_socket_t fd, short what, void *argument)
{
    struct seccomp_lazy *lazy = argument;
    struct seccomp_gate *of = lazy->of;
    pid_t pid = lazy->pid;
    bool ours = lazy->tree == LIST_FIRST(&of->trees);
    bool leaves_jobs = has_left_jobs(of, lazy);

    forget_lazy(of, lazy);
    if (!ours)
        return;
    if (!leaves_jobs)
        gate_lazy_ended(of->gate, pid);
    gate_serve(of->gate);
}

void
seccomp_tree_add_lazy(struct seccomp_gate *of, struct seccomp_tree *tree, pid_t pid)
{
    struct seccomp_lazy *lazy;

    HASH_FIND_INT(of->lazies, &pid, lazy);
    if (lazy && !process_pidfd_has_exited(lazy->pidfd))
        return;
    if (lazy)
        on_lazy_end(-1, 0, lazy);
    int pidfd = process_open_pidfd(pid);
    if (pidfd < 0)
        return;
    lazy = table_new(sizeof(*lazy));
    *lazy = (struct seccomp_lazy){.of = of, .tree = tree, .pid = pid, .pidfd = pidfd};
    lazy->holding = holdings_add(of->gate->holdings, HOLDING_LAZY_CLIENT, pidfd);
    lazy->end_event = event_new(of->gate->base, pidfd, EV_READ, on_lazy_end, lazy);
    if (lazy->end_event)
        event_add(lazy->end_event, NULL);
    seccomp_listener_add_lazy(of->listener, pid);
    HASH_ADD_INT(of->lazies, pid, lazy);
    tree->has_had_lazy = true;
}

static struct seccomp_lazy *
find_lazy(const struct seccomp_gate *of, pid_t pid)
{
    struct seccomp_lazy *lazy;

    HASH_FIND_INT(of->lazies, &pid, lazy);
    return lazy && !process_pidfd_has_exited(lazy->pidfd) ? lazy : NULL;
}

static bool
is_lazy_root(const struct seccomp_tree *tree, pid_t pid)
{
    return tree->is_root_lazy && tree->root == pid;
}

void
seccomp_tree_end(struct seccomp_gate *of, struct seccomp_tree *tree)
{
    struct seccomp_lazy *lazy, *next;

    HASH_ITER (hh, of->lazies, lazy, next) {
        if (lazy->tree == tree)
            pidfd_send_signal(lazy->pidfd, SIGKILL, NULL, 0);
    }
}

/* --- who is one --- */

static struct seccomp_tree *
find_tree(const struct seccomp_gate *of, pid_t root)
{
    struct seccomp_tree *tree;

    LIST_FOREACH (tree, &of->trees, in_gate) {
        if (tree->root == root && !process_pidfd_has_exited(tree->root_pidfd))
            return tree;
    }
    return NULL;
}

static bool
has_named_ones(const struct seccomp_gate *of)
{
    const struct seccomp_tree *tree;

    LIST_FOREACH (tree, &of->trees, in_gate) {
        if (!tree->is_root_lazy)
            return true;
    }
    return false;
}

/* The nearest tree above, unless there is a lazy client in between: then it is part of a job. */
static struct seccomp_tree *
tree_above(struct seccomp_gate *of, pid_t pid)
{
    struct process_info ancestors[ANCESTORS_MAX];
    struct seccomp_tree *tree = find_tree(of, pid);

    if (tree)
        return tree;
    size_t n = process_ancestors(pid, ancestors, ANCESTORS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (find_lazy(of, ancestors[i].pid))
            return NULL;
        tree = find_tree(of, ancestors[i].pid);
        if (tree)
            return tree;
    }
    return NULL;
}

struct seccomp_tree *
seccomp_tree_of_lazy(struct seccomp_gate *of, pid_t pid)
{
    struct seccomp_lazy *lazy = find_lazy(of, pid);

    if (lazy && (is_lazy_root(lazy->tree, pid) || process_is_called(pid, lazy->tree->name_list)))
        return lazy->tree;
    if (lazy)
        forget_lazy(of, lazy); /* it has executed something else */
    if (!has_named_ones(of))
        return NULL;
    struct seccomp_tree *tree = tree_above(of, pid);
    if (!tree || tree->is_root_lazy || !process_is_called(pid, tree->name_list))
        return NULL;
    seccomp_tree_add_lazy(of, tree, pid);
    return tree;
}

bool
seccomp_tree_has_living_lazy(const struct seccomp_gate *of, const struct seccomp_tree *tree)
{
    struct seccomp_lazy *lazy, *next;

    HASH_ITER (hh, of->lazies, lazy, next) {
        if (lazy->tree == tree && !process_pidfd_has_exited(lazy->pidfd))
            return true;
    }
    return false;
}

/* Another user has told us his names, and they are for his processes only: called as ours are, they would
 * end these. */
static bool
names_apply(const struct seccomp_tree *tree, pid_t pid)
{
    uid_t uid;

    return !tree->is_foreign || (process_owner(pid, &uid) == 0 && uid == tree->uid);
}

/* Until it executes something, a process is called as the one that forked it. */
bool
seccomp_tree_has_orphan(struct seccomp_gate *of, const struct process_info *info)
{
    const struct seccomp_tree *tree;
    struct seccomp_lazy *parent;

    HASH_FIND_INT(of->lazies, &info->parent, parent);
    if (parent && process_pidfd_has_exited(parent->pidfd))
        return true; /* just now */
    LIST_FOREACH (tree, &of->trees, in_gate) {
        if (tree->has_had_lazy && process_is_called(info->pid, tree->name_list) &&
            !process_is_called(info->parent, tree->name_list) && names_apply(tree, info->pid) &&
            !seccomp_tree_has_living_lazy(of, tree))
            return true;
    }
    return false;
}

/* --- trees --- */

struct seccomp_tree *
seccomp_tree_add(struct seccomp_gate *of, pid_t root, bool is_root_lazy, const char *const *names,
                 struct seccomp_peer *peer)
{
    int root_pidfd = process_open_pidfd(root);
    struct seccomp_tree *tree = root_pidfd < 0 ? NULL : calloc(1, sizeof(*tree));

    if (!tree) {
        if (root_pidfd >= 0)
            close(root_pidfd);
        return NULL;
    }
    *tree = (struct seccomp_tree){
        .root = root, .root_pidfd = root_pidfd, .is_root_lazy = is_root_lazy, .peer = peer};
    for (unsigned i = 0; peer && i < SECCOMP_NAMES_MAX && names[i]; i++) {
        strncpy(tree->copies[i], names[i], PROCESS_NAME_SIZE - 1);
        tree->copy_list[i] = tree->copies[i];
    }
    tree->name_list = peer ? tree->copy_list : names;
    if (LIST_EMPTY(&of->trees))
        LIST_INSERT_HEAD(&of->trees, tree, in_gate);
    else
        LIST_INSERT_AFTER(LIST_FIRST(&of->trees), tree, in_gate);
    if (is_root_lazy)
        seccomp_tree_add_lazy(of, tree, root);
    return tree;
}

void
seccomp_tree_remove(struct seccomp_gate *of, struct seccomp_tree *tree)
{
    struct seccomp_lazy *lazy, *next;

    HASH_ITER (hh, of->lazies, lazy, next) {
        if (lazy->tree == tree)
            forget_lazy(of, lazy);
    }
    LIST_REMOVE(tree, in_gate);
    close(tree->root_pidfd);
    free(tree);
}

void
seccomp_tree_remove_all(struct seccomp_gate *of)
{
    struct seccomp_tree *tree;

    while ((tree = LIST_FIRST(&of->trees)))
        seccomp_tree_remove(of, tree);
}

bool
seccomp_tree_has_ended_lazy(const struct gate *gate, pid_t lazy_pid)
{
    struct seccomp_lazy *lazy;

    HASH_FIND_INT(seccomp_gate_of(gate)->lazies, &lazy_pid, lazy);
    return lazy && process_pidfd_has_exited(lazy->pidfd);
}
