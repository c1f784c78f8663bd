/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes by pidfd: when they end, and how. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>

#include "libjobserver/process.h"
#include "libjobserver/process/private.h"

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

int
process_open_pidfd(pid_t pid)
{
    if (pid <= 0)
        return -ESRCH;
    int pidfd = pidfd_open(pid, 0);
    if (pidfd >= 0)
        return pidfd;
    /* A thread that leads no process: EINVAL, and ENOENT since Linux 6.9. */
    return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
}

int
process_signal(pid_t pid, int pidfd, int signal_number)
{
    if (pidfd >= 0 && pidfd_send_signal(pidfd, signal_number, NULL, 0) == 0)
        return 0;
    if (pidfd >= 0 && errno != ENOSYS && errno != EPERM)
        return -errno;
    return kill(pid, signal_number) < 0 ? -errno : 0;
}

bool
process_pidfd_has_exited(int pidfd)
{
    struct pollfd polled = {.fd = pidfd, .events = POLLIN};

    return poll(&polled, 1, 0) == 1;
}

/* --- how it has ended --- */

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
    char text[PROCESS_STAT_SIZE];

    if (process_read_file(pid, "stat", text, sizeof(text)) <= 0)
        return 0;
    /* The name may contain anything, parentheses too. */
    const char *state = strrchr(text, ')');
    const char *last = strrchr(text, ' ');
    if (!state || !last || last < state || state[1] != ' ' || (state[2] != 'Z' && state[2] != 'X'))
        return 0;
    *wait_status = atoi(last + 1);
    return 1;
}

int
process_end_status(pid_t pid, int pidfd, int *wait_status)
{
    /* A zombie shows it in /proc, a reaped process by its pidfd; it is reaped in between, perhaps. */
    int known = ask_pidfd(pidfd, wait_status);

    if (known == 1 || ask_proc(pid, wait_status) == 1)
        return 0;
    if (known == 0 && ask_pidfd(pidfd, wait_status) == 1)
        return 0;
    return known == 0 ? -EBUSY : -ENODATA;
}
