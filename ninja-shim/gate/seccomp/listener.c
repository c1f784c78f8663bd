/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The notifications of the filter: received, looked at, answered; by the keeper too. */
#include "ninja-shim/gate/seccomp/listener.h"

#include <errno.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "ninja-shim/gate/kind.h"

_Static_assert(sizeof(struct seccomp_listener) <= GATE_KIND_SHARED_ROOM, "there is room for it");

struct seccomp_listener *
seccomp_listener_open(void *shared, const char *const *names, int fd)
{
    struct seccomp_listener *listener = shared;

    memset(listener, 0, sizeof(*listener));
    listener->names = names;
    listener->fd = fd;
    return listener;
}

void
seccomp_listener_close(struct seccomp_listener *listener)
{
    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
}

/* --- notifications --- */

/* execveat(2) has one argument more, in front. */
static struct seccomp_exec
exec_of(const struct seccomp_notif *request)
{
    int execveat =
        seccomp_syscall_resolve_name_arch(request->data.arch, "execveat") == request->data.nr;

    return (struct seccomp_exec){.id = request->id,
                                 .tid = (pid_t)request->pid,
                                 .path_address = request->data.args[execveat]};
}

/* The kernel wants zeros where it writes. It knows the size of its structure, which may have grown
 * since ours: the room beyond is for that. */
int
seccomp_listener_receive(struct seccomp_listener *listener, struct seccomp_exec *exec)
{
    const struct seccomp_notif *request = (const void *)listener->request;

    memset(listener->request, 0, sizeof(listener->request));
    if (ioctl(listener->fd, SECCOMP_IOCTL_NOTIF_RECV, listener->request) < 0)
        return errno == ENOENT || errno == EINTR ? 0 : -errno;
    *exec = exec_of(request);
    return 1;
}

bool
seccomp_listener_is_valid(const struct seccomp_listener *listener, uint64_t id)
{
    return ioctl(listener->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static void
respond(const struct seccomp_listener *listener, struct seccomp_notif_resp response)
{
    union {
        struct seccomp_notif_resp response;
        unsigned char room[SECCOMP_RESPONSE_SIZE];
    } answer = {.room = {0}};

    answer.response = response;
    ioctl(listener->fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

void
seccomp_listener_continue(const struct seccomp_listener *listener, uint64_t id)
{
    respond(listener,
            (struct seccomp_notif_resp){.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE});
}

/* The pidfd is that of who has sent the notification if that is still valid. */
void
seccomp_listener_kill(const struct seccomp_listener *listener, uint64_t id, pid_t pid)
{
    int pidfd = process_open_pidfd(pid);

    if (pidfd >= 0 && seccomp_listener_is_valid(listener, id))
        pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    if (pidfd >= 0)
        close(pidfd);
}

void
seccomp_listener_refuse(const struct seccomp_listener *listener, uint64_t id, int error)
{
    respond(listener, (struct seccomp_notif_resp){.id = id, .error = error});
}

int
seccomp_exec_is_first(const struct seccomp_exec *exec, struct process_info *info)
{
    pid_t pid;
    int result = process_info(exec->tid, info);

    if (result == 0 && !info->has_executed && !process_has_thread(exec->tid, exec->tid)) {
        result = process_of_thread(exec->tid, &pid);
        if (result == 0)
            result = process_info(pid, info);
    }
    if (result < 0)
        return result == -ESRCH ? 0 : result; /* it has died */
    return !info->has_executed;
}

/* A page at a time: the next one may not be there. */
static bool
read_path(pid_t tid, uint64_t address, char (*path)[PATH_MAX])
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    for (size_t length = 0; length < PATH_MAX;) {
        size_t room = PATH_MAX - length, rest = page - (size_t)((address + length) % page);
        struct iovec local = {.iov_base = *path + length, .iov_len = rest < room ? rest : room};
        struct iovec remote = {.iov_base = (void *)(uintptr_t)(address + length),
                               .iov_len = local.iov_len};
        ssize_t got = process_vm_readv(tid, &local, 1, &remote, 1, 0);
        if (got <= 0)
            return false;
        if (memchr(local.iov_base, '\0', (size_t)got))
            return true;
        length += (size_t)got;
    }
    return false;
}

bool
seccomp_exec_is_called(const struct seccomp_exec *exec, const char *const *names)
{
    char path[PATH_MAX];

    if (!read_path(exec->tid, exec->path_address, &path))
        return false;
    const char *slash = strrchr(path, '/');
    return process_name_is_one_of(slash ? slash + 1 : path, names);
}

/* --- who is lazy --- */

static void
replace_lazy(struct seccomp_listener *listener, pid_t old, pid_t new)
{
    for (unsigned i = 0; i < SECCOMP_LAZY_MAX; i++) {
        if (listener->lazy[i] == old) {
            listener->lazy[i] = new;
            return;
        }
    }
}

void
seccomp_listener_add_lazy(struct seccomp_listener *listener, pid_t pid)
{
    replace_lazy(listener, 0, pid);
}

void
seccomp_listener_remove_lazy(struct seccomp_listener *listener, pid_t pid)
{
    replace_lazy(listener, pid, 0);
}

/* --- when the sidecar is dead --- */

static bool
is_lazy(const struct seccomp_listener *listener, pid_t pid)
{
    for (unsigned i = 0; i < SECCOMP_LAZY_MAX; i++)
        if (listener->lazy[i] == pid)
            return true;
    return false;
}

/* Of a lazy client, which is being killed: what it had forked already must not run. A process is
 * called as its parent until it executes something. */
static bool
is_job(const struct seccomp_listener *listener, const struct process_info *info)
{
    return is_lazy(listener, info->parent) || (process_is_called(info->pid, listener->names) &&
                                               !process_is_called(info->parent, listener->names));
}

static void
answer(const struct seccomp_listener *listener, const struct seccomp_exec *exec)
{
    struct process_info info;
    int first = seccomp_exec_is_first(exec, &info);

    if (first < 0)
        seccomp_listener_refuse(listener, exec->id, first);
    else if (first && is_job(listener, &info))
        seccomp_listener_kill(listener, exec->id, info.pid);
    else
        seccomp_listener_continue(listener, exec->id);
}

int
seccomp_listener_keep(void *shared)
{
    struct seccomp_listener *listener = shared;
    const struct seccomp_notif *request = (const void *)listener->request;
    struct pollfd polled = {.fd = listener->fd, .events = POLLIN};
    struct seccomp_exec exec = exec_of(request);

    if (listener->fd < 0)
        return -1;
    /* What the sidecar had received last. If it had answered, that is no notification any more. */
    if (exec.id)
        answer(listener, &exec);
    while (poll(&polled, 1, 0) == 1 && (polled.revents & POLLIN))
        if (seccomp_listener_receive(listener, &exec) == 1)
            answer(listener, &exec);
    return polled.revents & (POLLHUP | POLLERR | POLLNVAL) ? -1 : listener->fd;
}
