/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <paths.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/program/clock.h"
#include "libjobserver/program/ending.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"
#include "steved/lockdown.h"
#include "steved/notices.h"

/* For a server to end after it was asked to. What it has recorded is safe without its help. */
#define PATIENCE_NS (3 * NS_PER_S)
/* From a server that does nothing but stand still: it answers thousands of requests a second, and another one costs
 * nothing but milliseconds. */
#define SILENCE_NS (20 * NS_PER_S)
#define SILENCE_LEAST_NS NS_PER_S
/* Who is so late to notice a silence has stood still as well: frozen with all others (a container that is paused), or
 * starved. */
#define LATE_NS NS_PER_S
/* No process can be made: how soon, and how often, that is tried again. */
#define FORK_PAUSE_NS (200 * NS_PER_MS)
#define FORKS_MAX 50u

/* --- a server --- */

static int
tell_where_to_notify(const struct guardian *guardian, int fd)
{
    char address[32], most[16], silence_us[24];

    snprintf(address, sizeof(address), NOTIFY_BY_FD "%d", fd);
    snprintf(most, sizeof(most), "%d", FD_STORE_MAX);
    snprintf(silence_us, sizeof(silence_us), "%" PRId64, guardian->silence_ns / NS_PER_US);
    if (setenv("NOTIFY_SOCKET", address, 1) < 0 || setenv("FDSTORE", most, 1) < 0 ||
        setenv("WATCHDOG_USEC", silence_us, 1) < 0 || unsetenv("WATCHDOG_PID") < 0)
        return -errno;
    return 0;
}

/* Signals to our process group or terminal are for us alone. */
static void
stand_apart(const struct guardian *guardian)
{
    setsid();
    sigprocmask(SIG_SETMASK, &guardian->old_mask, NULL);
}

/* By its path, so that an upgrade counts. The path may be closed to the user that we have become, or have nothing
 * at its end: then as it was. */
static _Noreturn void
become(const struct guardian *guardian, char **argv)
{
    int notices = guardian->notices[1];
    int error = fd_store_pass(&guardian->store, &notices);

    stand_apart(guardian);
    if (error == 0)
        error = tell_where_to_notify(guardian, notices);
    if (error == 0)
        error = lockdown_drop_capabilities();
    if (error == 0) {
        if (guardian->program)
            execv(guardian->program, argv);
        fexecve(guardian->program_fd, argv, environ);
        error = -errno;
    }
    message_errno(-error, "start another server");
    _exit(EXIT_NOT_EXECUTABLE);
}

static _Noreturn void
become_check(const struct guardian *guardian)
{
    static char check[] = "--check";
    size_t count = 0;

    while (guardian->argv[count])
        count++;
    char **argv = calloc(count + 2, sizeof(*argv));
    if (!argv)
        _exit(EXIT_FAILURE);
    memcpy(argv, guardian->argv, count * sizeof(*argv));
    argv[count] = check;
    become(guardian, argv);
}

/* The first one has as long as it takes until it is ready: file systems may be slow to mount. */
static void
expect_to_hear(struct guardian *guardian)
{
    bool is_expected = guardian->lives.has_served && guardian->silence_ns > 0;

    guardian->hangs_at_ns = is_expected ? clock_now_ns() + guardian->silence_ns : 0;
}

/* Its pid, or a negative errno. */
static pid_t
start_server(struct guardian *guardian)
{
    pid_t pid = fork();

    if (pid < 0)
        return -errno;
    if (pid > 0) {
        guardian->server = pid;
        guardian->kill_at_ns = guardian->start_at_ns = 0;
        guardian->failed_forks = 0;
        expect_to_hear(guardian);
    }
    return pid;
}

static void
signal_server(const struct guardian *guardian, int number)
{
    if (guardian->server > 0)
        kill(guardian->server, number);
}

/* Whatever still comes from it is ours until it has been waited for. */
static void
ask_to_end(struct guardian *guardian)
{
    signal_server(guardian, SIGTERM);
    if (guardian->kill_at_ns == 0)
        guardian->kill_at_ns = clock_now_ns() + PATIENCE_NS;
}

static void
end_all(struct guardian *guardian)
{
    guardian->lives.is_ending = true;
    ask_to_end(guardian);
}

/* --- what it tells --- */

/* To the service manager the service is what was started, or what that has left behind. */
static void
pass_on(const struct guardian *guardian, const struct notice *notice)
{
    char state[NOTICE_SIZE + 32];

    if (guardian->daemon->is_daemon)
        snprintf(state, sizeof(state), "%s\nMAINPID=%d", notice->text, (int)getpid());
    else
        snprintf(state, sizeof(state), "%s", notice->text);
    notify_send(&guardian->manager, state);
}

static void
on_first_ready(struct guardian *guardian, const struct notice *notice)
{
    struct daemon_start *daemon = guardian->daemon;

    unmounter_see(&guardian->unmounter);
    if (daemon_prepare(daemon) < 0 ||
        lockdown_guardian(guardian->identity, guardian->unmounter.path) < 0) {
        end_all(guardian);
        return;
    }
    daemon_ready(daemon);
    pass_on(guardian, notice);
}

static void
on_unused(struct guardian *guardian)
{
    lockdown_raise();
    unmounter_try(&guardian->unmounter);
    lockdown_lower();
}

static void
on_notice(struct guardian *guardian, const struct notice *notice)
{
    if (notice->is_alive)
        notify_alive(&guardian->manager);
    if (notice->is_unused)
        on_unused(guardian);
    if (notice->removes)
        fd_store_drop(&guardian->store, notice->name);
    if (notice->fd >= 0) {
        unmounter_see(&guardian->unmounter);
        if (!fd_store_put(&guardian->store, notice->name, notice->fd))
            message("keep '%s': there are too many", notice->name);
    }
    if (notice->is_ready && !guardian->lives.is_ending) {
        if (!guardian->lives.has_served)
            on_first_ready(guardian, notice);
        lives_ready(&guardian->lives);
    }
    expect_to_hear(guardian);
}

static void
receive_notices(struct guardian *guardian)
{
    struct notice notice;

    while (notices_receive(guardian->notices[0], &notice))
        on_notice(guardian, &notice);
}

/* --- its end --- */

static void
say_end(const struct guardian *guardian, int status)
{
    if (WIFSIGNALED(status))
        message("the server was killed by signal %d (%s)", WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != EXIT_SUCCESS)
        message("the server has ended with status %d", WEXITSTATUS(status));
    if (lives_are_over(&guardian->lives))
        message("%u servers in a row died before they were ready: no more are started",
                LIVES_DEATHS_MAX);
}

/* A signal to end may come before it can be caught. */
static bool
is_clean(int status)
{
    return WIFSIGNALED(status) ? WTERMSIG(status) == SIGTERM : WEXITSTATUS(status) == EXIT_SUCCESS;
}

/* The clients are told first: their file is gone when nobody has it open any more. */
static _Noreturn void
end(struct guardian *guardian, int status)
{
    notify_send(&guardian->manager, "STOPPING=1");
    if (guardian->check > 0)
        kill(guardian->check, SIGKILL);
    fd_store_close(&guardian->store);
    lockdown_raise();
    int error = unmounter_clear(&guardian->unmounter);
    if (error < 0)
        message_errno(-error, "unmount %s (the next start will)", guardian->unmounter.path);
    notify_close(&guardian->manager);
    exit(error == 0 && is_clean(status) ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* For want of a process, which the next who ends leaves, it is tried again, while clients wait. */
static void
start_next(struct guardian *guardian)
{
    pid_t pid = start_server(guardian);

    if (pid == 0)
        become(guardian, guardian->argv);
    if (pid > 0)
        return;
    if (guardian->failed_forks++ == 0)
        message_errno(-pid, "start another server: fork");
    if (guardian->failed_forks >= FORKS_MAX)
        end(guardian, guardian->status);
    guardian->start_at_ns = clock_now_ns() + FORK_PAUSE_NS;
}

static void
start_later(struct guardian *guardian, int64_t pause_ns)
{
    message("%u servers have died within %d s: the next one is started in %.1f s",
            LIVES_CRASHES_MAX, (int)(LIVES_CRASHES_NS / NS_PER_S), (double)pause_ns / NS_PER_S);
    guardian->start_at_ns = clock_now_ns() + pause_ns;
}

/* Without what the last one has left there is nothing to go on with. */
static void
go_on(struct guardian *guardian, int status)
{
    int64_t pause_ns;
    bool goes_on = lives_go_on(&guardian->lives, status, clock_now_ns(), &pause_ns) &&
                   fd_store_has(&guardian->store, FD_NAME_DEVICE) &&
                   fd_store_has(&guardian->store, FD_NAME_STATE);

    guardian->status = status;
    /* One that ends by itself before it serves has said why. */
    if (!guardian->lives.is_ending && (guardian->lives.has_served || WIFSIGNALED(status)))
        say_end(guardian, status);
    if (!goes_on)
        end(guardian, status);
    if (pause_ns > 0)
        start_later(guardian, pause_ns);
    else
        start_next(guardian);
}

/* While there is no server. */
static void
see_to_next(struct guardian *guardian)
{
    if (guardian->lives.is_ending)
        end(guardian, guardian->status);
    if (clock_now_ns() >= guardian->start_at_ns)
        start_next(guardian);
}

/* It may be another version, whose server could not go on. */
static void
on_checked(struct guardian *guardian, int status)
{
    guardian->check = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
        message("the installed program cannot take over: the server is not replaced");
    else if (guardian->server > 0 && lives_replace(&guardian->lives))
        ask_to_end(guardian);
}

/* Its last words come before its death. */
static void
on_child(struct guardian *guardian)
{
    int status;

    receive_notices(guardian);
    if (guardian->check > 0 && waitpid(guardian->check, &status, WNOHANG) > 0)
        on_checked(guardian, status);
    while (guardian->server > 0 && waitpid(guardian->server, &status, WNOHANG) > 0) {
        guardian->server = 0;
        go_on(guardian, status);
    }
}

/* --- events --- */

/* As to sshd(8): run the new version, as the next server does by itself. Who has a terminal has lost it. */
static void
on_hangup(struct guardian *guardian)
{
    if (guardian->has_terminal) {
        end_all(guardian);
        return;
    }
    if (guardian->check > 0 || guardian->server == 0 || !guardian->lives.has_served)
        return;
    pid_t pid = fork();
    if (pid == 0)
        become_check(guardian);
    if (pid < 0)
        message_errno(errno, "replace the server: fork");
    else
        guardian->check = pid;
}

static void
on_signal(struct guardian *guardian, uint32_t number)
{
    switch (number) {
    case SIGCHLD:
        on_child(guardian);
        break;
    case SIGHUP:
        on_hangup(guardian);
        break;
    case SIGUSR1:
        signal_server(guardian, SIGUSR1);
        break;
    default:
        end_all(guardian);
        break;
    }
}

static void
receive_signals(struct guardian *guardian)
{
    struct signalfd_siginfo signal;

    while (read(guardian->signals_fd, &signal, sizeof(signal)) == (ssize_t)sizeof(signal))
        on_signal(guardian, signal.ssi_signo);
}

/* When there is something to do that no event tells; 0: there is nothing. */
static int64_t
next_deadline_ns(const struct guardian *guardian)
{
    if (guardian->server == 0)
        return guardian->start_at_ns;
    if (guardian->kill_at_ns == 0 || guardian->hangs_at_ns == 0)
        return guardian->kill_at_ns + guardian->hangs_at_ns;
    return guardian->kill_at_ns < guardian->hangs_at_ns ? guardian->kill_at_ns
                                                        : guardian->hangs_at_ns;
}

/* -1: there is nothing to be done by itself. */
static int
timeout_ms(const struct guardian *guardian)
{
    const int64_t at_ns = next_deadline_ns(guardian);
    const int64_t left_ns = at_ns - clock_now_ns();

    if (at_ns == 0)
        return -1;
    return left_ns > 0 ? (int)(left_ns / NS_PER_MS) + 1 : 0;
}

/* The signal that ends a process that stands still, too. */
static void
kill_server(struct guardian *guardian)
{
    if (guardian->kill_at_ns && guardian->kill_at_ns <= clock_now_ns())
        message("the server does not end: killed");
    else
        message("the server has been silent for %" PRId64 " ms: killed",
                guardian->silence_ns / NS_PER_MS);
    signal_server(guardian, SIGKILL);
    guardian->kill_at_ns = guardian->hangs_at_ns = 0;
}

/* It has had no chance to be heard. */
static bool
have_been_away(const struct guardian *guardian)
{
    return guardian->kill_at_ns == 0 && clock_now_ns() - guardian->hangs_at_ns > LATE_NS;
}

static void
wait_for_events(struct guardian *guardian)
{
    struct pollfd events[] = {{.fd = guardian->notices[0], .events = POLLIN},
                              {.fd = guardian->signals_fd, .events = POLLIN}};

    if (poll(events, sizeof(events) / sizeof(events[0]), timeout_ms(guardian)) != 0 ||
        guardian->server == 0)
        return;
    if (have_been_away(guardian))
        expect_to_hear(guardian);
    else
        kill_server(guardian);
}

static _Noreturn void
guard(struct guardian *guardian)
{
    prctl(PR_SET_NAME, "steved-guardian");
    message_never_wait();
    for (;;) {
        wait_for_events(guardian);
        receive_notices(guardian);
        receive_signals(guardian);
        if (guardian->server == 0)
            see_to_next(guardian);
    }
}

/* --- start --- */

static bool
has_terminal(void)
{
    int fd = open(_PATH_TTY, O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* From here on a signal waits until it is looked for, even one that is ignored (nohup); and who ignores
 * SIGCHLD is not told how a child ended. */
static int
open_signals(struct guardian *guardian)
{
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGUSR1};
    sigset_t ours;

    guardian->has_terminal = has_terminal();
    sigemptyset(&ours);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaddset(&ours, numbers[i]);
    if (!ending_is_ignored(SIGHUP))
        sigaddset(&ours, SIGHUP);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &ours, &guardian->old_mask) < 0)
        return -errno;
    guardian->signals_fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    return guardian->signals_fd < 0 ? -errno : 0;
}

static int
become_first_server(struct guardian *guardian)
{
    stand_apart(guardian);
    close(guardian->signals_fd);
    close(guardian->notices[0]);
    if (guardian->program_fd >= 0)
        close(guardian->program_fd);
    free(guardian->program);
    notify_close(&guardian->manager);
    daemon_forget(guardian->daemon);
    int error = tell_where_to_notify(guardian, guardian->notices[1]);
    if (error < 0)
        message_errno(error, "start: tell the server where its guardian listens");
    return error;
}

/* Where it cannot be found again it is not started again either, which is said then. */
static void
find_program(struct guardian *guardian)
{
    int fd = program_open();

    guardian->program = program_path();
    guardian->program_fd = fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, FD_PASSED_END);
    if (fd >= 0)
        close(fd);
}

/* What the manager wants to hear in time, there must be time to do something about. */
static int64_t
choose_silence(const struct guardian *guardian)
{
    const int64_t half_ns = (int64_t)(guardian->watchdog_us / 2 * NS_PER_US);

    if (!guardian->is_watched)
        return SILENCE_NS;
    /* 0: it is not to be looked at. */
    return guardian->watchdog_us == 0 || half_ns > SILENCE_LEAST_NS ? half_ns : SILENCE_LEAST_NS;
}

int
guardian_start(struct guardian *guardian)
{
    int error = notices_open(guardian->notices);

    guardian->silence_ns = choose_silence(guardian);
    find_program(guardian);
    unmounter_prepare(&guardian->unmounter);
    if (error == 0)
        error = open_signals(guardian);
    if (error < 0) {
        message_errno(-error, "start: guard the server");
        return error;
    }
    pid_t pid = start_server(guardian);
    if (pid > 0) {
        /* It is the server's alone, and ends with it. */
        if (guardian->mount_lock >= 0)
            close(guardian->mount_lock);
        guard(guardian);
    }
    if (pid < 0)
        message_errno(-pid, "start a server: fork");
    return pid < 0 ? pid : become_first_server(guardian);
}
