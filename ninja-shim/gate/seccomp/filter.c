/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The filter that makes each execve(2) wait, and how it is put around this process. */
#include "ninja-shim/gate/seccomp/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ninja-shim/gate/seccomp/listener.h"

#define ROOM 512 /* instructions: what a pipe takes at once, whatever its size */

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* What runs beside each other on one kernel, with numbers of their own for execve; 0: none. */
static const uint32_t families[][3] = {
    {SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32},
    {SCMP_ARCH_AARCH64, SCMP_ARCH_ARM},
    {SCMP_ARCH_MIPS64, SCMP_ARCH_MIPS, SCMP_ARCH_MIPS64N32},
    {SCMP_ARCH_MIPSEL64, SCMP_ARCH_MIPSEL, SCMP_ARCH_MIPSEL64N32},
    {SCMP_ARCH_PPC64, SCMP_ARCH_PPC},
    {SCMP_ARCH_S390X, SCMP_ARCH_S390},
    {SCMP_ARCH_PARISC64, SCMP_ARCH_PARISC},
};

static int
add_family(scmp_filter_ctx filter, const uint32_t *family, size_t size)
{
    for (size_t i = 0; i < size && family[i] != 0; i++) {
        int result = seccomp_arch_add(filter, family[i]);
        if (result < 0 && result != -EEXIST)
            return result;
    }
    return 0;
}

static int
add_architectures(scmp_filter_ctx filter)
{
    const size_t size = sizeof(families[0]) / sizeof(families[0][0]);
    uint32_t native = seccomp_arch_native();

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        for (size_t j = 0; j < size; j++)
            if (families[i][j] == native)
                return add_family(filter, families[i], size);
    return 0;
}

static int
add_rules(scmp_filter_ctx filter)
{
    int result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);

    if (result == 0)
        result = add_architectures(filter);
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(execve), 0);
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(execveat), 0);
    return result;
}

/* From 5.19 on a process whose notification has been received waits on through all signals but those
 * that kill; before, each one would make it begin its execve anew. Not every libseccomp can ask for
 * that, so we load what it has made. */
static int
load(const struct sock_fprog *program)
{
    const unsigned long flags =
        SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);

    /* Root's jobs may go on to use sudo. */
    if (listener < 0 && errno == EACCES) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
            return -errno;
        listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
    }
    return listener < 0 ? -errno : (int)listener;
}

/* A pipe, since no file may have a length where `ulimit -f 0` is set; ours has a hundred instructions. */
static int
load_through_pipe(scmp_filter_ctx filter)
{
    struct sock_filter code[ROOM];
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    int result = seccomp_export_bpf(filter, ends[1]);
    ssize_t size = result < 0 ? result : read(ends[0], code, sizeof(code));
    if (size < 0 && result == 0)
        size = -errno;
    close(ends[0]);
    close(ends[1]);
    if (size < 0)
        return (int)size;
    if ((size_t)size == sizeof(code))
        return -E2BIG;
    const struct sock_fprog program = {.len = (unsigned short)((size_t)size / sizeof(code[0])),
                                       .filter = code};
    return load(&program);
}

/* Asked first, since libseccomp does not tell why it cannot be done. */
static int
check_support(void)
{
    struct seccomp_notif_sizes sizes;

    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
        return -errno;
    return sizes.seccomp_notif <= SECCOMP_REQUEST_SIZE &&
                   sizes.seccomp_notif_resp <= SECCOMP_RESPONSE_SIZE
               ? 0
               : -E2BIG;
}

int
seccomp_filter_install(void)
{
    int supported = check_support();

    if (supported < 0)
        return supported;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        return -ENOMEM;
    int result = add_rules(filter);
    if (result == 0)
        result = load_through_pipe(filter);
    seccomp_release(filter);
    return result;
}
