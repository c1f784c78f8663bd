/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clients: a process that is killed while it is looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jobwrap/clients.h"

#define HANG_S 100

struct fixture {
    struct clients clients;
    int fifo[2];
    unsigned ended; /* so often a client's end was told */
    pid_t make, job;
};

static pid_t victim; /* of the next look; 0: nobody */

size_t __real_process_find_file(pid_t pid, dev_t device, ino_t inode, int *numbers, size_t max);
size_t __wrap_process_find_file(pid_t pid, dev_t device, ino_t inode, int *numbers, size_t max);

/* All processes are known by then, and this one's descriptors are about to be. */
size_t
__wrap_process_find_file(pid_t pid, dev_t device, ino_t inode, int *numbers, size_t max)
{
    if (pid == victim) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        victim = 0;
    }
    return __real_process_find_file(pid, device, inode, numbers, max);
}

static void
on_end(void *argument)
{
    struct fixture *fixture = argument;

    fixture->ended++;
}

static _Noreturn void
run_job(int told_fd)
{
    const pid_t pid = getpid();

    (void)!write(told_fd, &pid, sizeof(pid));
    alarm(HANG_S);
    pause();
    _exit(0);
}

/* With one job. */
static _Noreturn void
run_make(int told_fd)
{
    prctl(PR_SET_NAME, "make");
    if (fork() == 0)
        run_job(told_fd);
    alarm(HANG_S);
    pause();
    _exit(0);
}

static int
set_up(void **state)
{
    struct fixture *fixture = *state;
    int told[2];

    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    assert_int_equal(pipe2(fixture->fifo, O_CLOEXEC), 0);
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    struct event_base *base = event_base_new();
    assert_non_null(base);
    assert_int_equal(clients_open(&fixture->clients, fixture->fifo[0], 0, base, on_end, fixture),
                     0);
    fixture->make = fork();
    assert_true(fixture->make >= 0);
    if (fixture->make == 0)
        run_make(told[1]);
    assert_int_equal(read(told[0], &fixture->job, sizeof(fixture->job)), sizeof(fixture->job));
    clients_set_command(&fixture->clients, fixture->make, true);
    close(told[0]);
    close(told[1]);
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *fixture = *state;
    struct event_base *base = fixture->clients.base;

    kill(fixture->make, SIGKILL);
    kill(fixture->job, SIGKILL);
    while (wait(NULL) > 0)
        continue;
    clients_close(&fixture->clients);
    event_base_free(base);
    close(fixture->fifo[0]);
    close(fixture->fifo[1]);
    return 0;
}

/* Its token would be taken for that of somebody who lives and is not known. */
static void
test_a_make_that_dies_before_it_is_known_was_a_client(void **state)
{
    struct fixture *fixture = *state;
    struct losses_view view = {0};
    bool has_died;

    victim = fixture->make;
    assert_int_equal(clients_look(&fixture->clients, 1, &view, &has_died), 0);
    assert_int_equal(victim, 0);
    assert_true(view.most >= 1);
    assert_false(view.is_settled);
    assert_int_equal(fixture->ended, 1);
    assert_int_equal(clients_look(&fixture->clients, 1, &view, &has_died), 0);
    assert_true(has_died);
    assert_int_equal(view.most, 0);
    assert_int_equal(view.left_jobs, 1);
    assert_int_equal(view.left_slots, 1);
}

int
main(void)
{
    struct fixture fixture = {0};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(
            test_a_make_that_dies_before_it_is_known_was_a_client, set_up, tear_down, &fixture),
    };

    return cmocka_run_group_tests_name("clients", tests, NULL, NULL);
}
