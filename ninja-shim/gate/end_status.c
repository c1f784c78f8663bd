/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ninja-shim/gate/end_status.h"

/* The first version of struct pidfd_info, PIDFD_GET_INFO and PIDFD_INFO_EXIT of <linux/pidfd.h>, which
 * older headers lack. */
struct pidfd_info_v0 {
    uint64_t mask, cgroupid;
    uint32_t pid, tgid, ppid;
    uint32_t uids_and_gids[8];
    int32_t exit_code;
};
#define GET_INFO _IOWR(0xFF, 11, struct pidfd_info_v0)
#define INFO_EXIT (UINT64_C(1) << 3)

/* 1; 0 while it is not reaped; -ENODATA: this kernel does not know. */
static int
ask_pidfd(int pidfd, int *wait_status)
{
    struct pidfd_info_v0 info = {.mask = INFO_EXIT};

    if (ioctl(pidfd, GET_INFO, &info) < 0)
        return errno == ESRCH ? 0 : -ENODATA;
    if (!(info.mask & INFO_EXIT))
        return 0;
    *wait_status = info.exit_code;
    return 1;
}

/* exit_code is the last field of /proc/PID/stat (proc(5)); 1, or 0 if there is no zombie. */
static int
ask_proc(pid_t pid, int *wait_status)
{
    char path[sizeof("/proc/2147483647/stat")], text[1024];

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    /* The name may contain anything, parentheses too. */
    const char *state = strrchr(text, ')');
    const char *last = strrchr(text, ' ');
    if (!state || !last || last < state || state[1] != ' ' || (state[2] != 'Z' && state[2] != 'X'))
        return 0;
    *wait_status = atoi(last + 1);
    return 1;
}

int
end_status_of(pid_t pid, int pidfd, int *wait_status)
{
    /* A zombie shows it in /proc, a reaped process by its pidfd; it is reaped in between, perhaps. */
    int known = ask_pidfd(pidfd, wait_status);

    if (known == 1 || ask_proc(pid, wait_status) == 1)
        return 0;
    if (known == 0 && ask_pidfd(pidfd, wait_status) == 1)
        return 0;
    return known == 0 ? -EBUSY : -ENODATA;
}
