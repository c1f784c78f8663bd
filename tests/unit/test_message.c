/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What a program says while nobody reads it. Each test is a child, since a program has one stderr: it
 * says something, and its exit status is what it has found. The system's log is in ../bats.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "libjobserver/program/message.h"

#define PATIENCE_S 10u

/* In a child whose stderr is `fd`, and who is ended if it waits. Returns its exit status. */
static int
with_stderr(int fd, void (*says)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        alarm(PATIENCE_S);
        program_invocation_short_name = (char[]){"test"};
        dup2(fd, STDERR_FILENO);
        says();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        fail_msg("ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

/* What lies in a pipe, a socket or a terminal. */
static size_t
drain(int fd, char *text, size_t size)
{
    size_t length = 0;
    ssize_t got;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (length < size - 1 && (got = read(fd, text + length, size - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    return length;
}

static void
say_much(void)
{
    message_never_wait();
    for (int i = 0; i < 20000; i++)
        message("%d", i);
}

static void
say_after_much(void)
{
    char text[1 << 20];

    say_much();
    drain(STDIN_FILENO, text, sizeof(text));
    message("again");
}

/* --- who does not read --- */

/* The next that is taken tells of those that were not. */
static void
test_full_pipe(void **state)
{
    int ends[2], count;
    char text[PIPE_BUF];

    assert_int_equal(pipe(ends), 0);
    dup2(ends[0], STDIN_FILENO);
    assert_int_equal(with_stderr(ends[1], say_after_much), 0);
    drain(ends[0], text, sizeof(text));
    assert_int_equal(sscanf(text, "test: %d messages have been dropped\n", &count), 1);
    assert_in_range(count, 1, 19999);
    assert_string_equal(strchr(text, '\n'), "\ntest: again\n");
    close(ends[0]);
    close(ends[1]);
}

/* Other programs have the same description: they do not find it changed. */
static void
test_flags_stay(void **state)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(with_stderr(ends[1], say_much), 0);
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    close(ends[0]);
    close(ends[1]);
}

static void
check_socket(int type)
{
    int ends[2];
    char text[1 << 20];

    assert_int_equal(socketpair(AF_UNIX, type, 0, ends), 0);
    assert_int_equal(with_stderr(ends[1], say_much), 0);
    assert_true(drain(ends[0], text, sizeof(text)) > 0);
    close(ends[0]);
    close(ends[1]);
}

static void
test_full_socket(void **state)
{
    check_socket(SOCK_STREAM);
    check_socket(SOCK_DGRAM);
}

/* As by ^S, or because its emulator hangs. */
static void
test_terminal_that_stands_still(void **state)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);

    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    assert_int_equal(with_stderr(terminal, say_much), 0);
    tcflow(terminal, TCOOFF);
    assert_int_equal(with_stderr(terminal, say_much), 0);
    close(terminal);
    close(master);
}

/* Before the program serves anybody, and at its end, it waits, whatever others have done to the pipe. */
static void
say_three(void)
{
    for (int i = 0; i < 3; i++)
        message("%d", i);
}

/* So much, and nothing of what comes then. */
static void
read_late(int fd, size_t left)
{
    char text[4096];
    ssize_t size;

    /* The writer sleeps by then, or else has nothing to wait for. */
    usleep(50000);
    while (left > 0 && (size = read(fd, text, left < sizeof(text) ? left : sizeof(text))) > 0)
        left -= (size_t)size;
}

static void
test_waits(void **state)
{
    int ends[2];
    char text[PIPE_BUF], filling[4096] = "";
    size_t filled = 0;
    ssize_t written;

    assert_int_equal(pipe(ends), 0);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while ((written = write(ends[1], filling, sizeof(filling))) > 0)
        filled += (size_t)written;
    pid_t reader = fork();
    if (reader == 0) {
        read_late(ends[0], filled);
        _exit(0);
    }
    assert_int_equal(with_stderr(ends[1], say_three), 0);
    waitpid(reader, NULL, 0);
    drain(ends[0], text, sizeof(text));
    assert_string_equal(text, "test: 0\ntest: 1\ntest: 2\n");
    close(ends[0]);
    close(ends[1]);
}

static void
say_at_the_end(void)
{
    char text[1 << 20];

    say_much();
    drain(STDIN_FILENO, text, sizeof(text));
    message_may_wait();
    message("end");
}

static void
test_end(void **state)
{
    int ends[2], count;
    char text[PIPE_BUF];

    assert_int_equal(pipe(ends), 0);
    dup2(ends[0], STDIN_FILENO);
    assert_int_equal(with_stderr(ends[1], say_at_the_end), 0);
    drain(ends[0], text, sizeof(text));
    assert_int_equal(sscanf(text, "test: %d messages have been dropped\n", &count), 1);
    assert_string_equal(strchr(text, '\n'), "\ntest: end\n");
    close(ends[0]);
    close(ends[1]);
}

/* --- what is quoted --- */

static void
quote(void)
{
    message("--option: '%s' is wrong", "5\n6\t\x1b[31m\x7f \xc3\xa9 \xe9 \xc2\x9b.");
    message_errno(ENOENT, "open %s", "a\nb");
}

static void
test_controls_are_hidden(void **state)
{
    int ends[2];
    char text[PIPE_BUF];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(with_stderr(ends[1], quote), 0);
    drain(ends[0], text, sizeof(text));
    assert_string_equal(text, "test: --option: '5?6??[31m? \xc3\xa9 ? ??.' is wrong\n"
                              "test: open a?b: No such file or directory\n");
    close(ends[0]);
    close(ends[1]);
}

/* --- what cannot be written to --- */

static void
say_one(void)
{
    message("one");
    message_never_wait();
    message("two");
    message_errno(ENOENT, "three");
}

static void
test_broken_pipe(void **state)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(with_stderr(ends[1], say_one), 0);
    close(ends[1]);
}

static void
say_with_closed(void)
{
    close(STDERR_FILENO);
    say_one();
}

static void
test_closed(void **state)
{
    assert_int_equal(with_stderr(STDOUT_FILENO, say_with_closed), 0);
}

static void
say_with_limit(void)
{
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){0});
    say_one();
}

/* ulimit -f 0 */
static void
test_file_that_may_not_grow(void **state)
{
    FILE *file = tmpfile();

    assert_non_null(file);
    assert_int_equal(with_stderr(fileno(file), say_with_limit), 0);
    assert_int_equal(lseek(fileno(file), 0, SEEK_END), 0);
    fclose(file);
}

static void
test_full_disk(void **state)
{
    int full = open("/dev/full", O_WRONLY);

    if (full < 0)
        skip();
    assert_int_equal(with_stderr(full, say_one), 0);
    close(full);
}

/* --- lines --- */

static void
say_long(void)
{
    char words[2 * PIPE_BUF];

    memset(words, 'x', sizeof(words));
    words[sizeof(words) - 1] = '\0';
    message("%s", words);
    message_errno(-ENOENT, "open %s", "a");
}

static void
test_lines(void **state)
{
    int ends[2];
    char text[2 * PIPE_BUF];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(with_stderr(ends[1], say_long), 0);
    drain(ends[0], text, sizeof(text));
    assert_int_equal(strcspn(text, "\n") + 1, PIPE_BUF);
    assert_string_equal(text + PIPE_BUF, "test: open a: No such file or directory\n");
    close(ends[0]);
    close(ends[1]);
}

static void
say_after_end(void)
{
    message_never_wait();
    message("one");
    message_end();
    message("two");
}

/* Who reads does not wait for us any more. */
static void
test_nothing_left_to_say(void **state)
{
    int ends[2];
    char text[PIPE_BUF];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(with_stderr(ends[1], say_after_end), 0);
    drain(ends[0], text, sizeof(text));
    assert_string_equal(text, "test: one\n");
    close(ends[0]);
    close(ends[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_pipe),
        cmocka_unit_test(test_flags_stay),
        cmocka_unit_test(test_full_socket),
        cmocka_unit_test(test_terminal_that_stands_still),
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_controls_are_hidden),
        cmocka_unit_test(test_broken_pipe),
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_file_that_may_not_grow),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_nothing_left_to_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
