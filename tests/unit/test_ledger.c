/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Borrowing from a FIFO and from a pipe, and paying back, with room in the ledger and without, by
 * whoever is left. What steved keeps account of itself is tested with it, in ../bats.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "libjobserver/ledger.h"
#include "tests/unit/child.h"
#include "tests/unit/fifo.h"
#include "tests/unit/remove_tree.h"

/* Nobody else's: how much a user's pipes may take is counted for all of his processes. */
#define LONELY_USER 61999
#define ROUNDS 200

/* --- a FIFO, whose tokens can be told apart --- */

struct fixture {
    char directory[64];
    char fifo[96];
    int fifo_fd; /* keeps what is in it */
    unsigned first_fd;
};

static int
setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));

    *state = f;
    snprintf(f->directory, sizeof(f->directory), "/tmp/test_ledger.XXXXXX");
    if (!mkdtemp(f->directory) || chmod(f->directory, 0755) < 0)
        return -1;
    snprintf(f->fifo, sizeof(f->fifo), "%s/fifo", f->directory);
    if (mkfifo(f->fifo, 0600) < 0 || chmod(f->fifo, 0666) < 0)
        return -1;
    f->fifo_fd = open(f->fifo, O_RDWR | O_CLOEXEC);
    f->first_fd = (unsigned)f->fifo_fd;
    return f->fifo_fd < 0 ? -1 : 0;
}

/* A ledger is never closed by its programs: it ends with them. */
static int
teardown(void **state)
{
    struct fixture *f = *state;

    close_range(f->first_fd, ~0U, 0);
    int result = remove_tree(f->directory);
    test_free(f);
    return result;
}

static void
put_many(int fd, unsigned count)
{
    for (; count > 0; count--)
        put(fd, "+");
}

/* Takes them out: those in the FIFO are `expected`, in any order. */
static void
assert_tokens(int fd, const char *expected)
{
    char found[64] = "";
    size_t count = strlen(expected);

    assert_int_equal(bytes_in(fd), count);
    assert_int_equal(read(fd, found, sizeof(found) - 1), count);
    for (const char *token = expected; *token; token++) {
        char *at = strchr(found, *token);
        assert_non_null(at);
        *at = '-';
    }
}

static struct client *
open_fifo(const struct fixture *f)
{
    struct client *client = NULL;
    char *error;

    assert_int_equal(client_open_path(f->fifo, &client, &error), 0);
    return client;
}

static struct client *
open_pipe(const int ends[2])
{
    struct auth auth = {.kind = AUTH_PIPE, .read_fd = ends[0], .write_fd = ends[1]};
    struct client *client = NULL;
    char *error;

    assert_int_equal(client_open(&auth, &client, &error), 0);
    return client;
}

/* --- one token --- */

/* There are the tokens "abc". */
static void
borrow_and_repay_abc(struct client *client, int fd)
{
    struct ledger ledger;

    assert_int_equal(ledger_open(&ledger, client, 3), 0);
    assert_true(ledger.capacity >= 3);
    assert_int_equal(ledger_borrowed(&ledger), 0);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(ledger_borrow(&ledger), 1);
        assert_int_equal(ledger_borrowed(&ledger), i);
        assert_int_equal(bytes_in(fd), 3 - i);
    }
    assert_int_equal(ledger_borrow(&ledger), 0);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(ledger_repay(&ledger), 1);
        assert_int_equal(ledger_borrowed(&ledger), 3 - i);
        assert_int_equal(bytes_in(fd), i);
    }
    assert_int_equal(ledger_repay(&ledger), 0);
    assert_tokens(fd, "abc");
}

static void
test_a_fifos_own_bytes_move_and_come_back(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);

    put(f->fifo_fd, "abc");
    borrow_and_repay_abc(client, f->fifo_fd);
    client_close(client);
}

static void
test_a_pipes_own_bytes_move_and_come_back(void **state)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct client *client = open_pipe(ends);
    put(ends[1], "abc");
    borrow_and_repay_abc(client, ends[0]);
    client_close(client);
}

/* In a child, who may not open it again. */
static int
use_another_users(void *argument)
{
    const int *ends = argument;
    struct auth auth = {.kind = AUTH_PIPE, .read_fd = ends[0], .write_fd = ends[1]};
    struct client *client;
    struct ledger ledger;
    char *error;

    EXPECT(become_user(NOBODY));
    EXPECT(client_open(&auth, &client, &error) == 0);
    EXPECT(!(fcntl(client_fd(client), F_GETFL) & O_NONBLOCK));
    EXPECT(ledger_open(&ledger, client, 3) == 0);
    for (int i = 0; i < 3; i++)
        EXPECT(ledger_borrow(&ledger) == 1);
    EXPECT(ledger_borrow(&ledger) == 0);
    EXPECT(ledger_borrowed(&ledger) == 3);
    ledger_repay_all_but(&ledger, 1);
    EXPECT(ledger_borrowed(&ledger) == 1);
    EXPECT(ledger_repay(&ledger) == 1);
    EXPECT(ledger_repay(&ledger) == 0);
    client_close(client);
    return 0;
}

static void
test_another_users_pipe(void **state)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fchmod(ends[0], 0), 0);
    put(ends[1], "abc");
    assert_int_equal(run_in_child(use_another_users, ends), 0);
    assert_tokens(ends[0], "abc");
}

static void
test_all_but_some_are_repaid(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    struct ledger ledger;

    put(f->fifo_fd, "abcdef");
    assert_int_equal(ledger_open(&ledger, client, 6), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ledger_borrow(&ledger), 1);
    ledger_repay_all_but(&ledger, 9);
    assert_int_equal(ledger_borrowed(&ledger), 5);
    ledger_repay_all_but(&ledger, 2);
    assert_int_equal(ledger_borrowed(&ledger), 2);
    assert_int_equal(bytes_in(f->fifo_fd), 4);
    ledger_repay_all_but(&ledger, 0);
    assert_int_equal(ledger_borrowed(&ledger), 0);
    assert_tokens(f->fifo_fd, "abcdef");
    client_close(client);
}

/* --- room --- */

/* Borrows all that it can, then gives all back: how many that were. */
static unsigned
borrow_until_full(struct ledger *ledger, int fd, unsigned free)
{
    unsigned count = 0;
    int result;

    while ((result = ledger_borrow(ledger)) == 1)
        count++;
    assert_int_equal(result, -ENOSPC);
    assert_int_equal(ledger_borrowed(ledger), count);
    assert_int_equal(bytes_in(fd), free - count);
    assert_int_equal(ledger_repay(ledger), 1);
    assert_int_equal(ledger_borrow(ledger), 1);
    assert_int_equal(ledger_borrow(ledger), -ENOSPC);
    ledger_repay_all_but(ledger, 0);
    assert_int_equal(ledger_borrowed(ledger), 0);
    assert_int_equal(bytes_in(fd), free);
    return count;
}

/* Its pipe grows as it must; then no more fits, and the parent keeps the rest. */
static void
test_a_full_ledger(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    struct ledger ledger;

    assert_int_equal(ledger_open(&ledger, client, 1), 0);
    unsigned capacity = ledger.capacity;
    put_many(f->fifo_fd, capacity + 10);
    assert_int_equal(borrow_until_full(&ledger, f->fifo_fd, capacity + 10), capacity);
    client_close(client);
}

/* One after the other is filled. */
static void
test_room_in_many_pipes(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    struct ledger ledger;

    assert_int_equal(ledger_open(&ledger, client, 1000), 0);
    assert_true(ledger.capacity >= 1000);
    put_many(f->fifo_fd, 1000);
    for (unsigned i = 1; i <= 1000; i++)
        assert_int_equal(ledger_borrow(&ledger), 1);
    assert_int_equal(ledger_borrow(&ledger), 0);
    assert_int_equal(ledger_borrowed(&ledger), 1000);
    ledger_repay_all_but(&ledger, 0);
    assert_int_equal(ledger_borrowed(&ledger), 0);
    assert_int_equal(bytes_in(f->fifo_fd), 1000);
    client_close(client);
}

static void
test_more_is_wanted_than_a_ledger_holds(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    struct ledger ledger;

    assert_int_equal(ledger_open(&ledger, client, 1000000), 0);
    assert_true(ledger.capacity >= 1000);
    assert_true(ledger.capacity < 1000000);
    client_close(client);
}

/* So many more may be opened. */
static void
allow_descriptors(int more)
{
    struct rlimit limit;
    int lowest = dup(STDOUT_FILENO);

    assert_true(lowest >= 0);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)lowest + (rlim_t)more;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void
test_too_few_descriptors(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    struct ledger ledger;
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    allow_descriptors(1);
    int without_any = ledger_open(&ledger, client, 1000);
    allow_descriptors(5);
    int with_some = ledger_open(&ledger, client, 1000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(without_any, -EMFILE);
    assert_int_equal(with_some, 0);
    assert_true(ledger.capacity < 1000);
    put_many(f->fifo_fd, 1000);
    assert_int_equal(borrow_until_full(&ledger, f->fifo_fd, 1000), ledger.capacity);
    client_close(client);
}

/* All that a user's pipes may take has been taken (pipe(7)): new ones have two slots, or one. */
static int
use_without_room_to_grow(void *argument)
{
    const struct fixture *f = argument;
    struct client *client;
    struct ledger ledger;
    char *error;
    int ends[2];

    EXPECT(become_user(LONELY_USER));
    EXPECT(client_open_path(f->fifo, &client, &error) == 0);
    do
        EXPECT(pipe2(ends, O_CLOEXEC) == 0);
    while (fcntl(ends[0], F_SETPIPE_SZ, largest_pipe()) > 0);
    EXPECT(pipe2(ends, O_CLOEXEC) == 0);
    unsigned slots = (unsigned)fcntl(ends[0], F_GETPIPE_SZ) / (unsigned)sysconf(_SC_PAGESIZE);
    EXPECT(slots < 16);
    EXPECT(ledger_open(&ledger, client, 10) == 0);
    for (unsigned i = 0; i < slots; i++)
        EXPECT(ledger_borrow(&ledger) == 1);
    EXPECT(ledger_borrow(&ledger) == -ENOSPC);
    EXPECT(ledger_borrowed(&ledger) == slots);
    EXPECT(bytes_in(f->fifo_fd) == 6 - slots);
    ledger_repay_all_but(&ledger, 0);
    EXPECT(ledger_borrowed(&ledger) == 0);
    client_close(client);
    return 0;
}

static void
test_a_pipe_that_may_not_grow(void **state)
{
    struct fixture *f = *state;

    if (geteuid() != 0)
        skip();
    put(f->fifo_fd, "abcdef");
    assert_int_equal(run_in_child(use_without_room_to_grow, f), 0);
    assert_tokens(f->fifo_fd, "abcdef");
}

/* --- a parent that has changed meanwhile --- */

/* The client holds both ends, so that there is somebody to pay back to, whoever takes it. */
static void
test_the_parent_has_gone(void **state)
{
    int ends[2];
    struct ledger ledger;
    unsigned tokens_free;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct client *client = open_pipe(ends);
    put(ends[1], "ab");
    assert_int_equal(ledger_open(&ledger, client, 2), 0);
    assert_int_equal(ledger_borrow(&ledger), 1);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(ledger_borrow(&ledger), 1);
    assert_int_equal(ledger_borrow(&ledger), 0);
    ledger_repay_all_but(&ledger, 0);
    assert_int_equal(ledger_borrowed(&ledger), 0);
    assert_int_equal(client_count_free(client, &tokens_free), 0);
    assert_int_equal(tokens_free, 2);
    client_close(client);
}

/* In a child, since root might make it larger than it may be. */
static int
repay_to_a_full_fifo(void *argument)
{
    const struct fixture *f = argument;
    struct client *client;
    struct ledger ledger;
    char *error, page[4096];
    struct timespec begin, end;

    EXPECT(become_user(NOBODY));
    EXPECT(client_open_path(f->fifo, &client, &error) == 0);
    EXPECT(ledger_open(&ledger, client, 2) == 0);
    EXPECT(ledger_borrow(&ledger) == 1 && ledger_borrow(&ledger) == 1);
    fill(f->fifo_fd);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    EXPECT(ledger_repay(&ledger) == -EAGAIN);
    clock_gettime(CLOCK_MONOTONIC, &end);
    EXPECT(end.tv_sec - begin.tv_sec <= 10); /* a second is what it may wait */
    EXPECT(ledger_borrowed(&ledger) == 2);
    ledger_repay_all_but(&ledger, 0);
    EXPECT(ledger_borrowed(&ledger) == 2);
    /* A slot for each of the two. */
    for (int i = 0; i < 2; i++)
        EXPECT(read(f->fifo_fd, page, sizeof(page)) == sizeof(page));
    unsigned left = bytes_in(f->fifo_fd);
    ledger_repay_all_but(&ledger, 0);
    EXPECT(ledger_borrowed(&ledger) == 0);
    EXPECT(bytes_in(f->fifo_fd) == left + 2);
    client_close(client);
    return 0;
}

static void
test_a_fifo_that_somebody_has_filled(void **state)
{
    struct fixture *f = *state;

    put(f->fifo_fd, "ab");
    assert_int_equal(run_in_child(repay_to_a_full_fifo, f), 0);
}

/* --- who watches the parent, as the relay of a jobwrap around us does --- */

/* An event has come since the last call. */
static bool
was_told(int inotify_fd)
{
    struct pollfd waiting = {.fd = inotify_fd, .events = POLLIN};
    char events[4096];

    if (poll(&waiting, 1, 0) <= 0)
        return false;
    return read(inotify_fd, events, sizeof(events)) > 0;
}

static void
test_each_move_is_told(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    struct ledger ledger;
    int inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    assert_true(inotify_fd >= 0);
    put(f->fifo_fd, "abc");
    assert_int_equal(ledger_open(&ledger, client, 3), 0);
    assert_true(inotify_add_watch(inotify_fd, f->fifo, IN_ACCESS | IN_MODIFY | IN_OPEN) >= 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ledger_borrow(&ledger), 1);
        assert_true(was_told(inotify_fd));
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ledger_repay(&ledger), 1);
        assert_true(was_told(inotify_fd));
    }
    assert_int_equal(ledger_repay(&ledger), 0);
    assert_false(was_told(inotify_fd));
    client_close(client);
}

/* --- who is killed --- */

/* Borrows and repays until it is killed, at any point of it. */
static _Noreturn void
work_until_killed(struct ledger *ledger, unsigned seed)
{
    for (;;) {
        if (rand_r(&seed) % 2)
            ledger_borrow(ledger);
        else
            ledger_repay(ledger);
    }
}

static void
kill_one(const struct fixture *f, struct ledger *ledger, unsigned seed)
{
    const struct timespec moment = {.tv_nsec = (long)(rand_r(&seed) % 3000000)};

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        work_until_killed(ledger, seed);
    nanosleep(&moment, NULL);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    if (ledger_borrowed(ledger) + bytes_in(f->fifo_fd) != 8)
        print_error("seed %u\n", seed);
    assert_int_equal(ledger_borrowed(ledger) + bytes_in(f->fifo_fd), 8);
    ledger_repay_all_but(ledger, 0);
    assert_int_equal(bytes_in(f->fifo_fd), 8);
}

/* The keeper's part is ours: what the dead one had borrowed is known, and goes back. */
static void
test_a_sharer_repays_for_who_was_killed(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    unsigned seed = (unsigned)time(NULL);
    struct ledger ledger;

    put(f->fifo_fd, "abcdefgh");
    assert_int_equal(ledger_open(&ledger, client, 8), 0);
    for (unsigned round = 0; round < ROUNDS; round++)
        kill_one(f, &ledger, seed + round);
    assert_tokens(f->fifo_fd, "abcdefgh");
    client_close(client);
}

/* --- another parent --- */

/* Of three, the next one gives so many. */
static void
renew_three(struct fixture *f, unsigned given)
{
    struct ledger ledger;
    struct client *client = open_fifo(f), *next;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    next = open_pipe(ends);
    put_many(f->fifo_fd, 4);
    assert_int_equal(ledger_open(&ledger, client, 4), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ledger_borrow(&ledger), 1);
    put_many(ends[1], given);
    client_replace(client, next);
    const unsigned expected = given < 3 ? given : 3;
    assert_int_equal(ledger_renew(&ledger), expected);
    assert_int_equal(ledger_borrowed(&ledger), expected);
    assert_int_equal(bytes_in(ends[0]), given - expected);
    ledger_repay_all_but(&ledger, 0);
    assert_int_equal(bytes_in(ends[0]), given);
    assert_int_equal(bytes_in(f->fifo_fd), 1);
    client_close(client);
}

/* The next one is a pipe. */
static void
borrow_two_and_replace(struct fixture *f, struct ledger *ledger, int ends[2])
{
    struct client *client = open_fifo(f);

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    put_many(f->fifo_fd, 2);
    assert_int_equal(ledger_open(ledger, client, 2), 0);
    assert_false(ledger_forget(ledger));
    assert_int_equal(ledger_borrow(ledger), 1);
    assert_int_equal(ledger_borrow(ledger), 1);
    client_replace(client, open_pipe(ends));
}

static void
test_a_next_parent_that_has_gone_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct ledger ledger;
    int ends[2];

    borrow_two_and_replace(f, &ledger, ends);
    /* Reading fails from now on. */
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(dup2(null, client_fd(ledger.client)), client_fd(ledger.client));
    assert_true(ledger_renew(&ledger) < 0);
    assert_int_equal(ledger_borrowed(&ledger), 2);
    client_close(ledger.client);
}

/* A job ends when there is another parent, which has not been asked yet. */
static void
test_what_is_forgotten_goes_to_nobody(void **state)
{
    struct fixture *f = *state;
    struct ledger ledger;
    int ends[2];

    borrow_two_and_replace(f, &ledger, ends);
    assert_true(ledger_forget(&ledger));
    assert_int_equal(ledger_borrowed(&ledger), 1);
    assert_int_equal(bytes_in(ends[0]), 0);
    put_many(ends[1], 3);
    assert_int_equal(ledger_renew(&ledger), 1);
    ledger_repay_all_but(&ledger, 0);
    assert_int_equal(bytes_in(ends[0]), 3);
    client_close(ledger.client);
}

static void
test_as_many_as_the_next_parent_gives(void **state)
{
    struct fixture *f = *state;
    char token;

    for (unsigned given = 0; given <= 5; given++) {
        renew_three(f, given);
        assert_int_equal(read(f->fifo_fd, &token, 1), 1);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_fifos_own_bytes_move_and_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_pipes_own_bytes_move_and_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_users_pipe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_but_some_are_repaid, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_ledger, setup, teardown),
        cmocka_unit_test_setup_teardown(test_room_in_many_pipes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_is_wanted_than_a_ledger_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_few_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_pipe_that_may_not_grow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_parent_has_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_fifo_that_somebody_has_filled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_move_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_sharer_repays_for_who_was_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_as_many_as_the_next_parent_gives, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_forgotten_goes_to_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_next_parent_that_has_gone_changes_nothing, setup,
                                        teardown),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
