/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How many processors control groups leave, by a machine that is a tree of files; and those of this one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/program/cpus.h"
#include "libjobserver/program/numbers.h"
#include "tests/unit/file_tree.h"

#define MOUNT_1                                                                                    \
    "31 24 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"                            \
    "35 24 0:32 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
#define MOUNT_2 "41 24 0:38 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"

static void
write_version_1(const char *group, const char *quota, const char *period)
{
    char name[256];

    snprintf(name, sizeof(name), "/sys/fs/cgroup/cpu,cpuacct%s/cpu.cfs_quota_us", group);
    write_file(name, quota);
    snprintf(name, sizeof(name), "/sys/fs/cgroup/cpu,cpuacct%s/cpu.cfs_period_us", group);
    write_file(name, period);
}

static void
test_version_2_on_each_level(void **state)
{
    write_file("/proc/self/cgroup", "0::/a/b\n");
    write_file("/proc/self/mountinfo", MOUNT_2);
    assert_int_equal(cpus_quota(root), CPUS_NO_QUOTA);
    write_file("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_int_equal(cpus_quota(root), CPUS_NO_QUOTA);
    write_file("/sys/fs/cgroup/a/cpu.max", "400000 100000\n");
    assert_int_equal(cpus_quota(root), 4);
    write_file("/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
    assert_int_equal(cpus_quota(root), 2);
    write_file("/sys/fs/cgroup/a/b/cpu.max", "1000 100000\n");
    assert_int_equal(cpus_quota(root), 1);
    write_file("/sys/fs/cgroup/a/b/cpu.max", "900000 100000\n");
    assert_int_equal(cpus_quota(root), 4);
}

static void
test_version_1(void **state)
{
    write_file("/proc/self/cgroup", "9:cpuset:/no\n4:cpu,cpuacct:/a/b\n0::/\n");
    write_file("/proc/self/mountinfo", MOUNT_1);
    write_version_1("/a/b", "-1\n", "100000\n");
    assert_int_equal(cpus_quota(root), CPUS_NO_QUOTA);
    write_version_1("/a", "50000\n", "25000\n");
    assert_int_equal(cpus_quota(root), 2);
    write_version_1("/a/b", "60000\n", "50000\n");
    assert_int_equal(cpus_quota(root), 2);
    write_version_1("/a/b", "60000\n", "100000\n");
    assert_int_equal(cpus_quota(root), 1);
}

static void
test_nonsense(void **state)
{
    static const char *const texts[] = {
        "", "x", "100000", "-3 100000", "0 100000", "5 0", "5 -", "5 -1", "9223372036854775807 1"};

    assert_int_equal(cpus_quota(root), CPUS_NO_QUOTA);
    write_file("/proc/self/cgroup", "0::/a\n");
    write_file("/proc/self/mountinfo", MOUNT_2);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        write_file("/sys/fs/cgroup/a/cpu.max", texts[i]);
        assert_int_equal(cpus_quota(root), CPUS_NO_QUOTA);
    }
}

/* In a child, whose mask ends with it. */
static int
check_mask(void)
{
    cpu_set_t all, one;
    unsigned count = 0;

    if (cpus_are_reduced() || sched_getaffinity(0, sizeof(all), &all) < 0)
        return 0; /* this machine cannot tell */
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && count++ == 0)
            CPU_SET(cpu, &one);
    if (cpus_count() != lesser(count, cpus_quota("")))
        return 1;
    if (sched_setaffinity(0, sizeof(one), &one) < 0 || cpus_count() != 1)
        return 2;
    return count > 1 && !cpus_are_reduced() ? 3 : 0;
}

static void
test_mask(void **state)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(check_mask());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_version_2_on_each_level, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_version_1, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_nonsense, make_root, remove_root),
        cmocka_unit_test(test_mask),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
