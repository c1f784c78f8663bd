/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What /proc says of processes: our own, other users', hidden ones, zombies, and names that deceive. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "libjobserver/process.h"
#include "tests/unit/child.h"

#define DEADLINE_MS 20000

/* What a child's function returns if this machine does not allow what it needs. */
#define NOT_ALLOWED 77

/* --- processes to look at --- */

/* A child that does nothing, after `prepare`, until it is killed. */
static pid_t
start_child(void (*prepare)(void))
{
    int said[2];
    char byte;

    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (prepare)
            prepare();
        if (write(said[1], "+", 1) != 1)
            _exit(1);
        alarm(DEADLINE_MS / 1000); /* if the test fails before it ends us */
        pause();
        _exit(1);
    }
    assert_int_equal(read(said[0], &byte, 1), 1);
    close(said[0]);
    close(said[1]);
    return pid;
}

static void
end_child(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* Ends it but does not reap it; end_child() does. */
static void
make_zombie(pid_t pid)
{
    siginfo_t info;

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static pid_t
pid_of_no_process(void)
{
    pid_t pid = start_child(NULL);

    end_child(pid);
    return pid;
}

/* Polls `condition` every millisecond until the deadline. */
static bool
comes_true(bool (*condition)(pid_t pid), pid_t pid)
{
    for (int ms = 0; ms < DEADLINE_MS; ms++) {
        if (condition(pid))
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

/* A thread that lives until it is told. */
struct worker {
    pthread_t thread;
    pid_t tid;
    int said[2], life[2];
};

static void *
work(void *argument)
{
    struct worker *worker = argument;
    char byte;

    worker->tid = gettid();
    if (write(worker->said[1], "+", 1) != 1 || read(worker->life[0], &byte, 1) != 0)
        abort();
    return NULL;
}

static void
start_worker(struct worker *worker)
{
    char byte;

    if (pipe2(worker->said, O_CLOEXEC) < 0 || pipe2(worker->life, O_CLOEXEC) < 0 ||
        pthread_create(&worker->thread, NULL, work, worker) != 0 ||
        read(worker->said[0], &byte, 1) != 1)
        abort();
}

static bool
is_no_thread_of_ours(pid_t tid)
{
    return !process_has_thread(getpid(), tid);
}

static bool
end_worker(struct worker *worker)
{
    close(worker->life[1]);
    pthread_join(worker->thread, NULL);
    close(worker->life[0]);
    close(worker->said[0]);
    close(worker->said[1]);
    return comes_true(is_no_thread_of_ours, worker->tid); /* join ends a moment before it */
}

/* --- what /proc tells --- */

static void
test_info_of_self(void **state)
{
    struct process_info info;

    assert_int_equal(process_info(getpid(), &info), 0);
    assert_int_equal(info.pid, getpid());
    assert_int_equal(info.parent, getppid());
    assert_int_equal(info.process_group, getpgrp());
    assert_int_equal(info.session, getsid(0));
    assert_int_equal(info.state, 'R');
    assert_int_equal(info.threads, 1);
    assert_true(info.start_ticks > 0);
    assert_true(info.has_executed);
    assert_true(process_info_is_alive(&info));

    pid_t child = start_child(NULL);
    struct process_info of_child;
    assert_int_equal(process_info(child, &of_child), 0);
    assert_int_equal(of_child.parent, getpid());
    assert_false(of_child.has_executed);
    assert_true(of_child.start_ticks >= info.start_ticks);
    end_child(child);
}

static void
name_like_stat(void)
{
    prctl(PR_SET_NAME, ") Z 1 1 1 (");
}

static void
name_like_status(void)
{
    prctl(PR_SET_NAME, "a\nTgid:\t1\n) (");
}

static void
name_of_parenthesis(void)
{
    prctl(PR_SET_NAME, ")");
}

static void
name_empty(void)
{
    prctl(PR_SET_NAME, "");
}

static void
test_names_that_deceive(void **state)
{
    void (*const names[])(void) = {name_like_stat, name_like_status, name_of_parenthesis,
                                   name_empty};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        pid_t child = start_child(names[i]);
        struct process_info info;
        pid_t pid = 0;
        assert_int_equal(process_info(child, &info), 0);
        assert_int_equal(info.pid, child);
        assert_int_equal(info.parent, getpid());
        assert_int_not_equal(info.state, 'Z');
        assert_int_equal(info.session, getsid(0));
        assert_int_equal(process_of_thread(child, &pid), 0);
        assert_int_equal(pid, child);
        end_child(child);
    }
}

static void
test_no_such_process(void **state)
{
    const pid_t pids[] = {0, -1, INT32_MIN, INT32_MAX, pid_of_no_process()};
    struct process_cache *cache = process_cache_create();

    for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
        struct process_info info = {.pid = 12345}, ancestor, *descendants = &info;
        pid_t pid = 12345;
        char command[10] = "unchanged";
        assert_int_equal(process_info(pids[i], &info), -ESRCH);
        assert_int_equal(info.pid, 12345);
        assert_int_equal(process_open_pidfd(pids[i]), -ESRCH);
        assert_int_equal(process_of_thread(pids[i], &pid), -ESRCH);
        assert_int_equal(process_cache_lookup(cache, pids[i], &pid), -ESRCH);
        assert_int_equal(pid, 12345);
        assert_false(process_has_thread(pids[i], pids[i]));
        assert_false(process_has_thread(getpid(), pids[i]));
        assert_int_equal(process_ancestors(pids[i], &ancestor, 1), 0);
        assert_int_equal(process_descendants(pids[i], &descendants), -ESRCH);
        assert_ptr_equal(descendants, &info);
        assert_int_equal(process_command(pids[i], command, sizeof(command)), -ESRCH);
        assert_string_equal(command, "unchanged");
        process_cache_forget(cache, pids[i]);
    }
    process_cache_destroy(cache);
}

static void
test_zombie(void **state)
{
    pid_t child = start_child(name_like_stat);
    int pidfd = process_open_pidfd(child);
    struct process_info info;
    char command[40];

    assert_true(pidfd >= 0);
    make_zombie(child);
    assert_int_equal(process_info(child, &info), 0);
    assert_int_equal(info.state, 'Z');
    assert_int_equal(info.threads, 1);
    assert_false(process_info_is_alive(&info));
    assert_true(process_pidfd_has_exited(pidfd));
    assert_int_equal(process_command(child, command, sizeof(command)), 0);
    assert_string_equal(command, "() Z 1 1 1 ()");
    end_child(child);
    assert_true(process_pidfd_has_exited(pidfd));
    close(pidfd);
}

static void
test_pidfd_is_readable_at_exit(void **state)
{
    pid_t child = start_child(NULL);
    struct pollfd polled = {.fd = process_open_pidfd(child), .events = POLLIN};

    assert_true(polled.fd >= 0);
    assert_true(fcntl(polled.fd, F_GETFD) & FD_CLOEXEC);
    assert_false(process_pidfd_has_exited(polled.fd));
    assert_int_equal(poll(&polled, 1, 0), 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(poll(&polled, 1, DEADLINE_MS), 1);
    end_child(child);
    assert_true(process_pidfd_has_exited(polled.fd));
    close(polled.fd);
}

/* --- names, owners, signals --- */

static void
name_that_is_cut(void)
{
    prctl(PR_SET_NAME, "a-name-of-15-ch");
}

static void
test_is_called(void **state)
{
    const char *const right[] = {"other", "a-name-of-15-characters-and-more", NULL};
    const char *const wrong[] = {"other", "a-name-of-15-c", "", NULL}, *const none[] = {NULL};
    pid_t child = start_child(name_that_is_cut);

    assert_true(process_is_called(child, right));
    assert_false(process_is_called(child, wrong));
    assert_false(process_is_called(child, none));
    end_child(child);
    assert_false(process_is_called(child, right));
    assert_true(process_name_is_one_of("a-name-of-15-characters", right));
    assert_false(process_name_is_one_of("a-name-of-15", right));
}

static void
test_owner(void **state)
{
    uid_t uid = 12345;

    assert_int_equal(process_owner(getpid(), &uid), 0);
    assert_int_equal(uid, geteuid());
    assert_int_equal(process_owner(pid_of_no_process(), &uid), -ESRCH);
    assert_int_equal(uid, geteuid());
}

static void
prepare_signals(void)
{
    sigset_t blocked;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGUSR2, SIG_IGN);
    kill(getpid(), SIGUSR1);
}

static void
test_signals(void **state)
{
    struct process_signals signals;
    pid_t child = start_child(prepare_signals);

    assert_int_equal(process_signals(child, &signals), 0);
    assert_int_equal(signals.pending, process_signal_bit(SIGUSR1));
    assert_int_equal(signals.blocked, process_signal_bit(SIGUSR1));
    assert_true(signals.ignored & process_signal_bit(SIGUSR2));
    assert_false(signals.ignored & process_signal_bit(SIGUSR1));
    end_child(child);
    assert_int_equal(process_signals(child, &signals), -ESRCH);
}

static int
look_from_new_namespace(void *argument)
{
    if (unshare(CLONE_NEWPID | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) < 0)
        return NOT_ALLOWED;
    pid_t pid = fork();
    if (pid == 0)
        _exit(process_check_proc() == -ESRCH ? 0 : 1);
    int status;
    return waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : 1;
}

static void
test_proc_of_another_namespace(void **state)
{
    assert_int_equal(process_check_proc(), 0);
    int result = run_in_child(look_from_new_namespace, NULL);
    if (result == NOT_ALLOWED)
        skip();
    assert_int_equal(result, 0);
}

/* --- how it ends --- */

/* Before Linux 6.15 only a zombie tells. */
static void
expect_end(pid_t child, int expected)
{
    siginfo_t info;
    int status = -1, pidfd = process_open_pidfd(child);

    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(process_end_status(child, pidfd, &status), 0);
    assert_int_equal(status, expected);
    assert_int_equal(waitpid(child, NULL, 0), child);
    status = -1;
    if (process_end_status(child, pidfd, &status) == 0)
        assert_int_equal(status, expected);
    else
        assert_int_equal(process_end_status(child, pidfd, &status), -ENODATA);
    close(pidfd);
}

static void
test_end_status(void **state)
{
    pid_t child = start_child(name_like_stat);
    int status = 12345, pidfd = process_open_pidfd(child);

    int result = process_end_status(child, pidfd, &status);
    assert_true(result == -EBUSY || result == -ENODATA);
    assert_int_equal(status, 12345);
    close(pidfd);
    kill(child, SIGKILL);
    expect_end(child, W_EXITCODE(0, SIGKILL));
    child = fork();
    if (child == 0)
        _exit(3);
    expect_end(child, W_EXITCODE(3, 0));
}

/* --- threads --- */

static void
test_thread_of_self(void **state)
{
    struct worker worker;
    struct process_info info;
    pid_t pid = 0;

    start_worker(&worker);
    assert_int_not_equal(worker.tid, getpid());
    assert_int_equal(process_of_thread(worker.tid, &pid), 0);
    assert_int_equal(pid, getpid());
    assert_true(process_has_thread(getpid(), worker.tid));
    assert_false(process_has_thread(worker.tid, worker.tid));
    assert_false(process_has_thread(getppid(), worker.tid));
    assert_int_equal(process_open_pidfd(worker.tid), -ESRCH);
    assert_int_equal(process_info(getpid(), &info), 0);
    assert_int_equal(info.threads, 2);
    assert_true(end_worker(&worker));
    assert_int_equal(process_of_thread(worker.tid, &pid), -ESRCH);
}

static int
see_a_foreign_thread(void *none)
{
    if (geteuid() == 0)
        EXPECT(setresuid(NOBODY, NOBODY, NOBODY) == 0);
    EXPECT(kill(1, 0) < 0 && errno == EPERM);
    EXPECT(process_has_thread(1, 1));
    EXPECT(!process_has_thread(1, getpid()));
    return 0;
}

static void
test_another_users_thread_exists(void **state)
{
    assert_int_equal(run_in_child(see_a_foreign_thread, NULL), 0);
}

static int said_by_thread;

static void *
outlive_the_leader(void *argument)
{
    pid_t tid = gettid();

    if (write(said_by_thread, &tid, sizeof(tid)) != sizeof(tid))
        _exit(1);
    pause();
    _exit(1);
}

static bool
is_shown_as_zombie(pid_t pid)
{
    struct process_info info;

    return process_info(pid, &info) == 0 && info.state == 'Z';
}

static void
test_zombie_leader_with_a_living_thread(void **state)
{
    int said[2];
    pid_t tid, found = 0;

    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        said_by_thread = said[1];
        alarm(DEADLINE_MS / 1000);
        if (pthread_create(&thread, NULL, outlive_the_leader, NULL) != 0)
            _exit(1);
        pthread_exit(NULL);
    }
    assert_int_equal(read(said[0], &tid, sizeof(tid)), sizeof(tid));
    assert_true(comes_true(is_shown_as_zombie, pid));

    struct process_info info, *descendants;
    struct process_cache *cache = process_cache_create();
    assert_int_equal(process_info(pid, &info), 0);
    assert_int_equal(info.threads, 2);
    assert_true(process_info_is_alive(&info));
    assert_int_equal(process_cache_lookup(cache, tid, &found), 0);
    assert_int_equal(found, pid);
    assert_int_equal(process_cache_lookup(cache, pid, &found), 0);
    assert_int_equal(found, pid);
    assert_int_equal(process_descendants(getpid(), &descendants), 1);
    assert_int_equal(descendants[0].pid, pid);
    free(descendants);

    process_cache_destroy(cache);
    close(said[0]);
    close(said[1]);
    end_child(pid);
}

/* --- the cache --- */

static void
test_cache_of_threads(void **state)
{
    struct process_cache *cache = process_cache_create();
    struct worker workers[20];
    pid_t pid = 0;

    for (size_t i = 0; i < 20; i++)
        start_worker(&workers[i]);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 20; i++) {
            assert_int_equal(process_cache_lookup(cache, workers[i].tid, &pid), 0);
            assert_int_equal(pid, getpid());
        }
        assert_int_equal(process_cache_lookup(cache, getppid(), &pid), 0);
        assert_int_equal(pid, getppid());
        if (round == 1)
            process_cache_forget(cache, getpid());
    }
    for (size_t i = 0; i < 20; i++) {
        assert_true(end_worker(&workers[i]));
        assert_int_equal(process_cache_lookup(cache, workers[i].tid, &pid), -ESRCH);
    }
    process_cache_destroy(cache);
    process_cache_destroy(NULL);
}

static void
test_what_the_cache_is_told_is_checked(void **state)
{
    struct process_cache *cache = process_cache_create();
    struct worker worker;
    pid_t pid = 0;

    start_worker(&worker);
    process_cache_remember(cache, worker.tid, getppid());
    assert_int_equal(process_cache_lookup(cache, worker.tid, &pid), 0);
    assert_int_equal(pid, getpid());
    process_cache_remember(cache, worker.tid, getppid());
    assert_int_equal(process_cache_lookup(cache, worker.tid, &pid), 0);
    assert_int_equal(pid, getpid());
    process_cache_forget(cache, getpid());
    process_cache_remember(cache, worker.tid, getpid());
    assert_int_equal(process_cache_lookup(cache, worker.tid, &pid), 0);
    assert_int_equal(pid, getpid());
    assert_true(end_worker(&worker));
    assert_int_equal(process_cache_lookup(cache, worker.tid, &pid), -ESRCH);
    process_cache_destroy(cache);
}

/* Runs `function` as pid 1 of a pid namespace with a /proc of its own, where nobody else uses ids.
 * Without root: in a user namespace too. */
static const char *proc_options;
static int (*function_as_init)(void);

static int
enter_namespaces(void *none)
{
    int flags = CLONE_NEWPID | CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER);

    if (unshare(flags) < 0)
        return NOT_ALLOWED;
    pid_t pid = fork();
    if (pid < 0)
        return 1;
    if (pid == 0) {
        if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("proc", "/proc", "proc", 0, proc_options) < 0)
            _exit(NOT_ALLOWED);
        int result = function_as_init();
        fflush(NULL);
        _exit(result);
    }
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return 1;
    return WEXITSTATUS(status);
}

static void
run_as_init(int (*function)(void), const char *options)
{
    function_as_init = function;
    proc_options = options;
    int result = run_in_child(enter_namespaces, NULL);
    if (result == NOT_ALLOWED) {
        print_message("# no pid namespace with a /proc allowed here\n");
        skip();
    }
    assert_int_equal(result, 0);
}

/* Only in a pid namespace of our own is the next id certainly ours. */
static bool
choose_next_id(pid_t id)
{
    FILE *file = fopen("/proc/sys/kernel/ns_last_pid", "we");

    if (!file)
        return false;
    fprintf(file, "%d", id - 1);
    return fclose(file) == 0;
}

static pid_t
fork_sleeper(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        alarm(DEADLINE_MS / 1000); /* if the test fails before it ends us */
        pause();
        _exit(1);
    }
    return pid;
}

/* An id is free a moment after its thread cannot be found any more. */
static bool
fork_with_id(pid_t id)
{
    for (int ms = 0; ms < DEADLINE_MS; ms++) {
        if (!choose_next_id(id))
            return false;
        pid_t pid = fork_sleeper();
        if (pid == id)
            return true;
        end_child(pid);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

static int
use_ids_again(void)
{
    struct process_cache *cache = process_cache_create();
    struct worker worker;
    pid_t found = 0, id = fork_sleeper();

    EXPECT(process_cache_lookup(cache, id, &found) == 0 && found == id);
    end_child(id);
    EXPECT(choose_next_id(id));
    start_worker(&worker); /* a process' id is now that of a thread of ours */
    EXPECT(worker.tid == id);
    EXPECT(process_cache_lookup(cache, id, &found) == 0 && found == getpid());
    EXPECT(process_cache_lookup(cache, id, &found) == 0 && found == getpid());
    EXPECT(end_worker(&worker));
    EXPECT(fork_with_id(id)); /* and that of a process again */
    EXPECT(process_cache_lookup(cache, id, &found) == 0 && found == id);
    process_cache_forget(cache, getpid());
    EXPECT(process_cache_lookup(cache, id, &found) == 0 && found == id);
    process_cache_forget(cache, id);
    end_child(id);
    EXPECT(process_cache_lookup(cache, id, &found) == -ESRCH);
    process_cache_destroy(cache);
    return 0;
}

static void
test_ids_used_again(void **state)
{
    run_as_init(use_ids_again, NULL);
}

static pid_t hidden_thread;

static int
look_for_hidden(void *none)
{
    struct process_cache *cache = process_cache_create();
    struct process_info info;
    pid_t found = 0;

    EXPECT(setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0);
    EXPECT(setresuid(NOBODY, NOBODY, NOBODY) == 0);
    EXPECT(process_info(1, &info) == -ESRCH);
    EXPECT(process_of_thread(1, &found) == -ESRCH);
    for (int round = 0; round < 2; round++) {
        EXPECT(process_cache_lookup(cache, 1, &found) == 0 && found == 1);
        EXPECT(process_cache_lookup(cache, hidden_thread, &found) == 0 && found == hidden_thread);
        EXPECT(process_cache_lookup(cache, getpid(), &found) == 0 && found == getpid());
    }
    EXPECT(process_cache_lookup(cache, getpid() + 100, &found) == -ESRCH);
    EXPECT(process_ancestors(getpid(), &info, 1) == 0);
    process_cache_destroy(cache);
    return 0;
}

static int
hide(void)
{
    struct worker worker;

    start_worker(&worker);
    hidden_thread = worker.tid;
    int result = run_in_child(look_for_hidden, NULL);
    EXPECT(end_worker(&worker));
    return result;
}

static void
test_hidden_processes(void **state)
{
    if (geteuid() != 0) {
        print_message("# to be another user, one must be root\n");
        skip();
    }
    run_as_init(hide, "hidepid=2");
}

/* --- the tree --- */

static int family_said[2];

static void
be_parent_of_one(void)
{
    pid_t pid = fork_sleeper();

    if (pid < 0 || write(family_said[1], &pid, sizeof(pid)) != sizeof(pid))
        _exit(1);
}

/* A child with a sleeping child of its own, whose pid is in *grandchild. */
static pid_t
start_family(pid_t *grandchild)
{
    assert_int_equal(pipe2(family_said, O_CLOEXEC), 0);
    pid_t pid = start_child(be_parent_of_one);
    assert_int_equal(read(family_said[0], grandchild, sizeof(*grandchild)), sizeof(*grandchild));
    close(family_said[0]);
    close(family_said[1]);
    return pid;
}

static void
test_ancestors(void **state)
{
    struct process_info ancestors[64], first;
    pid_t grandchild;
    pid_t child = start_family(&grandchild);
    size_t count = process_ancestors(grandchild, ancestors, 64);

    assert_true(count >= 3 && count < 64);
    assert_int_equal(ancestors[0].pid, child);
    assert_int_equal(ancestors[1].pid, getpid());
    assert_int_equal(ancestors[2].pid, getppid());
    assert_int_equal(ancestors[count - 1].parent, 0);
    for (size_t i = 0; i + 1 < count; i++)
        assert_int_equal(ancestors[i].parent, ancestors[i + 1].pid);
    assert_int_equal(process_ancestors(grandchild, &first, 1), 1);
    assert_int_equal(first.pid, child);
    assert_int_equal(process_ancestors(grandchild, NULL, 0), 0);

    /* An orphan has the ancestors of who adopts it. */
    end_child(child);
    assert_int_equal(process_ancestors(grandchild, ancestors, 64), count - 1);
    assert_int_equal(ancestors[0].pid, getpid());
    end_child(grandchild);
}

static bool
contains(const struct process_info *all, ssize_t count, pid_t pid)
{
    for (ssize_t i = 0; i < count; i++) {
        if (all[i].pid == pid)
            return true;
    }
    return false;
}

static void
test_descendants(void **state)
{
    struct process_info *found;
    pid_t grandchildren[2], families[2];

    assert_int_equal(process_descendants(getpid(), &found), 0);
    free(found);
    for (size_t i = 0; i < 2; i++)
        families[i] = start_family(&grandchildren[i]);
    pid_t zombie = start_child(NULL);
    make_zombie(zombie);
    assert_int_equal(process_descendants(getpid(), &found), 4);
    for (size_t i = 0; i < 2; i++) {
        assert_true(contains(found, 4, families[i]));
        assert_true(contains(found, 4, grandchildren[i]));
    }
    free(found);
    assert_int_equal(process_descendants(families[1], &found), 1);
    assert_int_equal(found[0].pid, grandchildren[1]);
    free(found);

    end_child(families[0]);
    assert_int_equal(process_descendants(getpid(), &found), 3);
    assert_true(contains(found, 3, grandchildren[0]));
    free(found);

    end_child(families[1]);
    end_child(grandchildren[0]);
    end_child(grandchildren[1]);
    end_child(zombie);
}

static void
test_children(void **state)
{
    pid_t children[PROCESS_CHILDREN_MAX], grandchild;

    assert_int_equal(process_children(getpid(), children), 0);
    pid_t family = start_family(&grandchild), zombie = start_child(NULL);
    make_zombie(zombie);
    assert_int_equal(process_children(getpid(), children), 2);
    assert_int_equal(children[0], family);
    assert_int_equal(children[1], zombie);
    assert_int_equal(process_children(family, children), 1);
    assert_int_equal(children[0], grandchild);
    end_child(family);
    assert_int_equal(process_children(family, children), 0);
    end_child(grandchild);
    end_child(zombie);
}

/* --- what a tree uses, and its end --- */

#define EATEN ((size_t)20 << 20)

static void
eat(void)
{
    void *memory = mmap(NULL, EATEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        abort();
    memset(memory, 1, EATEN);
}

/* It has more than its parent. */
static pid_t
start_eating_family(pid_t *grandchild)
{
    pid_t *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int said[2];
    char byte;

    assert_ptr_not_equal(shared, MAP_FAILED);
    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        *shared = start_child(eat);
        if (write(said[1], "+", 1) != 1)
            _exit(1);
        alarm(DEADLINE_MS / 1000);
        pause();
        _exit(1);
    }
    assert_int_equal(read(said[0], &byte, 1), 1);
    close(said[0]);
    close(said[1]);
    *grandchild = *shared;
    munmap(shared, sizeof(*shared));
    return pid;
}

static bool
is_stopped(pid_t pid)
{
    struct process_info info;

    return process_info(pid, &info) == 0 && info.state == 'T';
}

static bool
runs(pid_t pid)
{
    struct process_info info;

    return process_info(pid, &info) == 0 && info.state == 'S';
}

static bool
waits(pid_t pid)
{
    return !process_tree_is_active(pid);
}

static bool
is_dead(pid_t pid)
{
    struct process_info info;

    return process_info(pid, &info) < 0 || info.state == 'Z';
}

static void
count(pid_t pid, void *argument)
{
    ++*(unsigned *)argument;
}

static void
test_tree(void **state)
{
    pid_t grandchild, family = start_eating_family(&grandchild);
    unsigned visited = 0;

    assert_true(process_tree_memory(family) > EATEN);
    assert_true(process_tree_memory(family) > process_tree_memory(grandchild));
    assert_true(comes_true(waits, family));
    process_tree_stop(family);
    assert_true(comes_true(is_stopped, family));
    assert_true(comes_true(is_stopped, grandchild));
    process_tree_continue(family);
    assert_true(comes_true(runs, family));
    assert_true(comes_true(runs, grandchild));
    int pidfd = process_tree_kill(family, count, &visited);
    assert_true(pidfd >= 0);
    assert_int_equal(visited, 2);
    assert_true(comes_true(is_dead, family));
    assert_true(comes_true(is_dead, grandchild));
    assert_true(process_pidfd_has_exited(pidfd));
    close(pidfd);
    end_child(family);
    assert_int_equal(process_tree_memory(family), 0);
    assert_true(process_tree_kill(family, count, &visited) < 0);
}

static void *
compute(void *unused)
{
    for (volatile unsigned n = 0;;)
        n = n + 1;
    return unused;
}

static void
compute_in_a_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, compute, NULL) != 0)
        abort();
}

static void
start_computing(void)
{
    start_child(compute_in_a_thread);
}

/* Its first thread waits, and so does its parent. */
static void
test_a_tree_is_active_if_any_thread_is(void **state)
{
    unsigned visited = 0;
    pid_t pid = start_child(start_computing);

    assert_true(comes_true(process_tree_is_active, pid));
    process_tree_stop(pid);
    assert_true(comes_true(waits, pid));
    int pidfd = process_tree_kill(pid, count, &visited);
    assert_int_equal(visited, 2);
    close(pidfd);
    end_child(pid);
    assert_false(process_tree_is_active(pid));
}

/* --- descriptors --- */

static uint64_t
inode_of(int fd)
{
    struct stat status;

    assert_int_equal(fstat(fd, &status), 0);
    return status.st_ino;
}

static void
keep_path(const char *path, void *argument)
{
    snprintf(argument, PATH_MAX, "%s", path);
}

static void
test_written_files(void **state)
{
    char path[] = "/tmp/test_process.XXXXXX", shown[PATH_MAX] = "";
    int fd = mkostemp(path, O_CLOEXEC), read_only = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0 && read_only >= 0);
    pid_t child = start_child(NULL);
    process_each_written_file(child, keep_path, shown);
    assert_string_equal(shown, path);
    end_child(child);
    close(fd);
    shown[0] = '\0';
    child = start_child(NULL);
    process_each_written_file(child, keep_path, shown);
    assert_string_not_equal(shown, path);
    end_child(child);
    close(read_only);
    unlink(path);
}

static void
take_null(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (dup2(fd, STDIN_FILENO) < 0)
        abort();
}

static void
take_pipe(void)
{
    int ends[2];

    take_null();
    if (pipe2(ends, O_CLOEXEC) < 0 || dup2(ends[1], STDOUT_FILENO) < 0)
        abort();
}

static void
take_terminal(void)
{
    int main_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    take_pipe();
    if (main_fd < 0 || grantpt(main_fd) < 0 || unlockpt(main_fd) < 0)
        abort();
    int fd = open(ptsname(main_fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (dup2(fd, STDIN_FILENO) < 0)
        abort();
}

static void
test_console(void **state)
{
    pid_t same = start_child(NULL), alone = start_child(take_pipe),
          at_terminal = start_child(take_terminal);

    assert_true(process_shares_console(same, getpid()));
    assert_false(process_shares_console(alone, getpid()));
    assert_true(process_shares_console(at_terminal, getpid()));
    end_child(same);
    end_child(alone);
    end_child(at_terminal);
}

static void
test_pipes(void **state)
{
    int ends[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    uint64_t pipes[64];
    unsigned found = 0;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = start_child(NULL);
    assert_int_equal(process_pipe(child, ends[1]), inode_of(ends[1]));
    assert_int_equal(process_pipe(child, null), 0);
    assert_int_equal(process_pipe(child, 12345), 0);
    size_t n = process_pipes(child, pipes, 64);
    for (size_t i = 0; i < n; i++)
        found += pipes[i] == inode_of(ends[0]);
    assert_int_equal(found, 1);
    assert_int_equal(process_pipes(child, pipes, 1), 1);
    end_child(child);
    assert_int_equal(process_pipe(child, ends[0]), 0);
    assert_int_equal(process_pipes(child, pipes, 64), 0);
    close(ends[0]);
    close(ends[1]);
    close(null);
}

static void
test_who_has_a_file_open(void **state)
{
    int ends[2], numbers[4];
    struct stat status;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int again = fcntl(ends[1], F_DUPFD_CLOEXEC, 0);
    assert_int_equal(fstat(ends[0], &status), 0);
    pid_t child = start_child(NULL);
    assert_int_equal(process_find_file(child, status.st_dev, status.st_ino, numbers, 4), 3);
    for (int i = 0; i < 3; i++)
        assert_true(numbers[i] == ends[0] || numbers[i] == ends[1] || numbers[i] == again);
    assert_int_equal(process_find_file(child, status.st_dev, status.st_ino, numbers, 2), 2);
    assert_int_equal(process_find_file(child, status.st_dev + 1, status.st_ino, numbers, 4), 0);
    end_child(child);
    assert_int_equal(process_find_file(child, status.st_dev, status.st_ino, numbers, 4), 0);
    close(ends[0]);
    close(ends[1]);
    close(again);
    close(null);
}

static void
poll_input(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

    poll(&input, 1, -1);
}

static bool
comes_to_wait(pid_t pid, bool for_events)
{
    struct process_info info;

    for (int i = 0; i < DEADLINE_MS; i++) {
        /* In nanosleep(2) it sleeps, too; pause(2) is ppoll(2) on some architectures. */
        if (process_info(pid, &info) == 0 && info.state == 'S' &&
            process_waits_for_events(pid) == for_events)
            return true;
        usleep(1000);
    }
    return false;
}

static void
test_who_waits_for_events(void **state)
{
    int input[2];

    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(input[0], STDIN_FILENO);
        poll_input();
        sleep(1000);
        _exit(0);
    }
    assert_true(comes_to_wait(child, true));
    assert_int_equal(write(input[1], "+", 1), 1);
    assert_true(comes_to_wait(child, false));
    end_child(child);
    assert_false(process_waits_for_events(child));
    assert_false(process_waits_for_events(getpid()));
    close(input[0]);
    close(input[1]);
}

static void
test_all_processes(void **state)
{
    struct process_info *all;
    pid_t child = start_child(NULL);
    unsigned found = 0;

    make_zombie(child);
    ssize_t n = process_all(&all);
    assert_true(n > 0);
    for (ssize_t i = 0; i < n; i++) {
        found += all[i].pid == getpid() && process_info_is_alive(&all[i]) && !all[i].is_exiting;
        found += all[i].pid == child && all[i].parent == getpid() && all[i].state == 'Z' &&
                 all[i].is_exiting;
    }
    assert_int_equal(found, 2);
    free(all);
    end_child(child);
}

static void
test_reopen(void **state)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    int fd = process_reopen(ends[0], O_RDONLY | O_NONBLOCK);
    assert_true(fd >= 0);
    assert_int_equal(inode_of(fd), inode_of(ends[0]));
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    close(fd);
    assert_int_equal(process_reopen(fd, O_RDONLY), -ENOENT);
    close(ends[0]);
    close(ends[1]);
}

/* --- the program --- */

static void
test_read_program(void **state)
{
    char bytes[4];

    assert_int_equal(process_read_program(getpid(), bytes, sizeof(bytes)), 4);
    assert_memory_equal(bytes, "\177ELF", 4);
    assert_int_equal(process_read_program(pid_of_no_process(), bytes, sizeof(bytes)), -ESRCH);
}

/* Executes a copy of a program that has this mode and is another user's. */
static bool
has_set_id_program_of(const char *path, mode_t mode)
{
    char zero[] = "cat", *const words[] = {zero, NULL};
    int executed[2], input[2];
    char byte;

    assert_int_equal(chown(path, NOBODY, NOBODY), 0);
    assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(pipe2(executed, O_CLOEXEC), 0);
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(input[0], STDIN_FILENO);
        execv(path, words);
        _exit(127);
    }
    close(executed[1]);
    assert_int_equal(read(executed[0], &byte, 1), 0);
    bool has = process_has_set_id_program(child);
    close(executed[0]);
    close(input[0]);
    close(input[1]);
    end_child(child);
    return has;
}

static void
test_set_id_program(void **state)
{
    char path[] = "/tmp/test-process.XXXXXX", copy[sizeof(path) + sizeof("cp /bin/cat ")];
    struct statvfs mount;

    assert_false(process_has_set_id_program(getpid()));
    if (geteuid() != 0 || statvfs("/tmp", &mount) < 0 || (mount.f_flag & ST_NOSUID)) {
        print_message("# a file of another user that gives privilege takes root\n");
        skip();
    }
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    snprintf(copy, sizeof(copy), "cp /bin/cat %s", path);
    assert_int_equal(system(copy), 0); /* NOLINT(cert-env33-c) */
    assert_false(has_set_id_program_of(path, 0755));
    assert_true(has_set_id_program_of(path, 04755));
    assert_true(has_set_id_program_of(path, 02755));
    assert_false(has_set_id_program_of(path, 02745)); /* a lock, once */
    unlink(path);
}

static volatile unsigned char written;
static const char to_read[] = "to be read";

static void
test_memory(void **state)
{
    uint64_t address = 0;
    char was_read[sizeof(to_read)];
    int status;

    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        kill(getpid(), SIGSTOP);
        _exit(written);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(process_program_counter(child, &address), 0);
    assert_true(address > 0);
    assert_int_equal(process_write_memory(child, (uintptr_t)&written, "\7", 1), 0);
    assert_int_equal(written, 0);
    assert_true(process_write_memory(child, 0, "\7", 1) < 0);
    assert_int_equal(process_read_memory(child, (uintptr_t)to_read, was_read, sizeof(to_read)), 0);
    assert_string_equal(was_read, to_read);
    assert_int_equal(process_read_memory(child, 0, was_read, sizeof(to_read)), -EFAULT);
    kill(child, SIGCONT);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, W_EXITCODE(7, 0));
    assert_int_equal(process_program_counter(child, &address), -ESRCH);
    assert_int_equal(process_write_memory(child, (uintptr_t)&written, "\7", 1), -ESRCH);
}

static void
test_program_counter_of_what_runs(void **state)
{
    volatile bool runs = true;
    uint64_t address = 12345;
    pid_t child = fork();

    assert_true(child >= 0);
    while (child == 0 && runs)
        continue;
    assert_int_equal(process_program_counter(child, &address), -EBUSY);
    assert_int_equal(address, 12345);
    end_child(child);
}

/* --- the command line --- */

/* Starts a shell with these words, which waits for a line of `input`; returns when it has been
 * executed. */
static pid_t
start_shell(char *const words[], int input)
{
    int executed[2];
    char byte;

    assert_int_equal(pipe2(executed, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(DEADLINE_MS / 1000);
        dup2(input, STDIN_FILENO);
        execv("/bin/sh", words);
        _exit(127);
    }
    close(executed[1]);
    assert_int_equal(read(executed[0], &byte, 1), 0);
    close(executed[0]);
    return pid;
}

static void
test_command(void **state)
{
    char shell[] = "sh", option[] = "-c", script[] = "read x; exit 0", tab[] = "a\tb \x1b[31m\xff",
         nothing[] = "", last[] = "z";
    char *const words[] = {shell, option, script, tab, nothing, last, NULL};
    int input[2];
    const char expected[] = "sh -c read x; exit 0 a?b ?[31m?  z";
    char command[sizeof(expected) + 20];

    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    pid_t child = start_shell(words, input[0]);
    assert_int_equal(process_command(child, command, sizeof(command)), 0);
    assert_string_equal(command, expected);
    assert_int_equal(process_command(child, command, sizeof(expected)), 0);
    assert_string_equal(command, expected);
    assert_int_equal(process_command(child, command, 6), 0);
    assert_string_equal(command, "sh -c");
    assert_int_equal(process_command(child, command, 1), 0);
    assert_string_equal(command, "");
    assert_int_equal(process_command(child, command, 0), -EINVAL);
    end_child(child);
    close(input[0]);
    close(input[1]);
}

static bool
is_load(const char *word)
{
    return strcmp(word, "-l4") == 0;
}

static void
test_words_that_it_was_given(void **state)
{
    char shell[] = "sh", option[] = "-c", script[] = "read x; exit 0", load[] = "-l4",
         other[] = "-l41";
    char *const with[] = {shell, option, script, load, NULL};
    char *const without[] = {shell, option, script, other, NULL};
    int input[2];

    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    pid_t child = start_shell(with, input[0]);
    assert_true(process_was_given(child, "TEST_FLAGS", is_load));
    end_child(child);
    child = start_shell(without, input[0]);
    assert_false(process_was_given(child, "TEST_FLAGS", is_load));
    end_child(child);
    assert_int_equal(setenv("TEST_FLAGS", "ks -j8 -l4 --shuffle", 1), 0);
    child = start_shell(without, input[0]);
    assert_true(process_was_given(child, "TEST_FLAGS", is_load));
    assert_false(process_was_given(child, "TEST_FLAG", is_load));
    end_child(child);
    assert_false(process_was_given(child, "TEST_FLAGS", is_load));
    unsetenv("TEST_FLAGS");
    close(input[0]);
    close(input[1]);
}

static void
test_a_variable(void **state)
{
    char shell[] = "sh", option[] = "-c", script[] = "read x; exit 0";
    char *const words[] = {shell, option, script, NULL};
    int input[2];

    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(setenv("TEST_PREFIX", "icecc a=b", 1), 0);
    assert_int_equal(setenv("TEST_EMPTY", "", 1), 0);
    pid_t child = start_shell(words, input[0]);
    unsetenv("TEST_PREFIX");
    unsetenv("TEST_EMPTY");
    char *value = process_variable(child, "TEST_PREFIX"),
         *empty = process_variable(child, "TEST_EMPTY");
    assert_string_equal(value, "icecc a=b");
    assert_string_equal(empty, "");
    assert_null(process_variable(child, "TEST_PREFI"));
    free(value);
    free(empty);
    end_child(child);
    assert_null(process_variable(child, "TEST_PREFIX"));
    close(input[0]);
    close(input[1]);
}

static void
test_arguments(void **state)
{
    char shell[] = "sh", option[] = "-c", script[] = "read x; exit 0", nothing[] = "";
    char *const words[] = {shell, option, script, nothing, NULL};
    char text[64], *found[5], directory[PATH_MAX], own[PATH_MAX];
    int input[2];

    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    pid_t child = start_shell(words, input[0]);
    assert_int_equal(process_arguments(child, text, sizeof(text), found, 5), 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(found[i], words[i]);
    assert_null(found[4]);
    assert_int_equal(process_arguments(child, text, sizeof(text), found, 4), -E2BIG);
    assert_int_equal(process_arguments(child, text, 10, found, 5), -E2BIG);
    assert_int_equal(process_directory(child, directory, sizeof(directory)), 0);
    assert_string_equal(directory, getcwd(own, sizeof(own)));
    assert_int_equal(process_directory(child, directory, 2), -ENAMETOOLONG);
    assert_string_equal(directory, "");
    end_child(child);
    assert_int_equal(process_arguments(child, text, sizeof(text), found, 5), -ESRCH);
    assert_int_equal(process_directory(child, directory, sizeof(directory)), -ESRCH);
    close(input[0]);
    close(input[1]);
}

static void
test_command_without_words(void **state)
{
    char nothing[] = "";
    char *const words[] = {nothing, NULL};
    int input[2];
    char command[40];

    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    pid_t child = start_shell(words, input[0]);
    assert_int_equal(process_command(child, command, sizeof(command)), 0);
    assert_string_equal(command, "(sh)");
    assert_int_equal(process_command(child, command, 4), 0);
    assert_string_equal(command, "(sh");
    end_child(child);
    close(input[0]);
    close(input[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info_of_self),
        cmocka_unit_test(test_names_that_deceive),
        cmocka_unit_test(test_no_such_process),
        cmocka_unit_test(test_zombie),
        cmocka_unit_test(test_pidfd_is_readable_at_exit),
        cmocka_unit_test(test_is_called),
        cmocka_unit_test(test_owner),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_proc_of_another_namespace),
        cmocka_unit_test(test_end_status),
        cmocka_unit_test(test_thread_of_self),
        cmocka_unit_test(test_another_users_thread_exists),
        cmocka_unit_test(test_zombie_leader_with_a_living_thread),
        cmocka_unit_test(test_cache_of_threads),
        cmocka_unit_test(test_what_the_cache_is_told_is_checked),
        cmocka_unit_test(test_ids_used_again),
        cmocka_unit_test(test_hidden_processes),
        cmocka_unit_test(test_ancestors),
        cmocka_unit_test(test_descendants),
        cmocka_unit_test(test_children),
        cmocka_unit_test(test_pipes),
        cmocka_unit_test(test_who_has_a_file_open),
        cmocka_unit_test(test_who_waits_for_events),
        cmocka_unit_test(test_all_processes),
        cmocka_unit_test(test_reopen),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_a_tree_is_active_if_any_thread_is),
        cmocka_unit_test(test_written_files),
        cmocka_unit_test(test_console),
        cmocka_unit_test(test_read_program),
        cmocka_unit_test(test_set_id_program),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_program_counter_of_what_runs),
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_words_that_it_was_given),
        cmocka_unit_test(test_a_variable),
        cmocka_unit_test(test_command_without_words),
    };

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    alarm(120); /* a test that hangs has failed */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
