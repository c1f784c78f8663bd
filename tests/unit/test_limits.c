/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How many processes and descriptors are left; control groups of both versions, of a machine that is a tree of
 * files. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/program/limits.h"
#include "tests/unit/file_tree.h"

#define NOT_ALLOWED 2

#define MOUNT_1                                                                                    \
    "35 24 0:32 / /sys/fs/cgroup/cpu,pids rw,relatime - cgroup cgroup rw,cpu,pids\n"               \
    "36 24 0:33 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
#define MOUNT_2 "41 24 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"

static void
write_group(const char *group, const char *max, const char *current)
{
    char name[128];

    snprintf(name, sizeof(name), "/sys/fs/cgroup%s/pids.max", group);
    write_file(name, max);
    snprintf(name, sizeof(name), "/sys/fs/cgroup%s/pids.current", group);
    write_file(name, current);
}

/* In these groups. */
static unsigned
left(const char *groups, const char *mounts)
{
    write_file("/proc/self/cgroup", groups);
    write_file("/proc/self/mountinfo", mounts);
    return limits_group_processes_left(root);
}

static void
test_version_2(void **state)
{
    write_group("/a", "max\n", "5\n");
    assert_int_equal(left("0::/a\n", MOUNT_2), LIMITS_NONE);
    write_group("/a", "100\n", "30\n");
    assert_int_equal(left("0::/a\n", MOUNT_2), 70);
    write_group("/a/b", "50\n", "60\n");
    assert_int_equal(left("0::/a/b\n", MOUNT_2), 0);
    write_group("/a/b", "max\n", "60\n");
    assert_int_equal(left("0::/a/b\n", MOUNT_2), 70);
}

static void
test_version_1(void **state)
{
    const char *groups = "9:name=systemd:/x\n8:cpu,pids:/x\n4:memory:/y\n0::/x\n";

    write_group("/cpu,pids", "1000\n", "1\n");
    write_group("/cpu,pids/x", "100\n", "30\n");
    write_group("/cpu,pids/y", "2\n", "1\n");
    assert_int_equal(left(groups, MOUNT_1), 70);
    assert_int_equal(left("8:pidsx,xpids:/x\n", MOUNT_1), LIMITS_NONE);
}

/* A container without a namespace for control groups: its path begins above what it sees. */
static void
test_a_path_that_is_not_there(void **state)
{
    write_group("/cpu,pids", "100\n", "30\n");
    assert_int_equal(left("8:pids:/docker/0123\n", MOUNT_1), 70);
    assert_int_equal(left("0::/docker/0123\n", MOUNT_2), LIMITS_NONE);
}

static void
test_nonsense(void **state)
{
    assert_int_equal(limits_group_processes_left(root), LIMITS_NONE);
    assert_int_equal(left("", ""), LIMITS_NONE);
    assert_int_equal(left("\n:\n::\n0\n0:\n", "\n1 2\n - \n"), LIMITS_NONE);
    write_group("/a", "", "");
    assert_int_equal(left("0::/a\n", MOUNT_2), LIMITS_NONE);
    write_group("/a", "-3\n", "x");
    assert_int_equal(left("0::/a", MOUNT_2), LIMITS_NONE);
}

static void
test_descriptors(void **state)
{
    struct rlimit former, limit;

    getrlimit(RLIMIT_NOFILE, &former);
    limit = former;
    limit.rlim_cur = 57;
    setrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(limits_descriptors(), 57);
    setrlimit(RLIMIT_NOFILE, &former);
}

/* As a user who has nothing else, where we may become one. */
static int
check_user(void)
{
    struct rlimit limit = {.rlim_cur = 100, .rlim_max = 100};

    if (getuid() == 0 && (setgid(4242) < 0 || setuid(4242) < 0))
        return 1;
    setrlimit(RLIMIT_NPROC, &limit);
    unsigned n = limits_processes_left(100);
    /* Who runs the tests as himself may have any number. */
    return n > 99 || (getuid() == 4242 && n != 99);
}

static int
run_in_child(int (*function)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(function());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void
test_user(void **state)
{
    assert_int_equal(run_in_child(check_user), 0);
}

/* The first process of the namespace; what is forked beside it has no parent there. */
static int
mount_proc_and_wait(int ready)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || mount("proc", "/proc", "proc", 0, NULL) < 0)
        return 1;
    close(ready);
    pause();
    return 0;
}

static int
check_user_in_container(void)
{
    int ready[2];
    char byte;

    if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return NOT_ALLOWED;
    if (pipe(ready) < 0)
        return 1;
    pid_t first = fork();
    if (first == 0)
        _exit(mount_proc_and_wait(ready[1]));
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 0 || waitpid(first, NULL, WNOHANG) != 0)
        return NOT_ALLOWED;
    int result = run_in_child(check_user);
    kill(first, SIGKILL);
    waitpid(first, NULL, 0);
    return result;
}

/* As by docker exec. */
static void
test_user_who_enters_a_container(void **state)
{
    int result = run_in_child(check_user_in_container);

    if (result == NOT_ALLOWED)
        skip();
    assert_int_equal(result, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_version_2, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_version_1, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_a_path_that_is_not_there, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_nonsense, make_root, remove_root),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_user),
        cmocka_unit_test(test_user_who_enters_a_container),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
