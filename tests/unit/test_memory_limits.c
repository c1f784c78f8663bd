/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How much memory is left, by a machine that is a tree of files: control groups of both versions, on several
 * levels, seen from a container, with swap and without; and by this one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libjobserver/memory/limits.h"
#include "tests/unit/file_tree.h"

#define MIB (UINT64_C(1) << 20)
#define NONE_1 "9223372036854771712\n" /* how version 1 says that there is none */

#define MOUNT_1                                                                                    \
    "24 1 0:21 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"                                       \
    "31 24 0:28 / /sys/fs/cgroup/cpu,memoryless rw - cgroup cgroup rw,cpu,memoryless\n"            \
    "35 24 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 master:1 - cgroup cgroup rw,memory\n"
#define MOUNT_2 "41 24 0:38 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"

/* --- the machine --- */

static void
write_machine(unsigned total_mib, unsigned available_mib, unsigned free_swap_mib)
{
    char text[512];

    snprintf(text, sizeof(text),
             "MemTotal:       %u kB\nMemFree:   12 kB\nMemAvailable:   %u kB\n"
             "SwapCached:   99 kB\nSwapTotal:   %u kB\nSwapFree:   %u kB\nShmem: 1 kB\n",
             total_mib * 1024, available_mib * 1024, free_swap_mib * 1024, free_swap_mib * 1024);
    write_file("/proc/meminfo", text);
}

static void
write_group(const char *directory, const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    write_file(path, text);
}

static void
write_mib(const char *directory, const char *name, unsigned mib)
{
    char text[64];

    snprintf(text, sizeof(text), "%llu\n", (unsigned long long)(mib * MIB));
    write_group(directory, name, text);
}

static void
write_stat(const char *directory, const char *prefix, unsigned inactive_mib, unsigned active_mib)
{
    char text[512];

    snprintf(text, sizeof(text),
             "anon 77\nshmem 9999999999\n%sinactive_anon 9999999999\n%sinactive_file %llu\n"
             "%sactive_file %llu\nunevictable 0\n",
             prefix, prefix, (unsigned long long)(inactive_mib * MIB), prefix,
             (unsigned long long)(active_mib * MIB));
    write_group(directory, "memory.stat", text);
}

static void
write_group_1(const char *directory, unsigned limit_mib, unsigned usage_mib, unsigned cache_mib)
{
    write_mib(directory, "memory.limit_in_bytes", limit_mib);
    write_mib(directory, "memory.usage_in_bytes", usage_mib);
    write_stat(directory, "total_", cache_mib / 2, cache_mib - cache_mib / 2);
}

static void
write_group_2(const char *directory, unsigned max_mib, unsigned current_mib, unsigned cache_mib)
{
    write_mib(directory, "memory.max", max_mib);
    write_group(directory, "memory.high", "max\n");
    write_mib(directory, "memory.current", current_mib);
    write_stat(directory, "", cache_mib / 2, cache_mib - cache_mib / 2);
}

/* --- what is left --- */

static struct memory_limits *
open_limits(void)
{
    struct memory_limits *limits;

    assert_int_equal(memory_limits_open(root, &limits), 0);
    return limits;
}

static void
assert_limits(struct memory_limits *limits, unsigned available_mib, unsigned total_mib,
              const char *group)
{
    struct memory_left left;

    assert_int_equal(memory_limits_read(limits, &left), 0);
    assert_int_equal(left.available_bytes / MIB, available_mib);
    assert_int_equal(left.total_bytes / MIB, total_mib);
    if (group)
        assert_string_equal(left.group + strlen(root), group);
    else
        assert_null(left.group);
    assert_int_equal(left.place != 0, group != NULL);
    assert_true(left.machine_available_bytes >= left.available_bytes);
}

static void
assert_left(unsigned available_mib, unsigned total_mib, const char *group)
{
    struct memory_limits *limits = open_limits();

    assert_limits(limits, available_mib, total_mib, group);
    memory_limits_close(limits);
}

static void
test_without_groups(void **state)
{
    write_machine(8000, 5000, 0);
    assert_left(5000, 8000, NULL);
    write_file("/proc/self/cgroup", "");
    write_file("/proc/self/mountinfo", "");
    assert_left(5000, 8000, NULL);
}

static void
test_version_1_on_each_level(void **state)
{
    write_machine(8000, 5000, 0);
    write_file("/proc/self/cgroup",
               "9:name=systemd:/x\n5:cpu,memoryless:/no\n4:memory:/a/b\n0::/\n");
    write_file("/proc/self/mountinfo", MOUNT_1);
    write_group("/sys/fs/cgroup/memory", "memory.limit_in_bytes", NONE_1);
    write_group_1("/sys/fs/cgroup/memory/a", 4000, 1000, 0);
    write_group_1("/sys/fs/cgroup/memory/a/b", 3500, 100, 0);
    assert_left(3000, 3500, "/sys/fs/cgroup/memory/a");
    write_group_1("/sys/fs/cgroup/memory/a/b", 3500, 1100, 500);
    assert_left(2900, 3500, "/sys/fs/cgroup/memory/a/b");
    write_group_1("/sys/fs/cgroup/memory/a/b", 9000, 8800, 0);
    assert_left(3000, 4000, "/sys/fs/cgroup/memory/a");
    write_machine(8000, 2000, 0);
    assert_left(2000, 4000, NULL);
}

static void
test_version_2_on_each_level(void **state)
{
    write_machine(8000, 5000, 0);
    write_file("/proc/self/cgroup", "0::/a/b\n");
    write_file("/proc/self/mountinfo", MOUNT_2);
    write_group_2("/sys/fs/cgroup/a", 4000, 1000, 0);
    write_group_2("/sys/fs/cgroup/a/b", 3500, 1200, 200);
    assert_left(2500, 3500, "/sys/fs/cgroup/a/b");
    write_group("/sys/fs/cgroup/a/b", "memory.max", "max\n");
    assert_left(3000, 4000, "/sys/fs/cgroup/a");
    /* Above it nothing goes on either. */
    write_mib("/sys/fs/cgroup/a/b", "memory.high", 1500);
    assert_left(500, 1500, "/sys/fs/cgroup/a/b");
}

static void
test_both_versions(void **state)
{
    write_machine(8000, 5000, 0);
    write_file("/proc/self/cgroup", "4:memory:/a\n0::/b\n");
    write_file("/proc/self/mountinfo", MOUNT_1 MOUNT_2);
    write_group_1("/sys/fs/cgroup/memory/a", 4000, 1000, 0);
    assert_left(3000, 4000, "/sys/fs/cgroup/memory/a");
}

static void
test_changes_are_seen(void **state)
{
    write_machine(8000, 5000, 0);
    write_file("/proc/self/cgroup", "0::/a\n");
    write_file("/proc/self/mountinfo", MOUNT_2);
    write_group_2("/sys/fs/cgroup/a", 4000, 1000, 0);
    struct memory_limits *limits = open_limits();
    assert_limits(limits, 3000, 4000, "/sys/fs/cgroup/a");
    write_group_2("/sys/fs/cgroup/a", 2000, 1900, 0);
    assert_limits(limits, 100, 2000, "/sys/fs/cgroup/a");
    write_group("/sys/fs/cgroup/a", "memory.max", "max\n");
    assert_limits(limits, 5000, 8000, NULL);
    memory_limits_close(limits);
}

/* --- containers --- */

/* Docker without a namespace: the path begins above what is mounted. */
static void
test_a_part_of_the_hierarchy_is_mounted(void **state)
{
    write_machine(8000, 5000, 0);
    write_file("/proc/self/cgroup", "4:memory:/docker/0123/x\n");
    write_file("/proc/self/mountinfo",
               "35 24 0:32 /docker/01 /wrong rw - cgroup cgroup rw,memory\n"
               "35 24 0:32 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
    write_group_1("/wrong", 100, 0, 0);
    write_group_1("/sys/fs/cgroup/memory", 3000, 1000, 0);
    write_group_1("/sys/fs/cgroup/memory/x", 2500, 1000, 0);
    assert_left(1500, 2500, "/sys/fs/cgroup/memory/x");
}

static void
test_the_larger_part_is_better(void **state)
{
    write_machine(8000, 5000, 0);
    write_file("/proc/self/cgroup", "0::/a/b\n");
    write_file("/proc/self/mountinfo", "35 24 0:32 /a/b /part rw - cgroup2 cgroup2 rw\n" MOUNT_2
                                       "36 24 0:32 /a /other rw - cgroup2 cgroup2 rw\n");
    write_group_2("/part", 4000, 0, 0);
    write_group_2("/other", 4000, 0, 0);
    write_group_2("/sys/fs/cgroup/a", 3000, 0, 0);
    assert_left(3000, 3000, "/sys/fs/cgroup/a");
}

/* In a namespace all that is outside is "..". */
static void
test_a_path_outside_of_the_namespace(void **state)
{
    write_machine(8000, 5000, 0);
    write_file("/proc/self/cgroup", "0::/../x\n");
    write_file("/proc/self/mountinfo", "35 24 0:32 /a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    write_group_2("/sys/fs/cgroup", 3000, 0, 0);
    write_group_2("/sys/fs/x", 2000, 0, 0);
    assert_left(3000, 3000, "/sys/fs/cgroup");
    write_file("/proc/self/mountinfo", MOUNT_2);
    assert_left(3000, 3000, "/sys/fs/cgroup");
}

static void
test_a_mount_with_blanks(void **state)
{
    write_machine(8000, 5000, 0);
    write_file("/proc/self/cgroup", "0::/a\n");
    write_file("/proc/self/mountinfo",
               "35 24 0:32 / /my\\040groups rw - cgroup2 cgroup2 rw,nsdelegate\n");
    write_group_2("/my groups/a", 3000, 0, 0);
    assert_left(3000, 3000, "/my groups/a");
}

/* --- swap --- */

static void
test_swap_is_a_tenth_at_most(void **state)
{
    write_machine(8000, 5000, 100);
    assert_left(5050, 8000, NULL);
    write_machine(8000, 5000, 20000);
    assert_left(5800, 8000, NULL);
}

/* It makes room in memory, or has been used up. */
static void
test_what_is_swapped_out_does_not_count_twice(void **state)
{
    write_machine(8000, 1000, 4000);
    struct memory_limits *limits = open_limits();
    assert_limits(limits, 1800, 8000, NULL);
    write_machine(8000, 1300, 3700);
    assert_limits(limits, 1800, 8000, NULL);
    write_machine(8000, 500, 2000);
    assert_limits(limits, 500, 8000, NULL);
    write_machine(8000, 1000, 4000);
    assert_limits(limits, 1800, 8000, NULL);
    memory_limits_close(limits);
}

static void
test_a_group_may_have_less_swap(void **state)
{
    write_machine(8000, 8000, 4000);
    write_file("/proc/self/cgroup", "0::/a\n");
    write_file("/proc/self/mountinfo", MOUNT_2);
    write_group_2("/sys/fs/cgroup/a", 3000, 1000, 0);
    assert_left(2300, 3000, "/sys/fs/cgroup/a");
    write_mib("/sys/fs/cgroup/a", "memory.swap.max", 100);
    write_mib("/sys/fs/cgroup/a", "memory.swap.current", 40);
    assert_left(2030, 3000, "/sys/fs/cgroup/a");
    write_mib("/sys/fs/cgroup/a", "memory.swap.max", 0);
    assert_left(2000, 3000, "/sys/fs/cgroup/a");
}

static void
test_a_limit_on_memory_and_swap(void **state)
{
    write_machine(8000, 8000, 4000);
    write_file("/proc/self/cgroup", "4:memory:/a\n");
    write_file("/proc/self/mountinfo", MOUNT_1);
    write_group_1("/sys/fs/cgroup/memory/a", 3000, 1000, 0);
    write_group("/sys/fs/cgroup/memory/a", "memory.memsw.limit_in_bytes", NONE_1);
    write_mib("/sys/fs/cgroup/memory/a", "memory.memsw.usage_in_bytes", 1000);
    assert_left(2300, 3000, "/sys/fs/cgroup/memory/a");
    write_mib("/sys/fs/cgroup/memory/a", "memory.memsw.limit_in_bytes", 3100);
    assert_left(2100, 3000, "/sys/fs/cgroup/memory/a");
    write_mib("/sys/fs/cgroup/memory/a", "memory.memsw.usage_in_bytes", 3050);
    assert_left(50, 3000, "/sys/fs/cgroup/memory/a");
}

/* --- what cannot be --- */

static void
test_nonsense(void **state)
{
    static const char *const texts[] = {"",     "x",  "-5\n", "99999999999999999999999\n",
                                        "\n\n", "max"};
    static const char *const names[] = {"memory.max", "memory.high", "memory.current",
                                        "memory.stat", "memory.swap.max"};
    struct memory_left left;

    write_machine(8000, 5000, 100);
    write_file("/proc/self/cgroup", "\n:\n::\n0\n0:\n0::/a\n");
    write_file("/proc/self/mountinfo", "\n-\n - \n1 2 3\n1 2 3 4 5 6 - cgroup2\n" MOUNT_2);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
            write_group_2("/sys/fs/cgroup/a", 4000, 4500, 9000);
            write_group("/sys/fs/cgroup/a", names[k], texts[i]);
            struct memory_limits *limits = open_limits();
            assert_int_equal(memory_limits_read(limits, &left), 0);
            assert_true(left.available_bytes <= 5050 * MIB && left.total_bytes <= 8000 * MIB);
            memory_limits_close(limits);
        }
}

static void
test_no_machine(void **state)
{
    struct memory_limits *limits;

    assert_true(memory_limits_open(root, &limits) < 0);
    write_file("/proc/meminfo", "MemTotal: 5 kB\n");
    assert_true(memory_limits_open(root, &limits) < 0);
}

static unsigned
count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void
test_this_machine(void **state)
{
    unsigned before = count_descriptors();
    struct memory_limits *limits;
    struct memory_left left;

    assert_int_equal(memory_limits_open("", &limits), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(memory_limits_read(limits, &left), 0);
    assert_true(left.available_bytes > 0 && left.available_bytes < left.total_bytes * 2);
    memory_limits_close(limits);
    assert_int_equal(count_descriptors(), before);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, make_root, remove_root)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_without_groups),
        CASE(test_version_1_on_each_level),
        CASE(test_version_2_on_each_level),
        CASE(test_both_versions),
        CASE(test_changes_are_seen),
        CASE(test_a_part_of_the_hierarchy_is_mounted),
        CASE(test_the_larger_part_is_better),
        CASE(test_a_path_outside_of_the_namespace),
        CASE(test_a_mount_with_blanks),
        CASE(test_swap_is_a_tenth_at_most),
        CASE(test_what_is_swapped_out_does_not_count_twice),
        CASE(test_a_group_may_have_less_swap),
        CASE(test_a_limit_on_memory_and_swap),
        CASE(test_nonsense),
        CASE(test_no_machine),
        CASE(test_this_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
