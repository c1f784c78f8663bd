/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/lockdown.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/net.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libjobserver/program/message.h"

/* Who has changed cannot be traced by others who are that user; but it can after an exec. */
static int
become(const struct identity *identity)
{
    if (!identity->changes)
        return 0;
    if (geteuid() != 0)
        return prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0;
    if (setgroups(0, NULL) < 0 || setresgid(identity->gid, identity->gid, identity->gid) < 0 ||
        setresuid(identity->uid, identity->uid, identity->uid) < 0) {
        message_errno(errno, "become user %u", (unsigned)identity->uid);
        return -errno;
    }
    return 0;
}

struct capabilities {
    struct __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3];
};

static int
get_capabilities(struct capabilities *set)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

    return syscall(SYS_capget, &header, set->words) < 0 ? -errno : 0;
}

static int
set_capabilities(const struct capabilities *set)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

    return syscall(SYS_capset, &header, set->words) < 0 ? -errno : 0;
}

int
lockdown_drop_capabilities(void)
{
    const struct capabilities none = {0};

    return set_capabilities(&none);
}

/* Root without capabilities may still read what /proc shows to everybody, which is all we need. */
static int
drop_privileges(void)
{
    int error = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;

    if (error == 0)
        error = lockdown_drop_capabilities();
    if (error < 0)
        message_errno(error, "drop privileges");
    return error;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

#ifdef HAS_SANITIZER

/* At exit the leak checker clones itself, traces us and reads our memory: a build for tests has no
 * filter. */
static int
filter_system_calls(void)
{
    return 0;
}

#else

/* Served as they come. libseccomp leaves out those that an architecture does not have. */
static const int allowed[] = {
    /* the kernel's requests and answers, /proc, the log */
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev),
    SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(lseek),
    SCMP_SYS(getdents64), SCMP_SYS(fcntl), SCMP_SYS(dup2), SCMP_SYS(dup3),
    /* the event loop */
    SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(restart_syscall),
    /* who is there */
    SCMP_SYS(pidfd_open), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid),
    /* memory, and the end */
    SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect),
    SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(getrandom), SCMP_SYS(exit), SCMP_SYS(exit_group),
    /* what the C library calls for one of these where it has 32 bits, or 64 in its times only */
    SCMP_SYS(fstat64), SCMP_SYS(fstatat64), SCMP_SYS(_llseek), SCMP_SYS(fcntl64),
    SCMP_SYS(ppoll_time64), SCMP_SYS(clock_gettime64), SCMP_SYS(time), SCMP_SYS(sigreturn),
    SCMP_SYS(getuid32), SCMP_SYS(geteuid32), SCMP_SYS(ugetrlimit), SCMP_SYS(mmap2),
    SCMP_SYS(futex_time64),
    /* for sendto; syslog's socket is connected, and again when the log has been started anew */
    SCMP_SYS(send), SCMP_SYS(connect),
    /* a message's signals are taken away */
    SCMP_SYS(rt_sigtimedwait), SCMP_SYS(rt_sigtimedwait_time64)};

/* Allowed if one argument has this value under the mask. */
static const struct restriction {
    int system_call;
    unsigned argument;
    scmp_datum_t mask, value;
} restricted[] = {
    /* for reading */
    {SCMP_SYS(openat), 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
    {SCMP_SYS(open), 1, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
    /* signal 0: is it there? */
    {SCMP_SYS(pidfd_send_signal), 1, ~UINT64_C(0), 0},
    {SCMP_SYS(kill), 1, ~UINT64_C(0), 0},
    {SCMP_SYS(tgkill), 2, ~UINT64_C(0), 0},
    /* how many descriptors there may be: no new limit */
    {SCMP_SYS(prlimit64), 2, ~UINT64_C(0), 0},
    /* syslog's socket is connected: no address */
    {SCMP_SYS(sendto), 4, ~UINT64_C(0), 0},
};

static int
allow_if(scmp_filter_ctx filter, const struct restriction *restriction)
{
    const struct scmp_arg_cmp comparison = {.arg = restriction->argument,
                                            .op = SCMP_CMP_MASKED_EQ,
                                            .datum_a = restriction->mask,
                                            .datum_b = restriction->value};

    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, restriction->system_call, 1, &comparison);
}

/* Where socketcall(2) is the way to sendto, it has the arguments in memory, but libseccomp would look for
 * them in the registers. What is refused first, it does not allow later. */
static int
refuse_sendto_in_memory(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp sends_to = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = SYS_SENDTO};

    return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socketcall), 1,
                                  &sends_to);
}

static int
add_rules(scmp_filter_ctx filter)
{
    int error = refuse_sendto_in_memory(filter);

    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && error == 0; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; i < sizeof(restricted) / sizeof(restricted[0]) && error == 0; i++)
        error = allow_if(filter, &restricted[i]);
    /* abort() may end us. */
    const struct restriction self = {SCMP_SYS(tgkill), 0, ~UINT64_C(0), (scmp_datum_t)getpid()};
    return error ? error : allow_if(filter, &self);
}

static int
filter_system_calls(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));

    if (!filter) {
        message("filter system calls: out of memory");
        return -ENOMEM;
    }
    /* A binary tree: each request asks whether its process is there. Without, it is only slower. */
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    int error = add_rules(filter);
    if (error == 0)
        error = seccomp_load(filter);
    seccomp_release(filter);
    /* A kernel may be built without seccomp (User Mode Linux); the rest still holds. */
    if (error == -EINVAL || error == -ENOSYS || error == -EOPNOTSUPP) {
        message("this kernel cannot filter system calls: serving without a filter");
        return 0;
    }
    if (error < 0)
        message_errno(-error, "filter system calls");
    return error;
}

#endif

int
lockdown(const struct identity *identity)
{
    int error = become(identity);

    if (error == 0)
        error = drop_privileges();
    if (error == 0)
        error = filter_system_calls();
    return error;
}

/* --- the guardian, who has to execute servers: a filter would be theirs, too --- */

static int
keep_unmounting(bool unmounts)
{
    const uint32_t wanted = UINT32_C(1) << CAP_SYS_ADMIN | UINT32_C(1) << CAP_DAC_READ_SEARCH;
    struct capabilities set, kept = {0};
    int error = get_capabilities(&set);

    if (error < 0)
        return error;
    if (unmounts)
        kept.words[0].permitted = set.words[0].permitted & wanted;
    return set_capabilities(&kept);
}

/* Whose mount was made by fusermount3 needs that for its end, too, and it is a set-user-id program. */
int
lockdown_guardian(const struct identity *identity, bool unmounts)
{
    const bool needs_fusermount = unmounts && geteuid() != 0;
    int error = prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ? -errno : become(identity);

    if (error == 0)
        error = keep_unmounting(unmounts);
    if (error == 0 && !needs_fusermount && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        error = -errno;
    if (error < 0)
        message_errno(error, "drop the guardian's privileges");
    return error;
}

static void
put_in_effect(bool all)
{
    struct capabilities set;

    if (get_capabilities(&set) < 0)
        return;
    for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        set.words[i].effective = all ? set.words[i].permitted : 0;
    set_capabilities(&set);
}

void
lockdown_raise(void)
{
    put_in_effect(true);
}

void
lockdown_lower(void)
{
    put_in_effect(false);
}
