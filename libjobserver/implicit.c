/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/implicit.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>

int
implicit_parse(const char *text, enum implicit_policy *policy)
{
    static const struct {
        const char *name;
        enum implicit_policy policy;
    } names[] = {
        {"auto", IMPLICIT_AUTO},
        {"inherit", IMPLICIT_INHERIT},
        {"acquire", IMPLICIT_ACQUIRE},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(text, names[i].name) == 0) {
            *policy = names[i].policy;
            return 0;
        }
    }
    return -EINVAL;
}

/* A server that cannot tell (it has gone, or is full) has promised nothing. */
static bool
claim(struct client *client)
{
    struct steved_claim claim = {.paid = 0};

    return client_claim_implicit(client, &claim) == 0 && claim.paid != 0;
}

bool
implicit_is_paid(struct client *client, enum implicit_policy policy, bool from_environment)
{
    if (policy != IMPLICIT_AUTO)
        return policy == IMPLICIT_INHERIT;
    switch (client_kind(client)) {
    case CLIENT_FIFO:
        return from_environment;
    case CLIENT_SERVER:
        return claim(client);
    case CLIENT_DEVICE:
        /* In the environment of a whole system: who named it there started nobody. */
        return false;
    }
    return false;
}

bool
implicit_may_come(const struct client *client, enum implicit_policy policy)
{
    return policy == IMPLICIT_AUTO && client_kind(client) == CLIENT_SERVER;
}

int
implicit_acquire(struct client *client, enum implicit_policy policy, char *token)
{
    struct pollfd polled = {.fd = client_fd(client), .events = POLLIN};

    for (;;) {
        if (implicit_may_come(client, policy) && claim(client))
            return 0;
        int got = client_try_acquire(client, token);
        if (got == 1)
            client_pay_implicit(client);
        if (got != 0)
            return got;
        if (poll(&polled, 1, -1) < 0 && errno != EINTR)
            return -errno;
    }
}
