/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reclaim and clients, with real processes that end while they are looked at. Those that stand for make and its jobs have
 * only the names; the numbers of tokens are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jobwrap/reclaim.h"

#define JOBS 4
#define LENT (JOBS - 1) /* one job runs in the implicit slot */

/* What processes tell each other. */
struct pids {
    pid_t make, daemon;
};

struct fixture {
    struct event_base *base;
    struct reclaim reclaim;
    int fifo[2];
    int orders[2], answers[2]; /* to the command, and from everybody */
    int jobs[2], daemon[2];    /* whose end is closed to let them go on */
    pid_t command;
    struct pids *pids; /* in memory that all share */
};

/* --- who ends while all are looked at --- */

static pid_t to_be_killed;

ssize_t __real_process_all(struct process_info **processes);
ssize_t __wrap_process_all(struct process_info **processes);

/* It has ended when the pidfd is readable: its children have another parent by then. */
static void
kill_at_once(pid_t pid)
{
    struct pollfd end = {.fd = process_open_pidfd(pid), .events = POLLIN};

    assert_true(end.fd >= 0);
    kill(pid, SIGKILL);
    assert_int_equal(poll(&end, 1, -1), 1);
    close(end.fd);
}

/* All are listed; what they have open is still to be looked at. */
ssize_t
__wrap_process_all(struct process_info **processes)
{
    ssize_t count = __real_process_all(processes);

    if (to_be_killed)
        kill_at_once(to_be_killed);
    to_be_killed = 0;
    return count;
}

/* --- the processes --- */

static void
answer(const struct fixture *fixture)
{
    if (write(fixture->answers[1], "", 1) != 1)
        _exit(1);
}

/* Until the test closes the other end, which nobody else has. */
static void
wait_for_end(int fd)
{
    char byte;

    while (read(fd, &byte, 1) > 0)
        continue;
}

static _Noreturn void
be_job(const struct fixture *fixture)
{
    prctl(PR_SET_NAME, "job");
    close(fixture->fifo[0]);
    close(fixture->fifo[1]);
    wait_for_end(fixture->jobs[0]);
    _exit(0);
}

static _Noreturn void
be_make(const struct fixture *fixture)
{
    prctl(PR_SET_NAME, "make");
    for (int i = 0; i < JOBS; i++)
        if (fork() == 0)
            be_job(fixture);
    answer(fixture);
    for (;;)
        pause();
}

static _Noreturn void
be_daemon(const struct fixture *fixture)
{
    wait_for_end(fixture->daemon[0]);
    setsid();
    answer(fixture);
    for (;;)
        pause();
}

static _Noreturn void
start_daemon(const struct fixture *fixture)
{
    pid_t pid = fork();

    if (pid == 0)
        be_daemon(fixture);
    fixture->pids->daemon = pid;
    _exit(0);
}

static void
obey(const struct fixture *fixture, char order)
{
    pid_t pid = fork();

    if (pid == 0 && order == 'm')
        be_make(fixture);
    if (pid == 0)
        start_daemon(fixture);
    if (order == 'm')
        fixture->pids->make = pid;
    else
        waitpid(pid, NULL, 0);
}

static _Noreturn void
be_command(const struct fixture *fixture)
{
    char order;

    prctl(PR_SET_NAME, "sh");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(fixture->orders[1]);
    close(fixture->jobs[1]);
    close(fixture->daemon[1]);
    while (read(fixture->orders[0], &order, 1) == 1) {
        obey(fixture, order);
        answer(fixture);
    }
    _exit(0);
}

static void
await_answers(const struct fixture *fixture, int count)
{
    char byte;

    while (count-- > 0)
        assert_int_equal(read(fixture->answers[0], &byte, 1), 1);
}

static void
order(const struct fixture *fixture, char what)
{
    assert_int_equal(write(fixture->orders[1], &what, 1), 1);
}

/* --- the fixture --- */

static void
never(void *argument)
{
    fail_msg("a look that nobody has asked for");
}

static int
set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    *state = fixture;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    fixture->base = event_base_new();
    fixture->pids = mmap(NULL, sizeof(*fixture->pids), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(fixture->pids, MAP_FAILED);
    int *pipes[] = {fixture->fifo, fixture->orders, fixture->answers, fixture->jobs,
                    fixture->daemon};
    for (size_t i = 0; i < sizeof(pipes) / sizeof(pipes[0]); i++)
        assert_int_equal(pipe(pipes[i]), 0);
    fixture->command = fork();
    if (fixture->command == 0)
        be_command(fixture);
    assert_int_equal(
        reclaim_open(&fixture->reclaim, fixture->fifo[0], getpid(), fixture->base, never, NULL), 0);
    reclaim_command(&fixture->reclaim, fixture->command, true);
    return 0;
}

static void
close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int
tear_down(void **state)
{
    struct fixture *fixture = *state;
    int *pipes[] = {fixture->fifo, fixture->orders, fixture->answers, fixture->jobs,
                    fixture->daemon};

    for (size_t i = 0; i < sizeof(pipes) / sizeof(pipes[0]); i++) {
        close_end(&pipes[i][0]);
        close_end(&pipes[i][1]);
    }
    kill(fixture->command, SIGKILL);
    if (fixture->pids->daemon)
        kill(fixture->pids->daemon, SIGKILL);
    while (wait(NULL) > 0)
        continue;
    reclaim_close(&fixture->reclaim);
    event_base_free(fixture->base);
    munmap(fixture->pids, sizeof(*fixture->pids));
    free(fixture);
    return 0;
}

/* --- looking --- */

static struct losses_decision
look(struct fixture *fixture, unsigned lent)
{
    reclaim_look(&fixture->reclaim, lent);
    return reclaim_decide(&fixture->reclaim, false);
}

/* The jobs end, one sees it, and two looks find what is lost. */
static void
end_jobs(struct fixture *fixture)
{
    close_end(&fixture->jobs[1]);
    for (int i = 0; i < JOBS; i++)
        assert_true(waitpid(-1, NULL, 0) > 0);
    reclaim_orphan_ended(&fixture->reclaim, LENT);
}

static void
start_make(struct fixture *fixture)
{
    order(fixture, 'm');
    await_answers(fixture, 2);
}

/* Nothing is lost while the jobs of a dead make run, and all that it had when they have ended. */
static void
all_is_found(struct fixture *fixture)
{
    struct losses_decision decision = look(fixture, LENT);

    assert_int_equal(decision.lost, 0);
    assert_int_equal(fixture->reclaim.view.left_jobs, JOBS);
    assert_int_equal(fixture->reclaim.view.left_slots, 1);
    assert_int_equal(look(fixture, LENT).lost, 0);
    end_jobs(fixture);
    assert_int_equal(look(fixture, LENT).lost, 0);
    assert_int_equal(look(fixture, LENT).lost, LENT);
}

/* --- tests --- */

static void
test_a_make_that_ends_while_it_is_looked_at_for_the_first_time(void **state)
{
    struct fixture *fixture = *state;

    look(fixture, 0);
    start_make(fixture);
    to_be_killed = fixture->pids->make;
    assert_int_equal(look(fixture, LENT).lost, 0);
    assert_int_equal(fixture->reclaim.unexplained, 0);
    all_is_found(fixture);
}

static void
test_a_make_that_is_known_ends_while_it_is_looked_at(void **state)
{
    struct fixture *fixture = *state;

    start_make(fixture);
    look(fixture, LENT);
    to_be_killed = fixture->pids->make;
    assert_int_equal(look(fixture, LENT).lost, 0);
    all_is_found(fixture);
}

static void
test_a_make_that_ends_between_two_looks(void **state)
{
    struct fixture *fixture = *state;

    start_make(fixture);
    look(fixture, LENT);
    kill_at_once(fixture->pids->make);
    all_is_found(fixture);
}

static void
test_who_becomes_a_daemon_is_no_job_that_was_left(void **state)
{
    struct fixture *fixture = *state;

    look(fixture, LENT);
    order(fixture, 'd');
    await_answers(fixture, 1);
    look(fixture, LENT);
    assert_int_equal(fixture->reclaim.view.left_jobs, 1);
    close_end(&fixture->daemon[1]);
    await_answers(fixture, 1);
    look(fixture, LENT);
    assert_int_equal(fixture->reclaim.view.left_jobs, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_make_that_ends_while_it_is_looked_at_for_the_first_time),
        TEST(test_a_make_that_is_known_ends_while_it_is_looked_at),
        TEST(test_a_make_that_ends_between_two_looks),
        TEST(test_who_becomes_a_daemon_is_no_job_that_was_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
