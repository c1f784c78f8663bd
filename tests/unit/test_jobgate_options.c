/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The command lines of jobgate: taken, told and refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ninja-shim/gate/jobgate_options.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define ARGUMENTS_MAX 8

static int
count(char *const *argv)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    return argc;
}

/* --- what is refused --- */

static const struct {
    const char *argv[ARGUMENTS_MAX], *said;
} refused_cases[] = {
    {{"jobgate"}, "no --jobs-of is given (see --help)"},
    {{"jobgate", "make"}, "no --jobs-of is given (see --help)"},
    {{"jobgate", "make", "--jobs-of=make"}, "no --jobs-of is given (see --help)"},
    {{"jobgate", "--jobs-of=xargs"}, "no command is given (see --help)"},
    {{"jobgate", "--jobs-of=xargs", "--"}, "no command is given (see --help)"},
    {{"jobgate", "--jobs-of=", "make"},
     "--jobs-of: '' is not the name of a program without its directory"},
    {{"jobgate", "--jobs-of=xargs", "--jobs-of", "/usr/bin/ctest", "make"},
     "--jobs-of: '/usr/bin/ctest' is not the name of a program without its directory"},
    {{"jobgate", "--jobs-of"}, "option '--jobs-of' needs an argument (see --help)"},
    {{"jobgate", "--jobserver="}, "--jobserver: '' is not auto or a jobserver"},
    {{"jobgate", "--jobserver=fifo:"}, "--jobserver: 'fifo:' is not auto or a jobserver"},
    {{"jobgate", "--implicit=yes"}, "--implicit: 'yes' is not auto, inherit or acquire"},
    {{"jobgate", "--gate=none"}, "--gate: 'none' is not auto, ptrace or seccomp"},
    {{"jobgate", "--gate="}, "--gate: '' is not auto, ptrace or seccomp"},
    {{"jobgate", "--memory=much"}, "--memory: 'much' is not auto, on or off"},
    {{"jobgate", "--memory="}, "--memory: '' is not auto, on or off"},
    {{"jobgate", "--no-tokens=1"}, "option '--no-tokens=1' takes no argument (see --help)"},
    {{"jobgate", "--class-rules"}, "option '--class-rules' needs an argument (see --help)"},
    {{"jobgate", "--program=make"}, "--program: 'make' is not a path"},
    {{"jobgate", "-j4"}, "unknown option '-j' (see --help)"},
    {{"jobgate", "--jobs=4"}, "unknown or ambiguous option '--jobs=4' (see --help)"},
    {{"jobgate", "--style=fifo"}, "unknown or ambiguous option '--style=fifo' (see --help)"},
    {{"jobgate", "--help=all"}, "option '--help=all' takes no argument (see --help)"},
};

/* Parses in a child, since that is meant to end. Returns its status, and what it said to fd. */
static int
parse_in_child(const char *const *words, int fd, char *said, size_t size)
{
    char *argv[ARGUMENTS_MAX + 1] = {NULL};
    int pipe_fds[2], status;
    ssize_t length = 0, r;

    for (int i = 0; i < ARGUMENTS_MAX && words[i]; i++)
        argv[i] = strdup(words[i]);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    fflush(NULL); /* or the child writes it again */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct jobgate_options options;
        dup2(pipe_fds[1], fd);
        jobgate_options_parse(&options, count(argv), argv);
        _exit(99);
    }
    close(pipe_fds[1]);
    while ((r = read(pipe_fds[0], said + length, size - 1 - (size_t)length)) > 0)
        length += r;
    said[length] = '\0';
    close(pipe_fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    for (char **word = argv; *word; word++)
        free(*word);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void
test_refused(void **state)
{
    char said[4096], expected[200];

    for (size_t i = 0; i < COUNT(refused_cases); i++) {
        snprintf(expected, sizeof(expected), "jobgate: %s\n", refused_cases[i].said);
        assert_int_equal(parse_in_child(refused_cases[i].argv, STDERR_FILENO, said, sizeof(said)),
                         2);
        assert_string_equal(said, expected);
    }
}

static void
test_told(void **state)
{
    char said[4096];

    assert_int_equal(parse_in_child((const char *[ARGUMENTS_MAX]){"jobgate", "--gate=ptrace", "-h"},
                                    STDOUT_FILENO, said, sizeof(said)),
                     0);
    assert_ptr_equal(strstr(said, "Usage: jobgate --jobs-of=NAME..."), said);
    assert_non_null(strstr(said, "\n      --gate=auto|ptrace|seccomp\n"));
    assert_non_null(strstr(
        said, "\n126: COMMAND cannot be run, 127: COMMAND does not exist. See jobgate(1).\n"));
    assert_int_equal(parse_in_child((const char *[ARGUMENTS_MAX]){"jobgate", "--version", "x"},
                                    STDOUT_FILENO, said, sizeof(said)),
                     0);
    assert_string_equal(said, "jobgate " PROJECT_VERSION "\n");
}

/* --- memory --- */

static void
assert_memory(const char *variable, const char *option, enum memory_mode expected)
{
    struct jobgate_options options;
    char program[] = "jobgate", name[] = "--jobs-of=x", command[] = "make";
    char *argv[] = {program, name, command, NULL, NULL};

    if (variable)
        assert_int_equal(setenv("JOBWRAP_MEMORY", variable, 1), 0);
    if (option) {
        argv[3] = argv[2];
        argv[2] = (char *)(uintptr_t)option;
    }
    optind = 0;
    jobgate_options_parse(&options, option ? 4 : 3, argv);
    assert_int_equal(options.memory, expected);
    free(options.names);
    unsetenv("JOBWRAP_MEMORY");
}

static void
test_memory(void **state)
{
    assert_memory(NULL, NULL, MEMORY_MODE_AUTO);
    assert_memory(NULL, "--memory=on", MEMORY_MODE_ON);
    assert_memory("", NULL, MEMORY_MODE_AUTO);
    assert_memory("off", NULL, MEMORY_MODE_OFF);
    assert_memory("off", "--memory=auto", MEMORY_MODE_AUTO);
}

/* --- what is taken --- */

static const struct {
    const char *argv[ARGUMENTS_MAX];
    const char *names[3];
    const char *server;
    enum implicit_policy implicit;
    const char *gate; /* its name */
    int command;      /* index in argv */
} taken_cases[] = {
    {{"jobgate", "--jobs-of=xargs", "make"}, {"xargs"}, NULL, IMPLICIT_AUTO, NULL, 2},
    {{"jobgate", "--jobs-of", "xargs", "--", "make"}, {"xargs"}, NULL, IMPLICIT_AUTO, NULL, 4},
    {{"jobgate", "--jobs-of=x", "--jobs-of=y", "--jobs-of=x", "make", "-h"},
     {"x", "y", "x"},
     NULL,
     IMPLICIT_AUTO,
     NULL,
     4},
    {{"jobgate", "--jobs-of=x", "--jobserver=/dev/steve", "make"},
     {"x"},
     "/dev/steve",
     IMPLICIT_AUTO,
     NULL,
     3},
    {{"jobgate", "--jobs-of=x", "--jobserver=3,4", "make"}, {"x"}, "3,4", IMPLICIT_AUTO, NULL, 3},
    {{"jobgate", "--jobs-of=x", "--jobserver", "fifo:/a", "make"},
     {"x"},
     "fifo:/a",
     IMPLICIT_AUTO,
     NULL,
     4},
    {{"jobgate", "--jobs-of=x", "--jobserver=/a", "--jobserver=auto", "make"},
     {"x"},
     NULL,
     IMPLICIT_AUTO,
     NULL,
     4},
    {{"jobgate", "--jobs-of=x", "--implicit=inherit", "--gate=ptrace", "make"},
     {"x"},
     NULL,
     IMPLICIT_INHERIT,
     "ptrace",
     4},
    {{"jobgate", "--implicit=acquire", "--gate=seccomp", "--jobs-of=x", "make", "--gate=none"},
     {"x"},
     NULL,
     IMPLICIT_ACQUIRE,
     "seccomp",
     4},
    {{"jobgate", "--jobs-of=x", "--gate=seccomp", "--gate=auto", "make"},
     {"x"},
     NULL,
     IMPLICIT_AUTO,
     NULL,
     4},
};

static void
test_taken(void **state)
{
    for (size_t i = 0; i < COUNT(taken_cases); i++) {
        struct jobgate_options options;
        char *argv[ARGUMENTS_MAX + 1] = {NULL};

        for (int n = 0; n < ARGUMENTS_MAX && taken_cases[i].argv[n]; n++)
            argv[n] = strdup(taken_cases[i].argv[n]);
        optind = 0; /* getopt starts afresh */
        jobgate_options_parse(&options, count(argv), argv);
        for (size_t n = 0; n < options.name_count; n++)
            assert_string_equal(options.names[n], taken_cases[i].names[n]);
        assert_true(options.name_count == 3 || !taken_cases[i].names[options.name_count]);
        if (taken_cases[i].server)
            assert_string_equal(options.server, taken_cases[i].server);
        else
            assert_null(options.server);
        assert_int_equal(options.implicit, taken_cases[i].implicit);
        if (taken_cases[i].gate)
            assert_string_equal(options.gate->name, taken_cases[i].gate);
        else
            assert_null(options.gate);
        assert_ptr_equal(options.command, argv + taken_cases[i].command);
        free(options.names);
        for (char **word = argv; *word; word++)
            free(*word);
    }
}

int
main(void)
{
    static char name[] = "jobgate";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_memory),
    };

    program_invocation_short_name = name;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
