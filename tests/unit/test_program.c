/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A PATH of the test's own: directories a, b and c with programs, of which "shim" is the running
 * program itself. What only processes show (one shim becoming another) is in ../bats.
 */

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "libjobserver/process.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"
#include "tests/unit/child.h"
#include "tests/unit/remove_tree.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define VARIABLE "TEST_SHIM_REAL"

/* --- the version --- */

static const struct {
    const char *text;
    bool old;
} versions[] = {
    {"GNU Make 4.3\nBuilt for x86_64-pc-linux-gnu\n", true},
    {"GNU Make 4.4.1\n", false},
    {"GNU Make 4.4", false},
    {"GNU Make 4.10\n", false},
    {"GNU Make 4.2.1\n", true},
    {"GNU Make 3.82\n", true},
    {"GNU Make 3.9\n", true},
    {"GNU Make 5\n", false},
    {"GNU Make 4\n", true},
    {"GNU Make\n", false},
    {"bmake 3.0\n", false},
    {"1.11.1\n", false},
    {"", false},
};

static void
test_old_make(void **state)
{
    for (size_t i = 0; i < COUNT(versions); i++)
        if (make_version_is_old(versions[i].text) != versions[i].old)
            fail_msg("'%s'", versions[i].text);
}

/* --- a PATH --- */

struct fixture {
    char directory[64];
    char *path; /* of who runs the tests */
};

static void
write_program(const char *name, const char *text, mode_t mode)
{
    FILE *file = fopen(name, "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(name, mode), 0);
}

static int
setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    char *self = realpath("/proc/self/exe", NULL);

    *state = f;
    snprintf(f->directory, sizeof(f->directory), "/tmp/test_program.XXXXXX");
    f->path = strdup(getenv("PATH"));
    if (!self || !mkdtemp(f->directory) || chdir(f->directory) < 0)
        return -1;
    for (const char *name = "abcdnz"; *name; name++) {
        char directory[] = {*name, '\0'};
        if (mkdir(directory, 0755) < 0)
            return -1;
    }
    /* a: a program; b: the shim; c: a program; d: a directory of the name; n: what cannot be
     * executed; z: nothing */
    write_program("a/tool", "#!/bin/sh\nprintf '%s' a\"$MAKEFLAGS\"\n", 0755);
    write_program("c/tool", "#!/bin/sh\necho c \"$@\"\n", 0755);
    write_program("n/tool", "#!/bin/sh\n", 0644);
    if (symlink(self, "b/tool") < 0 || mkdir("d/tool", 0755) < 0)
        return -1;
    free(self);
    unsetenv(VARIABLE);
    unsetenv("JOBSERVER_SHIM");
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    setenv("PATH", f->path, 1);
    free(f->path);
    int result = chdir("/") || remove_tree(f->directory);
    test_free(f);
    return result ? -1 : 0;
}

/* `path` is PATH (NULL: not set), what is found is `found`, or the error is. */
static const struct {
    const char *path, *found;
    int error;
} searches[] = {
    {"b:c", "c/tool", 0},   {"b:a:c", "a/tool", 0},   {"a:b:c", "c/tool", 0}, /* behind the shim */
    {"c:a:b", "c/tool", 0}, /* none behind it: the first */
    {"a:c", "a/tool", 0},   /* the shim is not on PATH */
    {"b:b:a", "a/tool", 0}, {"a:b:b:n", "a/tool", 0}, {"b:n:d:z:/no/such:c", "c/tool", 0},
    {"b:n:a", "a/tool", 0}, {"b", NULL, -ENOENT},     {"b:z:d", NULL, -ENOENT},
    {"", NULL, -ENOENT},    {"b:n", NULL, -EACCES},   {"n:b", NULL, -EACCES},
};

static void
check_search(const char *path, const char *expected, int expected_error)
{
    char *found = NULL, *error = NULL;

    setenv("PATH", path, 1);
    int result = program_find_real("tool", VARIABLE, &found, &error);
    if (result != expected_error || (result == 0) != (error == NULL) ||
        (expected && (!found || strcmp(found, expected) != 0)))
        fail_msg("PATH=%s: %d, %s, %s", path, result, found ? found : "-", error ? error : "-");
    free(found);
    free(error);
}

static void
test_search(void **state)
{
    for (size_t i = 0; i < COUNT(searches); i++)
        check_search(searches[i].path, searches[i].found, searches[i].error);
}

/* An empty directory on PATH is the current one; one too long for the kernel is none. */
static void
test_search_odd(void **state)
{
    char path[8192];

    assert_int_equal(chdir("a"), 0);
    check_search("../b:", "tool", 0);
    check_search(":../b", "tool", 0);
    check_search("../b::../c", "tool", 0);
    assert_int_equal(chdir(".."), 0);
    memset(path, 'x', sizeof(path));
    snprintf(path + sizeof(path) - sizeof(":c"), sizeof(":c"), ":c");
    check_search(path, "c/tool", 0);
}

static void
test_find(void **state)
{
    char *found;

    setenv("PATH", "z:n:d:c:a", 1);
    found = program_find("tool");
    assert_string_equal(found, "c/tool");
    free(found);
    setenv("PATH", "z:n", 1);
    assert_null(program_find("tool"));
    unsetenv("PATH");
    found = program_find("sh");
    assert_non_null(found);
    free(found);
}

static const struct {
    const char *named, *found;
    int error;
    const char *said;
} names[] = {
    {"a/tool", "a/tool", 0, NULL},
    {"./c/tool", "./c/tool", 0, NULL},
    {"", "c/tool", 0, NULL}, /* as if it were not set */
    {"tool", NULL, -ENOENT, "TEST_SHIM_REAL: 'tool' is not a path"},
    {"z/tool", NULL, -ENOENT, "TEST_SHIM_REAL: 'z/tool': No such file or directory"},
    {"a/tool/x", NULL, -ENOTDIR, "TEST_SHIM_REAL: 'a/tool/x': Not a directory"},
    {"n/tool", NULL, -EACCES, "TEST_SHIM_REAL: 'n/tool' cannot be executed"},
    {"d/tool", NULL, -EACCES, "TEST_SHIM_REAL: 'd/tool' is not a regular file"},
    {"b/tool", NULL, -ELOOP, "TEST_SHIM_REAL: 'b/tool' is this shim itself"},
};

static void
test_named(void **state)
{
    setenv("PATH", "b:c", 1);
    for (size_t i = 0; i < COUNT(names); i++) {
        char *found = NULL, *error = NULL;

        setenv(VARIABLE, names[i].named, 1);
        assert_int_equal(program_find_real("tool", VARIABLE, &found, &error), names[i].error);
        if (names[i].found)
            assert_string_equal(found, names[i].found);
        else
            assert_string_equal(error, names[i].said);
        free(found);
        free(error);
    }
}

/* --- hops --- */

static void
set_hops(pid_t pid, uint64_t start_ticks, const char *rest)
{
    char text[128];

    snprintf(text, sizeof(text), "%d:%ju:%s:%u:%s", pid, (uintmax_t)start_ticks, rest, UINT_MAX,
             program_invocation_short_name);
    setenv("JOBSERVER_SHIM", text, 1);
}

static void
test_hops(void **state)
{
    static const char *const nonsense[] = {"", ":", "x", "1", "1:2", "a:b:c", "1:2:3:4"};
    struct process_info self;

    assert_int_equal(process_info(getpid(), &self), 0);
    assert_int_equal(program_shim_hops(), 0);
    set_hops(getpid(), self.start_ticks, "3");
    assert_int_equal(program_shim_hops(), 3);
    set_hops(getpid(), self.start_ticks, "3x");
    assert_int_equal(program_shim_hops(), 0);
    /* a shim of another kind: a script called make that becomes ninja */
    set_hops(getpid(), self.start_ticks, "3:0:other");
    assert_int_equal(program_shim_hops(), 0);
    /* a job of a shim, also one with its pid in a pid namespace of its own */
    set_hops(getppid(), self.start_ticks, "3");
    assert_int_equal(program_shim_hops(), 0);
    set_hops(getpid(), self.start_ticks + 1, "3");
    assert_int_equal(program_shim_hops(), 0);
    for (size_t i = 0; i < COUNT(nonsense); i++) {
        setenv("JOBSERVER_SHIM", nonsense[i], 1);
        assert_int_equal(program_shim_hops(), 0);
    }
}

static void
test_only_shims(void **state)
{
    char *found = NULL, *error = NULL;
    struct process_info self;

    assert_int_equal(process_info(getpid(), &self), 0);
    setenv("PATH", "b:c", 1);
    set_hops(getpid(), self.start_ticks, "100");
    check_search("b:c", "c/tool", 0);
    set_hops(getpid(), self.start_ticks, "101");
    assert_int_equal(program_find_real("tool", VARIABLE, &found, &error), -ENOENT);
    assert_string_equal(error, "only shims found on PATH for 'tool'");
    free(error);
}

static int
become(void *path)
{
    char tool[] = "tool", *argv[] = {tool, NULL};

    program_become_real(path, argv);
}

static void
test_become(void **state)
{
    char missing[] = "z/tool", barred[] = "n/tool", runs[] = "/bin/true";

    assert_int_equal(run_in_child(become, missing), 127);
    assert_int_equal(run_in_child(become, barred), 126);
    assert_int_equal(run_in_child(become, runs), 0);
    assert_int_equal(usage_exec_status(-ENOENT), 127);
    assert_int_equal(usage_exec_status(-EACCES), 126);
    assert_int_equal(usage_exec_status(-ENOEXEC), 126);
}

/* --- asking --- */

static void
test_ask(void **state)
{
    char answer[32], little[4];

    assert_int_equal(program_ask_version("c/tool", "tool", answer, sizeof(answer)), 0);
    assert_string_equal(answer, "c --version\n");
    assert_int_equal(program_ask_version("c/tool", "tool", little, sizeof(little)), 0);
    assert_string_equal(little, "c -");
    setenv("MAKEFLAGS", "--jobserver-auth=fifo:/no/such", 1);
    assert_int_equal(program_ask_version("a/tool", "tool", answer, sizeof(answer)), 0);
    assert_string_equal(answer, "a");
    assert_string_equal(getenv("MAKEFLAGS"), "--jobserver-auth=fifo:/no/such");
    unsetenv("MAKEFLAGS");
    assert_int_equal(program_ask_version("z/tool", "tool", answer, sizeof(answer)), 0);
    assert_string_equal(answer, "");
}

/* Who was started without stdin, stdout and stderr. */
static void
test_ask_closed(void **state)
{
    int saved[3];
    char answer[32];

    for (int fd = 0; fd < 3; fd++) {
        saved[fd] = dup(fd);
        assert_true(saved[fd] >= 0);
    }
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    int result = program_ask_version("c/tool", "tool", answer, sizeof(answer));
    for (int fd = 0; fd < 3; fd++) {
        dup2(saved[fd], fd);
        close(saved[fd]);
    }
    assert_int_equal(result, 0);
    assert_string_equal(answer, "c --version\n");
}

/* A script that runs one of us, which would ask in its turn. */
static void
test_asked(void **state)
{
    char answer[32];

    write_program("a/tool", "#!/bin/sh\nprintf %s \"$JOBWRAP_ASKED\"\n", 0755);
    assert_false(program_is_asked());
    assert_int_equal(program_ask_version("a/tool", "tool", answer, sizeof(answer)), 0);
    assert_string_equal(answer, "1");
    assert_false(program_is_asked());
    setenv("JOBWRAP_ASKED", "1", 1);
    assert_true(program_is_asked());
    assert_int_equal(program_ask_version("a/tool", "tool", answer, sizeof(answer)), -ELOOP);
    unsetenv("JOBWRAP_ASKED");
}

static void
test_level(void **state)
{
    unsetenv("JOBWRAP_LEVEL");
    for (unsigned i = 0; i < PROGRAM_LEVEL_MAX; i++)
        assert_int_equal(program_enter_level(), 0);
    assert_string_equal(getenv("JOBWRAP_LEVEL"), "100");
    assert_int_equal(program_enter_level(), -ELOOP);
    setenv("JOBWRAP_LEVEL", "many", 1);
    assert_int_equal(program_enter_level(), 0);
    assert_string_equal(getenv("JOBWRAP_LEVEL"), "1");
    unsetenv("JOBWRAP_LEVEL");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_old_make),
        cmocka_unit_test_setup_teardown(test_search, setup, teardown),
        cmocka_unit_test_setup_teardown(test_search_odd, setup, teardown),
        cmocka_unit_test_setup_teardown(test_find, setup, teardown),
        cmocka_unit_test_setup_teardown(test_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hops, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_shims, setup, teardown),
        cmocka_unit_test_setup_teardown(test_become, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ask, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ask_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_level, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
