/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The end of a pipeline is found, however its middle moves the pipe from number to number. */

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "ninja-shim/gate/pipes.h"

#define ROUNDS 500
#define LOOKS 20 /* at each member, while it moves its pipe */
#define FROM 20  /* the numbers that a member moves its pipe to */
#define TO 500

static uint64_t
pipe_of(int fd)
{
    struct stat status;

    assert_int_equal(fstat(fd, &status), 0);
    return status.st_ino;
}

static bool
is_no_job(const void *argument, pid_t child)
{
    return false;
}

/* As a shell does before a builtin, so to speak, only more often: the pipe is always there, but under
 * one number after the other. */
static void
move_about(int fd)
{
    for (int to = FROM; to < TO; fd = to++) {
        dup2(fd, to);
        close(fd);
    }
    pause();
}

/* The member in the middle of a pipeline: reads from `first` and writes to `second`. Returns when it
 * has begun to move about. */
static pid_t
start_middle(const int first[2], const int second[2])
{
    int begun[2];
    char byte;

    assert_int_equal(pipe2(begun, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(20); /* if the test fails before it ends us */
        close(first[1]);
        close(second[0]);
        if (write(begun[1], "+", 1) == 1)
            move_about(first[0]);
        _exit(1);
    }
    assert_int_equal(read(begun[0], &byte, 1), 1);
    close(begun[0]);
    close(begun[1]);
    return pid;
}

/* How often the last member, which reads from `second`, is not led to `first`. */
static int
times_passed_by(void)
{
    int first[2], second[2], passed_by = 0;
    struct pipes_set reached;

    assert_int_equal(pipe2(first, O_CLOEXEC), 0);
    assert_int_equal(pipe2(second, O_CLOEXEC), 0);
    uint64_t first_pipe = pipe_of(first[0]);
    uint64_t of_last[PIPES_STANDARD] = {pipe_of(second[0]), 0, 0};
    pid_t middle = start_middle(first, second);
    for (int i = 0; i < 2; i++) {
        close(first[i]);
        close(second[i]);
    }
    for (int i = 0; i < LOOKS; i++) {
        pipes_reach(&reached, getpid(), 0, of_last, is_no_job, NULL);
        passed_by += !pipes_set_has(&reached, first_pipe);
    }
    kill(middle, SIGKILL);
    assert_int_equal(waitpid(middle, NULL, 0), middle);
    return passed_by;
}

static void
member_that_moves_its_pipes_is_not_passed_by(void **state)
{
    int passed_by = 0;

    for (int i = 0; i < ROUNDS; i++)
        passed_by += times_passed_by();
    assert_int_equal(passed_by, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(member_that_moves_its_pipes_is_not_passed_by),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
