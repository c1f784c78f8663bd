/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The file that outlives a server. A child changes it and ends at a step of steps.h, at each in turn; what it
 * leaves must be what it had before one of its transactions, or after it.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "steved/state.h"
#include "steved/steps.h"

#define TRANSACTIONS 12u
#define ROWS 40u
#define SESSIONS 4u
#define CHILD_DIED 9
#define STEPS_MAX 10000u

/* Of the child that runs: how many steps are left, and how many transactions have begun and ended. */
static struct shared {
    uint64_t steps_left;
    uint32_t begun, ended;
} * shared;

void
steps_count(void)
{
    if (shared && shared->steps_left > 0 && --shared->steps_left == 0)
        _exit(CHILD_DIED);
}

/* --- a state --- */

static struct state *
create(void)
{
    struct state *state = state_create();

    assert_non_null(state);
    assert_true(state_fd(state) >= 0);
    struct state_greeting *greeting = state_greeting(state, 0);
    greeting->request_size = greeting->answer_size = 8;
    memcpy(greeting->request, &greeting->request_size, sizeof(greeting->request_size));
    return state;
}

/* Who had it is dead. */
static void
leave(const struct state *state)
{
    close(dup(state_fd(state)));
}

/* As another server finds it; NULL, and what is wrong. */
static struct state *
find(const struct state *left, const char **what)
{
    int fd = dup(state_fd(left));
    struct state *state = state_open(fd, what);

    if (!state)
        close(fd);
    return state;
}

static struct state *
find_good(const struct state *left)
{
    const char *what;
    struct state *state = find(left, &what);

    if (!state)
        fail_msg("%s", what);
    return state;
}

static void
refuses(const struct state *left, const char *because)
{
    const char *what;

    assert_null(find(left, &what));
    assert_non_null(strstr(what, because));
}

static const struct state_client *
client(const struct state *state, uint32_t number)
{
    return state_row(state, STATE_CLIENT, number);
}

static void
put_client(struct state *state, uint32_t number, uint64_t serial)
{
    const struct state_client row = {.serial = serial, .flags = STATE_CLIENT_IS_THERE};

    state_put(state, STATE_CLIENT, number, &row, sizeof(row));
}

/* As a kernel would: the first word is its size. */
static void
arrive(struct state *state, uint32_t number)
{
    const uint32_t request[4] = {sizeof(request), number};

    memcpy(state_request(state, number % SESSIONS), request, sizeof(request));
    state_serve_request(state);
}

static uint32_t
number_of(const void *request)
{
    return ((const uint32_t *)request)[1];
}

/* --- transactions, one after the other --- */

/* All rows of the transaction say its number, and so do the answer, or the read that waits, or no more. */
static void
transact(struct state *state, uint32_t number)
{
    arrive(state, number);
    for (uint32_t i = 0; i < ROWS; i++)
        put_client(state, (i * 7 + number) % ROWS, number);
    if (number % 3 == 0) {
        assert_int_not_equal(state_wait(state, 100), STATE_NONE);
    } else {
        if (number % 3 == 1 && number > 1)
            state_waiter_answered(state, 0, (int)number);
        *(uint32_t *)state_answer(state) = number;
        state_answered(state, sizeof(number));
    }
    shared->begun = number;
    state_commit(state);
    shared->ended = number;
    if (number % 3 == 1 && number > 1)
        state_waiter_end(state, 0);
}

static void
check_waiter(const struct state *state, uint32_t last)
{
    const struct state_waiter *waiter = state_row(state, STATE_WAITER, 0);

    if (last < 3) {
        assert_int_equal(waiter->state, 0);
    } else if (last % 3 == 0 || last % 3 == 2) {
        /* It came with the last third one, and goes with the one after it. */
        assert_int_equal(waiter->state, last % 3 == 0 ? STATE_WAITER_WAITS : 0);
    } else {
        assert_int_equal(waiter->state, STATE_WAITER_IS_ANSWERED);
        assert_int_equal(waiter->error, last);
    }
    if (waiter->state) {
        assert_int_equal(number_of(waiter->request), last - last % 3);
        assert_int_equal(waiter->session, (last - last % 3) % SESSIONS);
    }
}

static void
check(struct state *state)
{
    uint64_t last = client(state, 0)->serial;
    unsigned session;
    size_t size;

    assert_true(last == shared->begun || last == shared->ended);
    for (uint32_t i = 0; i < ROWS; i++)
        assert_int_equal(client(state, i)->serial, last);
    check_waiter(state, (uint32_t)last);
    const uint32_t *answer = state_last_answer(state, &size, &session);
    uint32_t answered = (uint32_t)(last % 3 == 0 && last > 0 ? last - 1 : last);
    assert_int_equal(size, answered ? sizeof(*answer) : 0);
    if (answered) {
        assert_int_equal(*answer, answered);
        assert_int_equal(session, answered % SESSIONS);
    }
    /* What was read and not done with is there yet. */
    if (state_has_request(state)) {
        assert_int_equal(number_of(state_serve_request(state)), last + 1);
        assert_int_equal(state_session(state), (last + 1) % SESSIONS);
    }
}

/* The child's part; it may die anywhere. */
static void
run_all(struct state *state, uint64_t steps)
{
    *shared = (struct shared){.steps_left = steps};
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (uint32_t i = 1; i <= TRANSACTIONS; i++)
            transact(state, i);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) &&
                (WEXITSTATUS(status) == CHILD_DIED || WEXITSTATUS(status) == 0));
    shared->steps_left = 0;
    leave(state);
    if (WEXITSTATUS(status) == 0)
        assert_int_equal(shared->ended, TRANSACTIONS);
}

/* Does a server that takes over die, too, before it has done so? */
static void
take_over_in_vain(const struct state *left, uint64_t steps)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        const char *what;
        shared->steps_left = steps;
        find(left, &what);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    shared->steps_left = 0;
}

static void
test_all_or_nothing(void **unused)
{
    uint64_t steps = 0;

    do {
        struct state *state = create();
        assert_true(++steps < STEPS_MAX);
        run_all(state, steps);
        for (uint64_t i = 1; i < 4; i++)
            take_over_in_vain(state, i);
        struct state *found = find_good(state);
        check(found);
        state_close(found);
        state_close(state);
    } while (shared->ended < TRANSACTIONS);
    /* Nothing was left out: each row is a step, and each transaction some more. */
    assert_true(steps > (uint64_t)TRANSACTIONS * ROWS);
}

/* --- one by one --- */

static void
test_is_seen_when_committed(void **unused)
{
    struct state *state = create();

    put_client(state, 3, 77);
    assert_int_equal(client(state, 3)->serial, 0);
    assert_false(state_has_rows(state, STATE_CLIENT));
    state_commit(state);
    assert_true(state_has_rows(state, STATE_CLIENT));
    assert_int_equal(client(state, 3)->serial, 77);
    assert_int_equal(state_rows(state, STATE_CLIENT), 4);
    put_client(state, 3, 78);
    put_client(state, 3, 79);
    state_commit(state);
    assert_int_equal(client(state, 3)->serial, 79);
    state_drop(state, STATE_CLIENT, 3);
    state_commit(state);
    assert_int_equal(client(state, 3)->flags, 0);
    assert_false(state_has_rows(state, STATE_CLIENT));
    state_close(state);
}

static void
test_request_is_there_until_it_is_done(void **unused)
{
    struct state *state = create();

    assert_false(state_has_request(state));
    arrive(state, 5);
    struct state *found = find_good(state);
    assert_true(state_has_request(found));
    assert_int_equal(number_of(state_serve_request(found)), 5);
    assert_int_equal(state_session(found), 5 % SESSIONS);
    state_close(found);
    state_request_done(state);
    assert_true(state_has_request(state));
    state_commit(state);
    assert_false(state_has_request(state));
    state_close(state);
}

/* Numbers of reads that have ended are used again, by a new server too. */
static void
test_waiters(void **unused)
{
    struct state *state = create();

    for (uint32_t i = 0; i < 4; i++) {
        arrive(state, i);
        assert_int_equal(state_wait(state, 100), i);
    }
    state_waiter_answered(state, 1, 0);
    state_waiter_end(state, 1);
    state_commit(state);
    struct state *found = find_good(state);
    assert_int_equal(number_of(state_serve_waiter(found, 2)), 2);
    assert_int_equal(state_session(found), 2);
    assert_int_equal(state_wait(found, 100), 2);
    state_request_done(found);
    assert_int_equal(number_of(state_serve_waiter(found, 3)), 3);
    state_request_done(found);
    arrive(found, 9);
    assert_int_equal(state_wait(found, 100), 3);
    arrive(found, 10);
    assert_int_equal(state_wait(found, 100), 1);
    state_commit(found);
    assert_int_equal(state_rows(found, STATE_WAITER), 4);
    state_close(found);
    state_close(state);
}

static void
test_tries_are_counted(void **unused)
{
    struct state *state = create();

    arrive(state, 1);
    for (uint32_t i = 1; i <= 3; i++) {
        struct state *found = find_good(state);
        assert_int_equal(state_try(found, STATE_NONE), i);
        state_close(found);
    }
    state_tried(state, STATE_NONE);
    assert_int_equal(state_try(state, STATE_NONE), 1);
    assert_int_equal(state_wait(state, 100), 0);
    state_commit(state);
    assert_int_equal(state_try(state, 0), 1);
    assert_int_equal(state_try(state, 0), 2);
    state_close(state);
}

/* A read that is too long to be kept cannot wait; none is. */
static void
test_too_long_to_wait(void **unused)
{
    struct state *state = create();

    arrive(state, 1);
    *(uint32_t *)state_request(state, 0) = STATE_WAITER_SIZE + 1;
    assert_int_equal(state_wait(state, 100), STATE_NONE);
    state_close(state);
}

/* --- what is refused --- */

static void
overwrite(const struct state *state, off_t at, uint32_t value)
{
    assert_int_equal(pwrite(state_fd(state), &value, sizeof(value), at), sizeof(value));
}

static void
test_unknown_states_are_refused(void **unused)
{
    struct state *state = create();
    const char *what;
    int ends[2];

    overwrite(state, 8, STATE_VERSION + 1);
    refuses(state, "another version");
    overwrite(state, 8, STATE_VERSION);
    overwrite(state, 12, 4096);
    refuses(state, "size");
    overwrite(state, 0, 0);
    refuses(state, "not a state");
    state_close(state);

    assert_int_equal(pipe(ends), 0);
    assert_null(state_open(ends[0], &what));
    assert_non_null(strstr(what, "not a file"));
    close(ends[0]);
    close(ends[1]);

    state = create();
    state_greeting(state, 0)->answer_size = 0;
    refuses(state, "had not begun");
    state_close(state);
}

/* Each would be handed on as long as its first word says, by a session that it names. */
static void
test_requests_that_make_no_sense_are_refused(void **unused)
{
    struct state *state = create();
    struct state_waiter waiter = {.state = STATE_WAITER_WAITS};
    const uint32_t size = STATE_WAITER_SIZE + 1;

    *(uint32_t *)state_request(state, 0) = STATE_REQUEST_SIZE + 1;
    refuses(state, "being served is damaged");
    *(uint32_t *)state_request(state, STATE_FILES_MAX) = 0;
    refuses(state, "being served is damaged");
    *(uint32_t *)state_request(state, 0) = 0;
    memcpy(waiter.request, &size, sizeof(size));
    state_put(state, STATE_WAITER, 0, &waiter, sizeof(waiter));
    state_commit(state);
    refuses(state, "waits is damaged");
    waiter = (struct state_waiter){.state = STATE_WAITER_WAITS, .session = STATE_FILES_MAX};
    state_put(state, STATE_WAITER, 0, &waiter, sizeof(waiter));
    state_commit(state);
    refuses(state, "waits is damaged");
    state_drop(state, STATE_WAITER, 0);
    state_commit(state);
    state_greeting(state, 3)->answer_size = STATE_GREETING_SIZE + 1;
    refuses(state, "greeting is damaged");
    state_greeting(state, 3)->answer_size = 0;
    *(uint32_t *)state_greeting(state, 0)->request = STATE_GREETING_SIZE + 1;
    refuses(state, "greeting is damaged");
    state_close(state);
}

static void
test_one_server_at_a_time(void **unused)
{
    struct state *state = create();
    const char *what;
    int status;
    pid_t other = fork();

    assert_true(other >= 0);
    if (other == 0)
        _exit(!state_open(state_fd(state), &what) && errno == EBUSY ? 0 : 1);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(status, 0);
    leave(state);
    other = fork();
    assert_true(other >= 0);
    if (other == 0)
        _exit(state_open(state_fd(state), &what) ? 0 : 1);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(status, 0);
    state_close(state);
}

/* Whatever is in it, and was not written by us: it is refused, or it is a state. */
static void
test_damage(void **unused)
{
    unsigned seed = 20261129;

    for (int round = 0; round < 300; round++) {
        struct state *state = create();
        const char *what;
        put_client(state, 1, 1);
        state_commit(state);
        for (int i = 0; i < 3; i++)
            overwrite(state, 16 + 4 * (rand_r(&seed) % 20), (uint32_t)rand_r(&seed));
        struct state *found = find(state, &what);
        if (found)
            state_close(found);
        state_close(state);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_or_nothing),
        cmocka_unit_test(test_is_seen_when_committed),
        cmocka_unit_test(test_request_is_there_until_it_is_done),
        cmocka_unit_test(test_waiters),
        cmocka_unit_test(test_tries_are_counted),
        cmocka_unit_test(test_too_long_to_wait),
        cmocka_unit_test(test_unknown_states_are_refused),
        cmocka_unit_test(test_requests_that_make_no_sense_are_refused),
        cmocka_unit_test(test_one_server_at_a_time),
        cmocka_unit_test(test_damage),
    };

    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
