/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the environment says of a jobserver, read and written. Two FIFOs: one that MAKEFLAGS names, by its
 * path or by descriptors, and a jobwrap's. Each holds another number of tokens, which is how the test
 * sees which one was opened. What a steved says of itself is tested with it, in ../bats.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "libjobserver/environment.h"
#include "tests/unit/remove_tree.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define NAMED_TOKENS 2u
#define WRAPPER_TOKENS 5u

/* The numbers that MAKEFLAGS names. */
#define NAMED_READ 200
#define NAMED_WRITE 201
#define OTHER_FILE 202
#define NOT_OPEN 203

static const char *const variables[] = {"MAKEFLAGS", "CARGO_MAKEFLAGS", "JOBWRAP_FIFO",
                                        "JOBWRAP_JOBS", "XDG_RUNTIME_DIR"};

struct fixture {
    char directory[64];
    int wrapper_fd;
};

static int
make_fifo(const char *name, unsigned tokens)
{
    int fd = mkfifo(name, 0600) < 0 ? -1 : open(name, O_RDWR | O_CLOEXEC);

    for (; fd >= 0 && tokens > 0; tokens--)
        assert_int_equal(write(fd, "+", 1), 1);
    return fd;
}

static int
setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));

    *state = f;
    snprintf(f->directory, sizeof(f->directory), "/tmp/test_environment.XXXXXX");
    if (!mkdtemp(f->directory) || chdir(f->directory) < 0)
        return -1;
    int named_fd = make_fifo("named", NAMED_TOKENS);
    f->wrapper_fd = make_fifo("wrapper", WRAPPER_TOKENS);
    if (named_fd < 0 || f->wrapper_fd < 0 || dup2(named_fd, NAMED_READ) < 0 ||
        dup2(named_fd, NAMED_WRITE) < 0 || close(named_fd) < 0)
        return -1;
    int other_fd = open("other", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return other_fd < 0 || dup2(other_fd, OTHER_FILE) < 0 ? -1 : close(other_fd);
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    close(NAMED_READ);
    close(NAMED_WRITE);
    close(OTHER_FILE);
    close(f->wrapper_fd);
    for (size_t i = 0; i < COUNT(variables); i++)
        unsetenv(variables[i]);
    int result = chdir("/") < 0 ? -1 : remove_tree(f->directory);
    test_free(f);
    return result;
}

/* --- what MAKEFLAGS names --- */

static const struct {
    const char *makeflags, *wrapper;
    int result; /* 1, 0, or -1 for all errors */
    enum auth_kind kind;
    unsigned tokens; /* of the one that was opened */
    bool reason;     /* an error says one */
} cases[] = {
    {NULL, NULL, 0, AUTH_NONE, 0, false},
    {"", NULL, 0, AUTH_NONE, 0, false},
    {"ks -j4", "wrapper", 0, AUTH_NONE, 0, false},
    {"--jobserver-auth=fifo:named", NULL, 1, AUTH_FIFO, NAMED_TOKENS, false},
    {"--jobserver-auth=fifo:named", "wrapper", 1, AUTH_FIFO, NAMED_TOKENS, false},
    {"--jobserver-auth=200,201", NULL, 1, AUTH_PIPE, NAMED_TOKENS, false},
    {"--jobserver-auth=200,201", "wrapper", 1, AUTH_PIPE, NAMED_TOKENS, false},

    /* descriptors that are not for us */
    {"--jobserver-auth=203,203", "wrapper", 1, AUTH_NONE, WRAPPER_TOKENS, false},
    {"--jobserver-auth=202,202", "wrapper", 1, AUTH_NONE, WRAPPER_TOKENS, false},
    {"--jobserver-auth=200,202", "wrapper", 1, AUTH_NONE, WRAPPER_TOKENS, false},
    {"--jobserver-auth=-2,-2", "wrapper", 1, AUTH_NONE, WRAPPER_TOKENS, false},
    {"--jobserver-auth=nonsense", "wrapper", 1, AUTH_NONE, WRAPPER_TOKENS, false},
    {"--jobserver-auth=203,203", NULL, -1, AUTH_PIPE, 0, true},
    {"--jobserver-auth=203,203", "", -1, AUTH_PIPE, 0, true},
    {"--jobserver-auth=203,203", "gone", -1, AUTH_PIPE, 0, true},
    {"--jobserver-auth=203,203", "other", -1, AUTH_PIPE, 0, true},
    {"--jobserver-auth=-2,-2", NULL, -1, AUTH_CLOSED, 0, false},
    {"--jobserver-auth=nonsense", NULL, -1, AUTH_NONE, 0, true},

    /* A path is what it is. */
    {"--jobserver-auth=fifo:gone", "wrapper", -1, AUTH_FIFO, 0, true},
    {"--jobserver-auth=fifo:other", NULL, -1, AUTH_FIFO, 0, true},
};

static void
set(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

static void
check_open(size_t i)
{
    const char *flags = cases[i].makeflags ? cases[i].makeflags : "(none)";
    struct jobserver found;
    unsigned tokens = 0;
    char *error;

    set("MAKEFLAGS", cases[i].makeflags);
    set("JOBWRAP_FIFO", cases[i].wrapper);
    int result = environment_find_inherited(&found, &error);
    if (found.client)
        assert_int_equal(client_count_free(found.client, &tokens), 0);
    if (result != cases[i].result && !(result < 0 && cases[i].result < 0))
        fail_msg("case %zu, %s: %d", i, flags, result);
    if (found.auth.kind != cases[i].kind || tokens != cases[i].tokens ||
        (found.client != NULL) != (result == 1) || found.is_from_environment != (result != 0))
        fail_msg("case %zu, %s: kind %d, %u tokens", i, flags, (int)found.auth.kind, tokens);
    if ((error != NULL) != cases[i].reason)
        fail_msg("case %zu, %s: says '%s'", i, flags, error ? error : "(nothing)");
    environment_close(&found);
    free(error);
}

static void
test_open(void **state)
{
    for (size_t i = 0; i < COUNT(cases); i++)
        check_open(i);
    unsetenv("MAKEFLAGS");
    unsetenv("JOBWRAP_FIFO");
}

static void
test_total(void **state)
{
    static const struct {
        const char *makeflags, *wrapper_jobs;
        unsigned total;
    } totals[] = {
        {NULL, NULL, 0},
        {"", "", 0},
        {" -j4 --jobserver-auth=fifo:named", NULL, 4},
        {" -j4 --jobserver-auth=fifo:named", "7", 4},
        {NULL, "7", 7},
        {"-j --jobserver-auth=3,4", "7", 7},
        {"-j99999", "7", 7},
        {"-j65536", NULL, 65536},
        {"-j65537", NULL, 0},
        {NULL, "65537", 0},
        {NULL, "0", 0},
        {NULL, "-1", 0},
        {NULL, "many", 0},
    };
    struct client *client;
    char *error;

    assert_int_equal(client_open_path("named", &client, &error), 0);
    for (size_t i = 0; i < COUNT(totals); i++)
        assert_int_equal(
            environment_total_jobs(client, totals[i].makeflags, totals[i].wrapper_jobs),
            totals[i].total);
    client_close(client);
}

/* --- the server that nobody names --- */

/* What is found if XDG_RUNTIME_DIR names nothing. */
static const char *
system_server(void)
{
    struct client *client;
    char *error;

    int result = client_open_path("/dev/steve", &client, &error);
    free(error);
    if (result < 0)
        return NULL;
    bool is_server = client_kind(client) != CLIENT_FIFO;
    client_close(client);
    return is_server ? "fifo:/dev/steve" : NULL;
}

static void
expect_server(const char *expected)
{
    struct client *client = environment_find_server();

    assert_int_equal(client != NULL, expected != NULL);
    if (expected)
        assert_string_equal(client_name(client), expected);
    client_close(client);
}

static void
test_find_server(void **state)
{
    struct fixture *f = *state;

    unsetenv("XDG_RUNTIME_DIR");
    expect_server(system_server());
    setenv("XDG_RUNTIME_DIR", "", 1);
    expect_server(system_server());
    setenv("XDG_RUNTIME_DIR", f->directory, 1);
    expect_server(system_server()); /* nothing there */
    assert_int_equal(mkdir("steve", 0700), 0);
    assert_int_equal(mkfifo("steve/jobserver", 0600), 0);
    expect_server(system_server()); /* somebody's FIFO is no server */
    assert_int_equal(unlink("steve/jobserver"), 0);
    close(open("steve/jobserver", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    expect_server(system_server()); /* nor is what a server that is gone has left behind */
    unsetenv("XDG_RUNTIME_DIR");
}

static void
test_find_the_users_server(void **state)
{
    struct fixture *f = *state;
    char name[128];

    if (access("/dev/fuse", R_OK | W_OK) < 0) {
        print_message("# no character device to stand for a server\n");
        skip();
    }
    snprintf(name, sizeof(name), "fifo:%s/steve/jobserver", f->directory);
    assert_int_equal(mkdir("steve", 0700), 0);
    assert_int_equal(symlink("/dev/fuse", "steve/jobserver"), 0);
    setenv("XDG_RUNTIME_DIR", f->directory, 1);
    expect_server(name);
    setenv("XDG_RUNTIME_DIR", ".", 1);
    expect_server(system_server()); /* relative: to be ignored */
    unsetenv("XDG_RUNTIME_DIR");
}

/* --- the one order --- */

/* 1 and the name of what was found; 0; or -1 for all errors. */
static void
expect_order(const char *named, int expected, const char *name)
{
    struct jobserver found;
    char *error;
    int result = environment_find(named, &found, &error);

    assert_int_equal(result < 0 ? -1 : result, expected);
    assert_int_equal(found.client != NULL, expected == 1);
    if (name)
        assert_string_equal(client_name(found.client), name);
    assert_int_equal(error != NULL, expected == -1);
    environment_close(&found);
    free(error);
}

/* What MAKEFLAGS names is gone. */
static void
expect_way_given(const char *reason, const char *name)
{
    struct jobserver found;
    char *error;

    assert_int_equal(environment_find(NULL, &found, &error), 1);
    assert_string_equal(client_name(found.client), name);
    assert_int_equal(found.auth.kind, AUTH_NONE);
    assert_false(found.is_from_environment);
    assert_string_equal(error, reason);
    environment_close(&found);
    free(error);
}

/* make withholds it; nobody else steps in. */
static void
test_withheld(void **state)
{
    struct jobserver found;
    char *error;

    setenv("MAKEFLAGS", "--jobserver-auth=-2,-2", 1);
    assert_true(environment_find(NULL, &found, &error) < 0);
    assert_null(error);
    environment_close(&found);
}

static void
test_order(void **state)
{
    struct fixture *f = *state;
    char server[128];

    if (access("/dev/fuse", R_OK | W_OK) < 0) {
        print_message("# no character device to stand for a server\n");
        skip();
    }
    snprintf(server, sizeof(server), "fifo:%s/steve/jobserver", f->directory);
    assert_int_equal(mkdir("steve", 0700), 0);
    assert_int_equal(symlink("/dev/fuse", "steve/jobserver"), 0);
    setenv("XDG_RUNTIME_DIR", f->directory, 1);
    setenv("MAKEFLAGS", "--jobserver-auth=fifo:wrapper", 1);
    expect_order("named", 1, "fifo:named");
    expect_order("gone", -1, NULL);
    expect_order(NULL, 1, "fifo:wrapper");
    setenv("MAKEFLAGS", "--jobserver-auth=fifo:gone", 1);
    expect_way_given("open fifo:gone: No such file or directory", server);
    setenv("MAKEFLAGS", "--jobserver-auth=203,203", 1);
    expect_way_given("open 203,203: not open here (a recipe without '+' does not get them)",
                     server);
    setenv("MAKEFLAGS", "--jobserver-auth=fifo:other", 1);
    expect_order(NULL, -1, NULL); /* it is there, and no jobserver */
    setenv("MAKEFLAGS", "--jobserver-auth=nonsense", 1);
    expect_order(NULL, -1, NULL);
    unsetenv("MAKEFLAGS");
    expect_order(NULL, 1, server);
    unsetenv("XDG_RUNTIME_DIR");
    expect_order(NULL, system_server() ? 1 : 0, system_server());
}

/* --- telling --- */

static void
expect_variable(const char *name, const char *expected)
{
    const char *value = getenv(name);

    assert_int_equal(value != NULL, expected != NULL);
    if (expected)
        assert_string_equal(value, expected);
}

static void
test_tell(void **state)
{
    struct auth fifo = {.kind = AUTH_FIFO, .path = (char[]){"/a/b"}, .read_fd = -1, .write_fd = -1};

    setenv("MAKEFLAGS", "k -j2 --jobserver-auth=5,6", 1);
    setenv("CARGO_MAKEFLAGS", "--jobserver-auth=5,6", 1);
    assert_int_equal(environment_name_jobserver(&fifo, "/a/b", 7), 0);
    expect_variable("MAKEFLAGS", "k -j7 --jobserver-auth=fifo:/a/b");
    expect_variable("CARGO_MAKEFLAGS", " -j7 --jobserver-auth=fifo:/a/b");
    expect_variable("JOBWRAP_FIFO", "/a/b");
    expect_variable("JOBWRAP_JOBS", "7");
}

/* By its path, since who starts cargo closes descriptors. */
static void
test_tell_cargo(void **state)
{
    struct auth ends = {.kind = AUTH_PIPE, .read_fd = 1022, .write_fd = 1023};

    unsetenv("MAKEFLAGS");
    setenv("CARGO_MAKEFLAGS", "-j2 --jobserver-auth=5,6", 1);
    assert_int_equal(environment_name_jobserver(&ends, "/a/b", 7), 0);
    expect_variable("MAKEFLAGS", " -j7 --jobserver-auth=1022,1023");
    expect_variable("CARGO_MAKEFLAGS", " -j7 --jobserver-auth=fifo:/a/b");
    expect_variable("JOBWRAP_FIFO", "/a/b");
}

/* Whose number JOBWRAP_JOBS is, is known by the path beside it. */
static void
test_publish(void **state)
{
    struct fixture *f = *state;
    struct auth fifo = {
        .kind = AUTH_FIFO, .path = (char[]){"named"}, .read_fd = -1, .write_fd = -1};
    char absolute[96];

    snprintf(absolute, sizeof(absolute), "%s/named", f->directory);
    setenv("JOBWRAP_FIFO", "/elsewhere", 1);
    setenv("JOBWRAP_JOBS", "9", 1);
    setenv("CARGO_MAKEFLAGS", "--jobserver-auth=fifo:/its/own", 1);
    assert_int_equal(environment_publish_path(&fifo, 0), 0);
    expect_variable("JOBWRAP_FIFO", absolute);
    expect_variable("JOBWRAP_JOBS", NULL);
    expect_variable("CARGO_MAKEFLAGS", "--jobserver-auth=fifo:/its/own");
    setenv("CARGO_MAKEFLAGS", "--jobserver-auth=nonsense", 1); /* names none */
    setenv("JOBWRAP_JOBS", "9", 1);
    assert_int_equal(environment_publish_path(&fifo, 4), 0);
    expect_variable("JOBWRAP_JOBS", "9");
    expect_variable("CARGO_MAKEFLAGS", " -j4 --jobserver-auth=fifo:named");
    setenv("JOBWRAP_FIFO", "/elsewhere", 1);
    assert_int_equal(environment_publish_path(&fifo, 4), 0);
    expect_variable("JOBWRAP_JOBS", "4");
    fifo.path[0] = 'N'; /* there is no such path */
    assert_int_equal(environment_publish_path(&fifo, 4), -ENOENT);
}

static void
test_ends(void **state)
{
    struct auth ends = {.read_fd = -1, .write_fd = -1};
    char *error, token;

    assert_int_equal(environment_open_ends("named", &ends, &error), 0);
    assert_int_equal(ends.kind, AUTH_PIPE);
    assert_int_equal(fcntl(ends.read_fd, F_GETFD), 0); /* inherited */
    assert_int_equal(fcntl(ends.read_fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(ends.write_fd, F_GETFL) & O_NONBLOCK, 0);
    for (unsigned i = 0; i < NAMED_TOKENS; i++)
        assert_int_equal(read(ends.read_fd, &token, 1), 1);
    assert_int_equal(write(ends.write_fd, "ab", 2), 2);
    close(ends.read_fd);
    close(ends.write_fd);
    assert_int_equal(environment_open_ends("gone", &ends, &error), -ENOENT);
    assert_string_equal(error, "open fifo:gone: No such file or directory");
    free(error);
}

/* The highest two, but those that make's pselect(2) knows. */
static void
expect_ends(rlim_t limit, int read_fd, int write_fd)
{
    struct auth ends;
    struct rlimit old, new;
    char *error;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    new = (struct rlimit){.rlim_cur = limit, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &new), 0);
    int result = environment_open_ends("named", &ends, &error);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(result, read_fd < 0 ? -EMFILE : 0);
    if (read_fd < 0) {
        free(error);
        return;
    }
    assert_int_equal(ends.read_fd, read_fd);
    assert_int_equal(ends.write_fd, write_fd);
    close(ends.read_fd);
    close(ends.write_fd);
}

static void
test_numbers_of_ends(void **state)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 2048)
        skip();
    expect_ends(2048, 1023, 1022);
    expect_ends(1024, 1023, 1022);
    expect_ends(256, 255, 254);
    expect_ends(203, 199, 198); /* the fixture has 200 to 202 */
    expect_ends(100, 99, 98);
    int other = fcntl(STDIN_FILENO, F_DUPFD, 1022);
    expect_ends(2048, 1023, 1021);
    close(other);
    /* Nothing is left; or room for one of them. */
    int first = fcntl(STDIN_FILENO, F_DUPFD, 3);
    expect_ends((rlim_t)first, -1, -1);
    expect_ends((rlim_t)first + 2, -1, -1);
    close(first);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_open),
        TEST(test_total),
        TEST(test_find_server),
        TEST(test_find_the_users_server),
        TEST(test_order),
        TEST(test_withheld),
        TEST(test_tell),
        TEST(test_tell_cargo),
        TEST(test_publish),
        TEST(test_ends),
        TEST(test_numbers_of_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
