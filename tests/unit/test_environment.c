/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Two FIFOs: one that MAKEFLAGS names, by its path or by descriptors, and a jobwrap's. Each holds
 * another number of tokens, which is how the test sees which one was opened. What a steved says of
 * itself is tested with it, in ../bats.
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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "libjobserver/environment.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define NAMED_TOKENS 2u
#define WRAPPER_TOKENS 5u

/* The numbers that MAKEFLAGS names. */
#define NAMED_READ 200
#define NAMED_WRITE 201
#define OTHER_FILE 202
#define NOT_OPEN 203

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
    int result = unlink("named") || unlink("wrapper") || unlink("other") || chdir("/") ||
                 rmdir(f->directory);
    test_free(f);
    return result ? -1 : 0;
}

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
    struct client *client = NULL;
    unsigned tokens = 0;
    struct auth auth;
    char *error;

    set("MAKEFLAGS", cases[i].makeflags);
    set("JOBWRAP_FIFO", cases[i].wrapper);
    int result = client_open_inherited(&auth, &client, &error);
    if (client)
        assert_int_equal(client_count_free(client, &tokens), 0);
    if (result != cases[i].result && !(result < 0 && cases[i].result < 0))
        fail_msg("case %zu, %s: %d", i, flags, result);
    if (auth.kind != cases[i].kind || tokens != cases[i].tokens ||
        (client != NULL) != (result == 1))
        fail_msg("case %zu, %s: kind %d, %u tokens", i, flags, (int)auth.kind, tokens);
    if ((error != NULL) != cases[i].reason)
        fail_msg("case %zu, %s: says '%s'", i, flags, error ? error : "(nothing)");
    client_close(client);
    auth_clear(&auth);
    free(error);
}

static void
test_open(void **state)
{
    (void)state;
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

    (void)state;
    assert_int_equal(client_open_path("named", &client, &error), 0);
    for (size_t i = 0; i < COUNT(totals); i++)
        assert_int_equal(client_total_jobs(client, totals[i].makeflags, totals[i].wrapper_jobs),
                         totals[i].total);
    client_close(client);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_total, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
