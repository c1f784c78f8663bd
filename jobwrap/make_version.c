/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <paths.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "make_version.h"

#define ANSWER_TIMEOUT_MS 3000

bool
make_version_is_old(const char *text)
{
    unsigned major, minor = 0;

    return sscanf(text, "GNU Make %u.%u", &major, &minor) >= 1 &&
           (major < 4 || (major == 4 && minor < 4));
}

/* stdout goes to `output`. A make 4.3 would stop at the fifo: that MAKEFLAGS may name already. */
static _Noreturn void
become_make(const char *path, int output)
{
    char *arguments[] = {(char[]){"make"}, (char[]){"--version"}, NULL};
    int null = open(_PATH_DEVNULL, O_RDWR);

    dup2(null, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    unsetenv("MAKEFLAGS");
    execv(path, arguments);
    _exit(127);
}

static int64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* The beginning is enough: the version stands in the first line. */
static void
read_answer(int fd, char *answer, size_t size)
{
    int64_t deadline = now_ms() + ANSWER_TIMEOUT_MS;
    size_t length = 0;

    while (length < size - 1) {
        struct pollfd output = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - now_ms();
        if (left <= 0 || poll(&output, 1, (int)left) <= 0)
            break;
        ssize_t got = read(fd, answer + length, size - 1 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    answer[length] = '\0';
}

static bool
is_old(const char *path)
{
    char answer[256];
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    pid_t pid = fork();
    if (pid == 0)
        become_make(path, ends[1]);
    close(ends[1]);
    if (pid > 0) {
        read_answer(ends[0], answer, sizeof(answer));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    close(ends[0]);
    return pid > 0 && make_version_is_old(answer);
}

/* The first make on PATH, as execvp(3) would find it. */
static bool
find_on_path(char *found, size_t size)
{
    const char *path = getenv("PATH");

    if (!path)
        path = _PATH_DEFPATH;
    for (;;) {
        int length = (int)strcspn(path, ":");
        int written = snprintf(found, size, "%.*s%smake", length, path, length ? "/" : "");
        if (written > 0 && (size_t)written < size && access(found, X_OK) == 0)
            return true;
        if (path[length] == '\0')
            return false;
        path += length + 1;
    }
}

bool
make_version_wants_pipe(void)
{
    char first[PATH_MAX];
    const char *makes[] = {first, "/usr/bin/make", "/usr/bin/gmake"};
    struct stat asked[3];
    size_t n_asked = 0;

    for (size_t i = find_on_path(first, sizeof(first)) ? 0 : 1; i < 3; i++) {
        struct stat *status = &asked[n_asked];
        bool known = false;

        if (stat(makes[i], status) < 0 || !S_ISREG(status->st_mode))
            continue;
        for (size_t k = 0; k < n_asked; k++)
            known |= asked[k].st_dev == status->st_dev && asked[k].st_ino == status->st_ino;
        if (known)
            continue;
        n_asked++;
        if (is_old(makes[i]))
            return true;
    }
    return false;
}
