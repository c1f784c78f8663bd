/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stuck UID GID WAY FILE: for root. As that user, stays in a system call on the file of a server, by a page of its own
 * memory that never comes, with whatever lock the kernel holds meanwhile. Prints "stuck" as soon as it is, and lasts
 * until it is killed.
 *
 *     write, append    a byte from there
 *     read             a byte to there
 *     list             the names in the directory of the file, to there
 *     truncate         the same as `write`; then another process, which would change the file
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE_SIZE 4096

struct trap {
    int fd; /* readable when somebody is in it */
    void *page;
};

struct attempt {
    const char *way, *path;
    void *page;
};

static struct trap
set_trap(void)
{
    struct trap trap = {.fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)};
    struct uffdio_api api = {.api = UFFD_API};

    if (trap.fd < 0)
        err(77, "userfaultfd");
    trap.page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register range = {.range = {(uintptr_t)trap.page, PAGE_SIZE},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (trap.page == MAP_FAILED || ioctl(trap.fd, UFFDIO_API, &api) < 0 ||
        ioctl(trap.fd, UFFDIO_REGISTER, &range) < 0)
        err(1, "userfaultfd");
    return trap;
}

static void
become(const char *uid, const char *gid)
{
    if (setgroups(0, NULL) < 0 || setgid((gid_t)atoi(gid)) < 0 || setuid((uid_t)atoi(uid)) < 0)
        err(1, "become %s", uid);
}

static int
open_file(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);

    if (fd < 0)
        err(1, "open %s", path);
    return fd;
}

/* A thread: a process of its own would have pages of its own. */
static void *
enter(void *argument)
{
    const struct attempt *attempt = argument;
    const char *way = attempt->way, *path = attempt->path;
    char directory[PATH_MAX];

    snprintf(directory, sizeof(directory), "%s", path);
    if (strcmp(way, "list") == 0)
        syscall(SYS_getdents64, open_file(dirname(directory), O_RDONLY | O_DIRECTORY),
                attempt->page, PAGE_SIZE);
    else if (strcmp(way, "read") == 0)
        (void)!read(open_file(path, O_RDWR), attempt->page, 1);
    else
        (void)!write(open_file(path, strcmp(way, "append") == 0 ? O_RDWR | O_APPEND : O_RDWR),
                     attempt->page, 1);
    err(1, "%s %s: it has ended", way, path);
}

static void
change_by_another(const char *path)
{
    if (fork() != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (truncate(path, 0) < 0)
        err(1, "truncate %s", path);
    _exit(0);
}

int
main(int argc, char **argv)
{
    if (argc != 5)
        errx(2, "usage: stuck UID GID WAY FILE");
    struct trap trap = set_trap();
    struct attempt attempt = {.way = argv[3], .path = argv[4], .page = trap.page};
    struct pollfd event = {.fd = trap.fd, .events = POLLIN};
    pthread_t thread;

    become(argv[1], argv[2]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (pthread_create(&thread, NULL, enter, &attempt) != 0 || poll(&event, 1, 10000) != 1)
        errx(1, "nobody is stuck");
    if (strcmp(attempt.way, "truncate") == 0)
        change_by_another(attempt.path);
    puts("stuck");
    fflush(stdout);
    pause();
}
