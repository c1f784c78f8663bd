/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The guardian, with servers that serve nothing: this program itself. They share their state with the test,
 * and their device is a pipe into which each writes its pid when it is ready: at its other end the test sees who
 * serves, and that nobody has it open any more.
 */
#include "steved/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "child.h"

#define PASSED_DEVICE FD_PASSED_FIRST
#define PASSED_STATE (FD_PASSED_FIRST + 1)

enum next { SERVES, DIES_BEFORE_READY, DIES_WHEN_READY, CRASHES_WHEN_READY, CANNOT_GO_ON };

struct state {
    enum next next;
    unsigned servers; /* that were started */
};

struct fixture {
    struct state *state;
    int state_fd;
    int device; /* the end that the servers have; -1 once it is closed here */
    int told;   /* the other end */
    pid_t guardian;
    uint64_t watchdog_us; /* that the guardian is told; 0: nothing */
};

/* --- a server --- */

static void
on_end(int number)
{
    _exit(EXIT_SUCCESS);
}

static _Noreturn void
serve(struct state *state, int device, const struct notify *notify)
{
    pid_t pid = getpid();

    alarm(HANG_S);
    state->servers++;
    if (state->next == DIES_BEFORE_READY)
        raise(SIGKILL);
    signal(SIGTERM, on_end);
    notify_send(notify, "STATUS=serving\nREADY=1");
    if (write(device, &pid, sizeof(pid)) != (ssize_t)sizeof(pid))
        _exit(EXIT_FAILURE);
    if (state->next == DIES_WHEN_READY)
        raise(SIGKILL);
    if (state->next == CRASHES_WHEN_READY)
        raise(SIGABRT);
    for (;;)
        pause();
}

static bool
is_set(const char *name, const char *wanted)
{
    const char *value = getenv(name);

    return value && strcmp(value, wanted) == 0;
}

static struct state *
map_state(int fd)
{
    void *state = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return state == MAP_FAILED ? NULL : state;
}

/* What sd_listen_fds(3) would look for, and nothing else is open. */
static int
serve_what_was_left(void)
{
    struct notify notify = {.fd = -1};
    struct state *state = map_state(PASSED_STATE);
    char pid[16];

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    EXPECT(is_set("LISTEN_PID", pid) && is_set("LISTEN_FDS", "2"));
    EXPECT(is_set("LISTEN_FDNAMES", FD_NAME_DEVICE ":" FD_NAME_STATE));
    EXPECT(is_set("FDSTORE", "10") && FD_STORE_MAX == 10);
    EXPECT(state && notify_open(&notify) == 0);
    EXPECT(fcntl(notify.fd + 1, F_GETFD) < 0);
    EXPECT(getenv("WATCHDOG_USEC") && !getenv("WATCHDOG_PID"));
    serve(state, PASSED_DEVICE, &notify);
}

/* Asked whether it could go on, by one more argument. If it could not, it tells its pid, too. */
static int
check(const char *argument)
{
    struct state *state = map_state(PASSED_STATE);
    pid_t pid = getpid();

    EXPECT(state && strcmp(argument, "--check") == 0);
    if (state->next != CANNOT_GO_ON)
        return EXIT_SUCCESS;
    EXPECT(write(PASSED_DEVICE, &pid, sizeof(pid)) == (ssize_t)sizeof(pid));
    return 3;
}

static int
serve_first(const struct fixture *fixture)
{
    struct notify notify = {.fd = -1};

    EXPECT(notify_open(&notify) == 0);
    EXPECT(notify_store(&notify, FD_NAME_DEVICE, fixture->device) == 0);
    EXPECT(notify_store(&notify, FD_NAME_STATE, fixture->state_fd) == 0);
    serve(fixture->state, fixture->device, &notify);
}

/* --- its guardian --- */

static int
guard(void *data)
{
    struct fixture *fixture = data;
    static const struct identity identity;
    static struct daemon_start daemon = {.ready_fd = -1};
    static char program[] = "test_guardian", argument[] = "serve";
    static char *argv[] = {program, argument, NULL};
    static struct guardian guardian = {.argv = argv,
                                       .identity = &identity,
                                       .daemon = &daemon,
                                       .manager = {.fd = -1},
                                       .mount_lock = -1};

    guardian.is_watched = fixture->watchdog_us > 0;
    guardian.watchdog_us = fixture->watchdog_us;
    close(fixture->told);
    setsid(); /* without a terminal */
    EXPECT(guardian_start(&guardian) == 0);
    return serve_first(fixture);
}

static int
start(void **data)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    int ends[2];

    assert_non_null(fixture);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fixture->told = ends[0];
    fixture->device = ends[1];
    fixture->state_fd = memfd_create("state", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fixture->state_fd, sizeof(struct state)), 0);
    fixture->state = map_state(fixture->state_fd);
    assert_non_null(fixture->state);
    *data = fixture;
    return 0;
}

static void
start_guardian(struct fixture *fixture)
{
    fflush(NULL);
    fixture->guardian = fork();
    assert_true(fixture->guardian >= 0);
    if (fixture->guardian == 0)
        _exit(guard(fixture));
    close(fixture->device);
    fixture->device = -1;
}

static int
finish(void **data)
{
    struct fixture *fixture = *data;

    close(fixture->told);
    close(fixture->state_fd);
    munmap(fixture->state, sizeof(*fixture->state));
    free(fixture);
    return 0;
}

/* The next one that is ready; 0: nobody has the device any more. */
static pid_t
next_server(const struct fixture *fixture)
{
    pid_t pid;
    ssize_t size = read(fixture->told, &pid, sizeof(pid));

    assert_true(size == 0 || size == (ssize_t)sizeof(pid));
    return size ? pid : 0;
}

static int
guardian_status(const struct fixture *fixture)
{
    int status;

    assert_int_equal(waitpid(fixture->guardian, &status, 0), fixture->guardian);
    return status;
}

static void
assert_exit(const struct fixture *fixture, int expected)
{
    int status = guardian_status(fixture);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), expected);
}

/* --- tests --- */

static void
test_killed(void **data)
{
    struct fixture *fixture = *data;

    start_guardian(fixture);
    pid_t server = next_server(fixture);
    for (unsigned i = 2; i <= 20; i++) {
        kill(server, i < LIVES_CRASHES_MAX ? SIGABRT : SIGKILL);
        pid_t next = next_server(fixture);
        assert_int_not_equal(next, 0);
        assert_int_not_equal(next, server);
        assert_int_equal(fixture->state->servers, i);
        server = next;
    }
    kill(fixture->guardian, SIGTERM);
    assert_int_equal(next_server(fixture), 0);
    assert_exit(fixture, EXIT_SUCCESS);
    assert_int_equal(fixture->state->servers, 20);
}

static void
test_server_ends(void **data)
{
    struct fixture *fixture = *data;

    start_guardian(fixture);
    kill(next_server(fixture), SIGTERM);
    assert_int_equal(next_server(fixture), 0);
    assert_exit(fixture, EXIT_SUCCESS);
    assert_int_equal(fixture->state->servers, 1);
}

static void
test_replaced(void **data)
{
    struct fixture *fixture = *data;

    start_guardian(fixture);
    pid_t server = next_server(fixture);
    for (unsigned i = 2; i <= 4; i++) {
        kill(fixture->guardian, SIGHUP);
        pid_t next = next_server(fixture);
        assert_int_not_equal(next, 0);
        assert_int_not_equal(next, server);
        server = next;
    }
    kill(server, SIGTERM);
    assert_int_equal(next_server(fixture), 0);
    assert_exit(fixture, EXIT_SUCCESS);
}

static void
test_not_replaced(void **data)
{
    struct fixture *fixture = *data;

    start_guardian(fixture);
    pid_t server = next_server(fixture);
    fixture->state->next = CANNOT_GO_ON;
    kill(fixture->guardian, SIGHUP);
    assert_int_not_equal(next_server(fixture), server);
    kill(server, SIGTERM);
    assert_int_equal(next_server(fixture), 0);
    assert_exit(fixture, EXIT_SUCCESS);
    assert_int_equal(fixture->state->servers, 1);
}

static void
test_gives_up(void **data)
{
    struct fixture *fixture = *data;

    start_guardian(fixture);
    pid_t server = next_server(fixture);
    fixture->state->next = DIES_BEFORE_READY;
    kill(server, SIGKILL);
    assert_int_equal(next_server(fixture), 0);
    assert_exit(fixture, EXIT_FAILURE);
    assert_int_equal(fixture->state->servers, 1 + LIVES_DEATHS_MAX);
}

static void
test_fails_to_start(void **data)
{
    struct fixture *fixture = *data;

    fixture->state->next = DIES_BEFORE_READY;
    start_guardian(fixture);
    assert_int_equal(next_server(fixture), 0);
    assert_exit(fixture, EXIT_FAILURE);
    assert_int_equal(fixture->state->servers, 1);
}

static void
test_guardian_killed(void **data)
{
    struct fixture *fixture = *data;

    start_guardian(fixture);
    pid_t server = next_server(fixture);
    kill(fixture->guardian, SIGKILL);
    assert_int_equal(guardian_status(fixture), SIGKILL);
    /* It goes on, and is the last. */
    assert_int_equal(kill(server, 0), 0);
    kill(server, SIGKILL);
    assert_int_equal(next_server(fixture), 0);
}

static void
test_guardian_stopped(void **data)
{
    struct fixture *fixture = *data;

    start_guardian(fixture);
    pid_t server = next_server(fixture);
    kill(fixture->guardian, SIGSTOP);
    kill(server, SIGKILL);
    kill(fixture->guardian, SIGCONT);
    assert_int_not_equal(next_server(fixture), 0);
    kill(fixture->guardian, SIGTERM);
    assert_exit(fixture, EXIT_SUCCESS);
}

/* These say once that they are ready, and then nothing more. */
static void
test_silent(void **data)
{
    struct fixture *fixture = *data;

    fixture->watchdog_us = 200000;
    start_guardian(fixture);
    pid_t server = next_server(fixture);
    kill(server, SIGSTOP);
    pid_t next = next_server(fixture);
    assert_int_not_equal(next, 0);
    assert_int_not_equal(next, server);
    kill(fixture->guardian, SIGTERM);
    while (next_server(fixture))
        ;
    guardian_status(fixture);
    assert_true(fixture->state->servers >= 2);
}

static void
test_storm(void **data)
{
    struct fixture *fixture = *data;

    /* Each has been ready: that is no row of deaths. */
    fixture->state->next = DIES_WHEN_READY;
    start_guardian(fixture);
    for (unsigned i = 0; i < 3 * LIVES_DEATHS_MAX; i++)
        assert_int_not_equal(next_server(fixture), 0);
    kill(fixture->guardian, SIGTERM);
    while (next_server(fixture))
        ;
    guardian_status(fixture);
}

/* One that is not to follow at once is not started when all ends, either. */
static void
test_crash_loop(void **data)
{
    struct fixture *fixture = *data;
    struct pollfd told = {.fd = fixture->told, .events = POLLIN};

    fixture->state->next = CRASHES_WHEN_READY;
    start_guardian(fixture);
    for (unsigned i = 0; i < LIVES_CRASHES_MAX; i++)
        assert_int_not_equal(next_server(fixture), 0);
    assert_int_equal(poll(&told, 1, 300), 0);
    kill(fixture->guardian, SIGUSR1);
    kill(fixture->guardian, SIGHUP);
    kill(fixture->guardian, SIGTERM);
    assert_int_equal(next_server(fixture), 0);
    assert_exit(fixture, EXIT_FAILURE);
    assert_int_equal(fixture->state->servers, LIVES_CRASHES_MAX);
}

int
main(int argc, char **argv)
{
    if (argc > 2)
        return check(argv[2]);
    if (argc > 1)
        return serve_what_was_left();
    /* nohup(1) would have the guardian ignore it. */
    signal(SIGHUP, SIG_DFL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed, start, finish),
        cmocka_unit_test_setup_teardown(test_server_ends, start, finish),
        cmocka_unit_test_setup_teardown(test_replaced, start, finish),
        cmocka_unit_test_setup_teardown(test_not_replaced, start, finish),
        cmocka_unit_test_setup_teardown(test_gives_up, start, finish),
        cmocka_unit_test_setup_teardown(test_fails_to_start, start, finish),
        cmocka_unit_test_setup_teardown(test_guardian_killed, start, finish),
        cmocka_unit_test_setup_teardown(test_guardian_stopped, start, finish),
        cmocka_unit_test_setup_teardown(test_silent, start, finish),
        cmocka_unit_test_setup_teardown(test_storm, start, finish),
        cmocka_unit_test_setup_teardown(test_crash_loop, start, finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
