/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/start_steved.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/environment.h"
#include "libjobserver/process.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/cpus.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"

#define IDLE_TIMEOUT_S "60"
/* It takes some 10 ms. Who has waited for so long goes on without. */
#define PATIENCE_MS 5000

/* --- can it be? --- */

/* As the specification of XDG_RUNTIME_DIR wants it: else what we start there others could replace, or it would
 * serve a user whom we have only become (su, sudo). */
static const char *
judge_directory(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    struct stat status;

    if (!runtime || runtime[0] != '/')
        return "XDG_RUNTIME_DIR is not set";
    if (stat(runtime, &status) < 0 || !S_ISDIR(status.st_mode))
        return "XDG_RUNTIME_DIR is not a directory";
    if (status.st_uid != geteuid() || status.st_mode & (S_IWGRP | S_IWOTH))
        return "XDG_RUNTIME_DIR does not belong to this user alone";
    return NULL;
}

static bool
has_fusermount(void)
{
    char *fusermount = program_find("fusermount3");

    free(fusermount);
    return fusermount != NULL;
}

/* NULL, or why none can be started. What costs least comes first. */
static const char *
judge(void)
{
    if (geteuid() == 0)
        return "root should use the service instead";
    if (access("/dev/fuse", R_OK | W_OK) < 0)
        return "/dev/fuse cannot be used";
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
        return "fusermount3 would get no privileges";
    if (!has_fusermount())
        return "there is no fusermount3";
    if (cpus_are_reduced())
        return "it would serve all builds, but this one may use only some CPUs";
    return judge_directory();
}

/* Beside us, as it is installed. To be freed; NULL: there is none. */
static char *
find_steved(void)
{
    char *directory = program_directory(), *path = NULL;

    if (directory && asprintf(&path, "%s/steved", directory) < 0)
        path = NULL;
    free(directory);
    if (path && access(path, X_OK) == 0)
        return path;
    free(path);
    return program_find("steved");
}

/* --- the start --- */

/* Nothing of the build's: it outlives that. */
static _Noreturn void
become_steved(const char *program, char *mount, bool keeps_stderr)
{
    char name[] = "steved", daemon[] = "--daemon", timeout[] = "--idle-timeout=" IDLE_TIMEOUT_S,
         option[] = "--mount";
    char *const arguments[] = {name, daemon, timeout, option, mount, NULL};
    sigset_t none;

    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    unsetenv("NOTIFY_SOCKET");
    descriptors_become_null(keeps_stderr);
    if (chdir("/") == 0)
        execv(program, arguments);
    _exit(EXIT_NOT_FOUND);
}

/* false: it has not ended in time. */
static bool
has_ended(int pidfd)
{
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    const int64_t deadline_ns = clock_now_ns() + PATIENCE_MS * NS_PER_MS;
    int ready;

    do {
        int64_t left_ms = (deadline_ns - clock_now_ns()) / NS_PER_MS;
        ready = poll(&ended, 1, left_ms > 0 ? (int)left_ms : 0);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

/* NULL, or why it is of no use to look for a server. That one serves already is no such reason. */
static const char *
wait_until_it_serves(pid_t pid)
{
    int pidfd = process_open_pidfd(pid), status = 0;
    const char *why_not = NULL;

    if (pidfd < 0 || !has_ended(pidfd)) {
        kill(pid, SIGKILL);
        why_not = pidfd < 0 ? "it could not notice a client's death" : "it was not ready in time";
    }
    /* Who cannot be killed yet is not waited for. */
    if (waitpid(pid, &status, why_not ? WNOHANG : 0) == pid && WIFEXITED(status) &&
        WEXITSTATUS(status) == EXIT_NOT_FOUND)
        why_not = "it cannot be executed";
    if (pidfd >= 0)
        close(pidfd);
    return why_not;
}

static const char *
run(bool is_verbose)
{
    const char *why_not = "none was found";
    char *program = find_steved(), *mount = environment_user_mount();
    pid_t pid;

    if (program && mount) {
        pid = fork();
        if (pid == 0)
            become_steved(program, mount, is_verbose);
        why_not = pid < 0 ? "out of processes" : wait_until_it_serves(pid);
    }
    free(program);
    free(mount);
    return why_not;
}

bool
start_steved(bool is_verbose)
{
    const char *why_not = judge();

    if (!why_not)
        why_not = run(is_verbose);
    if (why_not && is_verbose)
        message("not starting a steved: %s", why_not);
    return !why_not;
}
