/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a server that goes on makes of the classes of the one before, and of rows that are not what that has written. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "libjobserver/pool/rows.h"
#include "libjobserver/program/clock.h"
#include "steved/answers.h"
#include "steved/clients.h"
#include "steved/restore.h"
#include "steved/server.h"

/* --- instead of answers.c --- */

void
answer_forget(struct fuse_pollhandle *pollhandle)
{
    fail();
}

/* --- two servers, one after the other --- */

static void
answer(struct server *server)
{
    state_commit(server->state);
}

static const struct options given = {.device = "steve",
                                     .jobs = 2,
                                     .min_jobs = 1,
                                     .limits.load_recheck_ms = 5000,
                                     .classes = {2, {{"remote", 3}, {"link", 1}}}};

static struct server *
create(const struct options *options)
{
    static struct server server;

    memset(&server, 0, sizeof(server));
    server.options = *options;
    assert_int_equal(server_init(&server, answer), 0);
    return &server;
}

static struct server *
begin(void)
{
    struct server *server = create(&given);

    assert_int_equal(server_begin(server), 0);
    struct state_greeting *greeting = state_greeting(server->state, 0);
    greeting->request_size = greeting->answer_size = sizeof(greeting->request_size);
    memcpy(greeting->request, &greeting->request_size, sizeof(greeting->request_size));
    return server;
}

static void
end(struct server *server)
{
    server_stop(server);
    for (unsigned i = 0; i < server->file_count; i++)
        clients_end(&server->files[i]);
    server_end(server);
}

/* Of the pools as well; the one that ends has done all that it was asked. */
static void
record(struct server *server)
{
    for (unsigned i = 0; i < server->file_count; i++) {
        struct pool_row row;
        while (pool_next_change(server->files[i].pool, &row))
            state_put(server->state, state_table_of(i, STATE_POOL_ROWS + row.kind), row.number,
                      &row, sizeof(row));
    }
    state_commit(server->state);
}

/* The next, which has these options: NULL if it refuses what was left. */
static struct server *
succeed(struct server *before, const struct options *options)
{
    const int fd = dup(state_fd(before->state));
    const char *what;

    end(before);
    struct server *server = create(options);
    server->state = state_open(fd, &what);
    assert_non_null(server->state);
    int error = restore(server);
    if (error == 0)
        return server;
    assert_int_equal(error, -EINVAL);
    end(server);
    return NULL;
}

static unsigned
jobs_of(const struct server *server, unsigned file)
{
    struct pool_status status;

    pool_get_status(server->files[file].pool, &status);
    return status.capacity;
}

/* --- rows --- */

static void
put_class(const struct server *server, unsigned number, const struct state_file *row)
{
    state_put(server->state, state_table_of(number, STATE_FILE), 0, row, sizeof(*row));
}

/* The first class has this row: the next server refuses it. */
static void
refuses(const struct state_file *row)
{
    struct server *server = begin();

    record(server);
    put_class(server, 1, row);
    state_commit(server->state);
    assert_null(succeed(server, &given));
}

static void
test_classes_stay_as_they_are_set(void **unused)
{
    struct server *server = begin();
    struct file *file = &server->files[1];
    const int64_t ends_ns = clock_now_ns() + STEVED_LEASE_MAX_MS * NS_PER_MS;

    assert_int_equal(pool_set_capacity(file->pool, 30, clock_now_ns()), 0);
    file->lease_ends_ns = ends_ns;
    server_record_file(file);
    record(server);
    server = succeed(server, &given);
    assert_non_null(server);
    assert_int_equal(server->file_count, 3);
    assert_string_equal(server->files[1].spec.name, "remote");
    assert_int_equal(jobs_of(server, 1), 30);
    assert_true(server->files[1].lease_ends_ns == ends_ns);
    assert_true(server->files[2].lease_ends_ns == POOL_NO_DEADLINE);
    assert_int_equal(jobs_of(server, 2), 1);
    end(server);
}

/* While there was no server. */
static void
test_a_lease_that_is_over(void **unused)
{
    struct server *server = begin();

    server->files[1].lease_ends_ns = clock_now_ns();
    server_record_file(&server->files[1]);
    record(server);
    server = succeed(server, &given);
    assert_non_null(server);
    assert_true(server->files[1].lease_ends_ns == POOL_NO_DEADLINE);
    assert_int_equal(jobs_of(server, 1), 0);
    end(server);
}

/* It has ended before its first row of it was there. */
static void
test_a_class_that_was_being_added(void **unused)
{
    static const struct class_spec heavy = {"heavy", 4};
    struct server *server = begin();
    struct options more = given;

    record(server);
    more.classes.specs[more.classes.count++] = heavy;
    server = succeed(server, &more);
    assert_non_null(server);
    assert_int_equal(server->file_count, 4);
    server = succeed(server, &more);
    assert_non_null(server);
    assert_int_equal(server->file_count, 4);
    assert_string_equal(server->files[3].spec.name, "heavy");
    assert_int_equal(jobs_of(server, 3), 4);
    end(server);
}

/* It has no jobs, until one that can serve it has those that are given. */
static void
test_a_class_that_could_not_be_served(void **unused)
{
    struct server *server = begin();

    server_withdraw_file(&server->files[1]);
    assert_int_equal(jobs_of(server, 1), 0);
    record(server);
    server = succeed(server, &given);
    assert_non_null(server);
    assert_int_equal(jobs_of(server, 1), 3);
    end(server);
}

static void
test_what_makes_no_sense_is_refused(void **unused)
{
    struct state_file row = {.name = "link", .given_jobs = 3};

    refuses(&row);
    strcpy(row.name, "../link");
    refuses(&row);
    row.name[0] = '\0';
    refuses(&row);
    memset(row.name, 'a', sizeof(row.name));
    refuses(&row);
    row = (struct state_file){
        .name = "remote", .given_jobs = 3, .has_lease = 1, .lease_ends_ns = INT64_MAX};
    refuses(&row);
}

static void
test_a_class_behind_one_that_is_not_there(void **unused)
{
    static const struct state_file row = {.name = "heavy"};
    struct server *server = begin();

    record(server);
    put_class(server, 4, &row);
    state_commit(server->state);
    assert_null(succeed(server, &given));
}

/* Whoever is root makes the devices of new classes beside it. */
static void
test_a_device_that_is_none(void **unused)
{
    struct server *server = begin();

    server->options.device = "../tmp/steve";
    server_record_settings(server);
    record(server);
    assert_null(succeed(server, &given));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes_stay_as_they_are_set),
        cmocka_unit_test(test_a_lease_that_is_over),
        cmocka_unit_test(test_a_class_that_was_being_added),
        cmocka_unit_test(test_a_class_that_could_not_be_served),
        cmocka_unit_test(test_what_makes_no_sense_is_refused),
        cmocka_unit_test(test_a_class_behind_one_that_is_not_there),
        cmocka_unit_test(test_a_device_that_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
