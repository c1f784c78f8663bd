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

#include "libjobserver/implicit.h"

struct client {
    enum client_kind kind;
    int result;      /* of client_claim_implicit() */
    __u32 paid;      /* its answer */
    unsigned claims; /* how often it was asked */
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
    claim->paid = client->paid;
    return client->result;
}

static const struct {
    const char *name;
    struct client client;
    enum implicit_policy policy;
    bool from_environment, paid;
    unsigned claims;
} cases[] = {
    {"a FIFO of MAKEFLAGS", {CLIENT_FIFO, 0, 0, 0}, IMPLICIT_AUTO, true, true, 0},
    {"a FIFO that the user named", {CLIENT_FIFO, 0, 1, 0}, IMPLICIT_AUTO, false, false, 0},
    {"a FIFO, inherit", {CLIENT_FIFO, 0, 0, 0}, IMPLICIT_INHERIT, false, true, 0},
    {"a FIFO, acquire", {CLIENT_FIFO, 0, 0, 0}, IMPLICIT_ACQUIRE, true, false, 0},

    {"steved, paid", {CLIENT_SERVER, 0, 1, 0}, IMPLICIT_AUTO, true, true, 1},
    {"steved, not paid", {CLIENT_SERVER, 0, 0, 0}, IMPLICIT_AUTO, true, false, 1},
    {"steved found, paid", {CLIENT_SERVER, 0, 1, 0}, IMPLICIT_AUTO, false, true, 1},
    {"steved found, not paid", {CLIENT_SERVER, 0, 0, 0}, IMPLICIT_AUTO, false, false, 1},
    {"steved gone", {CLIENT_SERVER, -ENOTCONN, 1, 0}, IMPLICIT_AUTO, true, false, 1},
    /* The caller knows better, and a claim would take what another descendant is entitled to. */
    {"steved, inherit", {CLIENT_SERVER, 0, 0, 0}, IMPLICIT_INHERIT, true, true, 0},
    {"steved, acquire", {CLIENT_SERVER, 0, 1, 0}, IMPLICIT_ACQUIRE, true, false, 0},

    {"another device", {CLIENT_DEVICE, 0, 1, 0}, IMPLICIT_AUTO, true, false, 0},
    {"another device found", {CLIENT_DEVICE, 0, 1, 0}, IMPLICIT_AUTO, false, false, 0},
    {"another device, inherit", {CLIENT_DEVICE, 0, 0, 0}, IMPLICIT_INHERIT, true, true, 0},
    {"another device, acquire", {CLIENT_DEVICE, 0, 1, 0}, IMPLICIT_ACQUIRE, true, false, 0},
};

static void
test_is_paid(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct client client = cases[i].client;
        bool paid = implicit_is_paid(&client, cases[i].policy, cases[i].from_environment);

        if (paid != cases[i].paid || client.claims != cases[i].claims)
            fail_msg("%s: paid %d, %u claims", cases[i].name, paid, client.claims);
    }
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
        cmocka_unit_test(test_parse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
