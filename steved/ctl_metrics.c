/* SPDX-License-Identifier: GPL-2.0-or-later */

/* stevectl metrics: in the text format that Prometheus reads. Labels are few and their values too: users, but never
 * processes. */
#include "steved/ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "steved/snapshot.h"

/* Of a user, all its clients together. */
struct user {
    uint32_t uid;
    uint64_t held, reserved, waiting, clients, paused;
};

static void
begin(const char *name, const char *type, const char *help)
{
    printf("# HELP jobserver_%s %s\n# TYPE jobserver_%s %s\n", name, help, name, type);
}

static void
print_number(const char *name, const char *type, const char *help, uint64_t value)
{
    begin(name, type, help);
    printf("jobserver_%s %" PRIu64 "\n", name, value);
}

static void
print_decimal(const char *name, const char *help, double value)
{
    begin(name, "gauge", help);
    printf("jobserver_%s %.3f\n", name, value);
}

/* --- the pool --- */

static void
print_tokens(const struct steved_status *status)
{
    begin("tokens", "gauge", "Tokens by state; the sum is jobs plus debt.");
    printf("jobserver_tokens{state=\"free\"} %u\n"
           "jobserver_tokens{state=\"held\"} %u\n"
           "jobserver_tokens{state=\"reserved\"} %u\n",
           status->free, status->held, status->reserved);
}

static void
print_pool(const struct steved_status *status)
{
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } metrics[] = {
        {"jobs", "gauge", "Tokens that may be held at once.", status->jobs},
        {"min_jobs", "gauge", "Tokens that limits never hold back.", status->min_jobs},
        {"debt_tokens", "gauge", "Tokens that must be returned before one is granted again.",
         status->debt},
        {"waiting_clients", "gauge", "Clients that wait for a token.", status->waiting},
        {"paused_clients", "gauge", "Waiting clients whose build is paused.", status->paused},
        {"unpaid_slots", "gauge", "Jobs that run without a token, in implicit slots.",
         status->unpaid},
        {"accounts", "gauge", "Builds and sessions that share the tokens.", status->accounts},
        {"tokens_granted_total", "counter", "Tokens granted.", status->granted},
        {"tokens_returned_total", "counter", "Tokens returned by clients.", status->returned},
        {"tokens_reclaimed_total", "counter", "Tokens taken back from dead clients.",
         status->reclaimed},
        {"foreign_returns_total", "counter", "Tokens returned by another process than the holder.",
         status->foreign},
        {"dropped_bytes_total", "counter", "Bytes written by processes that owed no token.",
         status->dropped},
        {"reservations_lapsed_total", "counter", "Reservations that ran out unused.",
         status->lapsed},
    };

    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
        print_number(metrics[i].name, metrics[i].type, metrics[i].help, metrics[i].value);
    print_tokens(status);
}

/* --- memory and limits --- */

/* Nothing, where no build tells of memory. */
static void
print_memory(const struct steved_status *status)
{
    if (!status->memory_available_bytes)
        return;
    print_number("memory_available_bytes", "gauge", "Memory available to the build that has least.",
                 status->memory_available_bytes);
    print_number("memory_floor_bytes", "gauge", "The part of that memory that must stay free.",
                 status->memory_floor_bytes);
    print_number("memory_growth_bytes", "gauge",
                 "Memory that running jobs are still expected to need.",
                 status->memory_growth_bytes);
    print_number("memory_running_jobs", "gauge", "Running jobs of builds that report memory.",
                 status->memory_running);
    print_number("memory_waiting_jobs", "gauge", "Jobs that wait for memory.",
                 status->memory_waiting);
}

static void
print_throttle(const struct steved_throttle *throttle)
{
    begin("held_back", "gauge", "Whether this limit holds back grants above min_jobs.");
    printf("jobserver_held_back{by=\"memory\"} %d\njobserver_held_back{by=\"load\"} %d\n",
           (throttle->held_back_by & STEVED_HELD_BACK_BY_MEMORY) != 0,
           (throttle->held_back_by & STEVED_HELD_BACK_BY_LOAD) != 0);
    print_decimal("held_back_seconds", "For how long grants have been held back.",
                  (double)throttle->held_back_ms / 1000);
    if (throttle->wanted_bytes) {
        print_number("limit_memory_wanted_bytes", "gauge", "Memory that must be available.",
                     throttle->wanted_bytes);
        print_number("limit_memory_available_bytes", "gauge", "Memory available for that limit.",
                     throttle->available_bytes);
    }
    if (throttle->limits.load_centi) {
        print_decimal("limit_load_average", "The load average from which grants are held back.",
                      throttle->limits.load_centi / 100.0);
        print_decimal("load_average", "The load average for that limit.",
                      throttle->load_centi / 100.0);
    }
}

/* --- users --- */

static int
by_uid(const void *a, const void *b)
{
    const struct user *first = a, *second = b;

    return (first->uid > second->uid) - (first->uid < second->uid);
}

/* One for each client, and then all of a user in the first of them; returns how many there are. */
static size_t
sum_users(const struct snapshot *snapshot, struct user *users)
{
    size_t count = 0;

    for (size_t i = 0; i < snapshot->count; i++) {
        const struct steved_client *client = &snapshot->clients[i];
        users[i] = (struct user){.uid = client->uid,
                                 .held = client->held,
                                 .reserved = client->reserved,
                                 .waiting = client->waiting,
                                 .clients = 1,
                                 .paused = (client->flags & STEVED_CLIENT_PAUSED) != 0};
    }
    qsort(users, snapshot->count, sizeof(*users), by_uid);
    for (size_t i = 0; i < snapshot->count; i++) {
        if (count == 0 || users[count - 1].uid != users[i].uid) {
            users[count++] = users[i];
            continue;
        }
        struct user *sum = &users[count - 1];
        sum->held += users[i].held;
        sum->reserved += users[i].reserved;
        sum->waiting += users[i].waiting;
        sum->clients += users[i].clients;
        sum->paused += users[i].paused;
    }
    return count;
}

static void
print_of_users(const struct user *users, size_t count, const char *name, const char *help,
               size_t member)
{
    begin(name, "gauge", help);
    for (size_t i = 0; i < count; i++) {
        uint64_t value;
        memcpy(&value, (const char *)&users[i] + member, sizeof(value));
        printf("jobserver_%s{uid=\"%" PRIu32 "\"} %" PRIu64 "\n", name, users[i].uid, value);
    }
}

/* false: out of memory. */
static bool
print_users(const struct snapshot *snapshot)
{
    struct user *users = calloc(snapshot->count + 1, sizeof(*users));

    if (!users)
        return false;
    size_t count = sum_users(snapshot, users);
    print_of_users(users, count, "user_held_tokens", "Tokens that the clients of a user hold.",
                   offsetof(struct user, held));
    print_of_users(users, count, "user_reserved_tokens", "Tokens set aside for them.",
                   offsetof(struct user, reserved));
    print_of_users(users, count, "user_waiting_clients", "Clients of a user that wait for a token.",
                   offsetof(struct user, waiting));
    print_of_users(users, count, "user_clients", "Clients of a user that use tokens.",
                   offsetof(struct user, clients));
    print_of_users(users, count, "user_paused_clients", "Clients of a user whose build is paused.",
                   offsetof(struct user, paused));
    free(users);
    return true;
}

static bool
print_all(struct client *client, const struct snapshot *snapshot)
{
    begin("info", "gauge", "What is served: the kind of the server, and its protocol.");
    printf("jobserver_info{kind=\"%s\",protocol=\"%u\"} 1\n",
           client_is_jobwrap(client) ? "jobwrap" : "steved", snapshot->status.version);
    print_pool(&snapshot->status);
    print_memory(&snapshot->status);
    if (snapshot->has_throttle)
        print_throttle(&snapshot->throttle);
    return print_users(snapshot);
}

int
ctl_metrics(struct ctl_server *server, int argc, char **argv)
{
    struct snapshot snapshot = {0};

    if (argc > 0) {
        message("metrics takes no argument, not '%s'", argv[argc - 1]);
        return EXIT_USAGE;
    }
    if (ctl_connect(server) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    int error = snapshot_take(server->client, &snapshot);
    if (error == 0 && !print_all(server->client, &snapshot))
        error = -ENOMEM;
    snapshot_clear(&snapshot);
    if (error < 0)
        message("metrics: %s", strerror(-error));
    return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
