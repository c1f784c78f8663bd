/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Whether the implicit slot is paid for, whatever the server answers.
 *
 * The client here is the test's own: it defines all that implicit.c asks of client.c, which is
 * therefore not taken from the archive. How a real steved answers is shown by the bats tests.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/implicit.h"

struct client {
    enum client_kind kind;
    int result;      /* of client_claim_implicit() */
    __u32 paid;      /* its answer */
    unsigned claims; /* how often it was asked */

    /* For a wait: a pipe that says 'ask again' by each of its bytes. */
    int wakes[2];
    unsigned paid_at; /* from this claim on it is paid; 0: as above */
    int tries[4];     /* what client_try_acquire() returns */
    unsigned tried, slots_paid;
};

enum client_kind
client_kind(const struct client *client)
{
    return client->kind;
}

int
client_claim_implicit(struct client *client, struct steved_claim *claim)
{
    client->claims++;
    claim->paid = client->paid_at ? client->claims >= client->paid_at : client->paid;
    return client->result;
}

int
client_fd(const struct client *client)
{
    return client->wakes[0];
}

int
client_try_acquire(struct client *client, char *token)
{
    char wake;

    if (client->tried > 0)
        assert_int_equal(read(client->wakes[0], &wake, 1), 1);
    *token = '+';
    return client->tries[client->tried++];
}

int
client_pay_implicit(struct client *client)
{
    client->slots_paid++;
    return 0;
}

static const struct {
    const char *name;
    enum client_kind kind;
    int result;
    __u32 answer;
    enum implicit_policy policy;
    bool from_environment, paid;
    unsigned claims;
} cases[] = {
    {"a FIFO of MAKEFLAGS", CLIENT_FIFO, 0, 0, IMPLICIT_AUTO, true, true, 0},
    {"a FIFO that the user named", CLIENT_FIFO, 0, 1, IMPLICIT_AUTO, false, false, 0},
    {"a FIFO, inherit", CLIENT_FIFO, 0, 0, IMPLICIT_INHERIT, false, true, 0},
    {"a FIFO, acquire", CLIENT_FIFO, 0, 0, IMPLICIT_ACQUIRE, true, false, 0},

    {"steved, paid", CLIENT_SERVER, 0, 1, IMPLICIT_AUTO, true, true, 1},
    {"steved, not paid", CLIENT_SERVER, 0, 0, IMPLICIT_AUTO, true, false, 1},
    {"steved found, paid", CLIENT_SERVER, 0, 1, IMPLICIT_AUTO, false, true, 1},
    {"steved found, not paid", CLIENT_SERVER, 0, 0, IMPLICIT_AUTO, false, false, 1},
    {"steved gone", CLIENT_SERVER, -ENOTCONN, 1, IMPLICIT_AUTO, true, false, 1},
    /* The caller knows better, and a claim would take what another descendant is entitled to. */
    {"steved, inherit", CLIENT_SERVER, 0, 0, IMPLICIT_INHERIT, true, true, 0},
    {"steved, acquire", CLIENT_SERVER, 0, 1, IMPLICIT_ACQUIRE, true, false, 0},

    {"another device", CLIENT_DEVICE, 0, 1, IMPLICIT_AUTO, true, false, 0},
    {"another device found", CLIENT_DEVICE, 0, 1, IMPLICIT_AUTO, false, false, 0},
    {"another device, inherit", CLIENT_DEVICE, 0, 0, IMPLICIT_INHERIT, true, true, 0},
    {"another device, acquire", CLIENT_DEVICE, 0, 1, IMPLICIT_ACQUIRE, true, false, 0},
};

static void
test_is_paid(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct client client = {
            .kind = cases[i].kind, .result = cases[i].result, .paid = cases[i].answer};
        bool paid = implicit_is_paid(&client, cases[i].policy, cases[i].from_environment);

        if (paid != cases[i].paid || client.claims != cases[i].claims)
            fail_msg("%s: paid %d, %u claims", cases[i].name, paid, client.claims);
    }
}

static void
test_may_come(void **state)
{
    const struct client fifo = {.kind = CLIENT_FIFO}, steved = {.kind = CLIENT_SERVER},
                        device = {.kind = CLIENT_DEVICE};

    assert_true(implicit_may_come(&steved, IMPLICIT_AUTO));
    assert_false(implicit_may_come(&steved, IMPLICIT_INHERIT));
    assert_false(implicit_may_come(&steved, IMPLICIT_ACQUIRE));
    assert_false(implicit_may_come(&fifo, IMPLICIT_AUTO));
    assert_false(implicit_may_come(&device, IMPLICIT_AUTO));
}

/* A wait that would need more wakes than it gets would never end. */
static int
acquire(struct client *client, enum implicit_policy policy, const char *wakes)
{
    char token = 0;

    assert_int_equal(pipe(client->wakes), 0);
    assert_int_equal(write(client->wakes[1], wakes, strlen(wakes)), strlen(wakes));
    int result = implicit_acquire(client, policy, &token);
    close(client->wakes[0]);
    close(client->wakes[1]);
    return result;
}

static void
test_acquire_by_a_claim_that_comes_late(void **state)
{
    struct client client = {.kind = CLIENT_SERVER, .paid_at = 3};

    assert_int_equal(acquire(&client, IMPLICIT_AUTO, "www"), 0);
    assert_int_equal(client.tried, 2);
    assert_int_equal(client.slots_paid, 0);
}

static void
test_acquire_by_a_token(void **state)
{
    struct client client = {.kind = CLIENT_SERVER, .tries = {0, 0, 1}};

    assert_int_equal(acquire(&client, IMPLICIT_AUTO, "www"), 1);
    assert_int_equal(client.claims, 3);
    assert_int_equal(client.slots_paid, 1);
}

static void
test_acquire_asks_for_no_claim_that_is_not_wanted(void **state)
{
    struct client client = {.kind = CLIENT_SERVER, .paid = 1, .tries = {0, 1}};

    assert_int_equal(acquire(&client, IMPLICIT_ACQUIRE, "ww"), 1);
    assert_int_equal(client.claims, 0);
}

static void
test_acquire_from_a_server_that_goes(void **state)
{
    struct client client = {.kind = CLIENT_SERVER, .result = -ENOTCONN, .tries = {0, -ENOTCONN}};

    assert_int_equal(acquire(&client, IMPLICIT_AUTO, "ww"), -ENOTCONN);
    assert_int_equal(client.slots_paid, 0);
}

static void
test_parse(void **state)
{
    static const struct {
        const char *text;
        enum implicit_policy policy;
    } good[] = {
        {"auto", IMPLICIT_AUTO},
        {"inherit", IMPLICIT_INHERIT},
        {"acquire", IMPLICIT_ACQUIRE},
    };
    static const char *const bad[] = {"",    "Auto",  "auto ",    " auto",
                                      "aut", "autoo", "acquire,", "1"};
    enum implicit_policy policy;

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        policy = good[i].policy == IMPLICIT_AUTO ? IMPLICIT_ACQUIRE : IMPLICIT_AUTO;
        assert_int_equal(implicit_parse(good[i].text, &policy), 0);
        assert_int_equal(policy, good[i].policy);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        policy = IMPLICIT_INHERIT;
        assert_int_equal(implicit_parse(bad[i], &policy), -EINVAL);
        assert_int_equal(policy, IMPLICIT_INHERIT);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_paid),
        cmocka_unit_test(test_may_come),
        cmocka_unit_test(test_acquire_by_a_claim_that_comes_late),
        cmocka_unit_test(test_acquire_by_a_token),
        cmocka_unit_test(test_acquire_asks_for_no_claim_that_is_not_wanted),
        cmocka_unit_test(test_acquire_from_a_server_that_goes),
        cmocka_unit_test(test_parse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
