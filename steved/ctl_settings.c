/* SPDX-License-Identifier: GPL-2.0-or-later */

/* stevectl get and set. */
#include "steved/ctl.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/classes/spec.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "libjobserver/throttle/settings.h"

/* As POOL_CAPACITY_MAX of the server. */
#define JOBS_MAX 65536u

#define READ_ONLY 0u
#define LEASE "lease"
#define LEASE_DECIMALS 3

/* The names are those of steved's options and of the JSON status. */
static const struct setting {
    const char *name;
    unsigned named; /* STEVED_SET_*, or READ_ONLY */
    unsigned min;
    size_t in_settings; /* of a __u32 */
    size_t in_status, size;
} settings[] = {
#define IN_STATUS(member)                                                                          \
    offsetof(struct steved_status, member), sizeof(((struct steved_status *)NULL)->member)
    {"jobs", STEVED_SET_JOBS, 1, offsetof(struct steved_settings, jobs), IN_STATUS(jobs)},
    {"min-jobs", STEVED_SET_MIN_JOBS, 1, offsetof(struct steved_settings, min_jobs),
     IN_STATUS(min_jobs)},
    {"per-process-limit", STEVED_SET_PER_PROCESS_LIMIT, 0,
     offsetof(struct steved_settings, per_process_limit), IN_STATUS(per_process_limit)},
    {"per-user-limit", STEVED_SET_PER_USER_LIMIT, 0,
     offsetof(struct steved_settings, per_user_limit), IN_STATUS(per_user_limit)},
    {"free", READ_ONLY, 0, 0, IN_STATUS(free)},
    {"held", READ_ONLY, 0, 0, IN_STATUS(held)},
    {"reserved", READ_ONLY, 0, 0, IN_STATUS(reserved)},
    {"debt", READ_ONLY, 0, 0, IN_STATUS(debt)},
    {"waiting", READ_ONLY, 0, 0, IN_STATUS(waiting)},
    {"paused", READ_ONLY, 0, 0, IN_STATUS(paused)},
    {"unpaid", READ_ONLY, 0, 0, IN_STATUS(unpaid)},
    {"accounts", READ_ONLY, 0, 0, IN_STATUS(accounts)},
    {"granted", READ_ONLY, 0, 0, IN_STATUS(granted)},
    {"returned", READ_ONLY, 0, 0, IN_STATUS(returned)},
    {"foreign", READ_ONLY, 0, 0, IN_STATUS(foreign)},
    {"dropped", READ_ONLY, 0, 0, IN_STATUS(dropped)},
    {"reclaimed", READ_ONLY, 0, 0, IN_STATUS(reclaimed)},
    {"lapsed", READ_ONLY, 0, 0, IN_STATUS(lapsed)},
    {"pid", READ_ONLY, 0, 0, IN_STATUS(pid)},
    {"memory-available-bytes", READ_ONLY, 0, 0, IN_STATUS(memory_available_bytes)},
    {"memory-floor-bytes", READ_ONLY, 0, 0, IN_STATUS(memory_floor_bytes)},
    {"memory-growth-bytes", READ_ONLY, 0, 0, IN_STATUS(memory_growth_bytes)},
    {"memory-running", READ_ONLY, 0, 0, IN_STATUS(memory_running)},
    {"memory-waiting", READ_ONLY, 0, 0, IN_STATUS(memory_waiting)},
};
#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))
#define CAN_BE_SET                                                                                 \
    "jobs, min-jobs, per-process-limit, per-user-limit, min-memory-avail, load-average, "          \
    "load-recheck, CLASS.jobs and CLASS.lease"

static bool
is_called(const char *name, const char *called, size_t length)
{
    return strlen(name) == length && memcmp(name, called, length) == 0;
}

static const struct setting *
find_setting(const char *name, size_t length)
{
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (is_called(settings[i].name, name, length))
            return &settings[i];
    return NULL;
}

/* One that delays grants, which are not in the status: by its name, or that of the server's option. */
static const struct throttle_setting *
find_limit(const char *name, size_t length)
{
    for (size_t i = 0; i < THROTTLE_SETTINGS; i++) {
        const struct throttle_setting *limit = &throttle_settings[i];
        if (is_called(limit->name, name, length) ||
            is_called(limit->option + strlen("--"), name, length))
            return limit;
    }
    return NULL;
}

/* CLASS.NAME: true, and what comes before and after the point; else it is about the server itself. */
static bool
split_class(const char *text, char name[STEVED_CLASS_NAME_SIZE], const char **rest)
{
    const size_t length = strcspn(text, ".=");

    *rest = text;
    name[0] = '\0';
    if (text[length] != '.' || length >= STEVED_CLASS_NAME_SIZE)
        return false;
    memcpy(name, text, length);
    name[length] = '\0';
    if (!class_name_is_valid(name))
        return false;
    *rest = text + length + 1;
    return true;
}

static int
connect_to(struct ctl_server *server, const char *class_name)
{
    return class_name[0] ? ctl_connect_class(server, class_name) : ctl_connect(server);
}

static uint64_t
value_of(const struct setting *setting, const struct steved_status *status)
{
    const char *member = (const char *)status + setting->in_status;
    uint64_t wide;
    uint32_t narrow;

    if (setting->size == sizeof(wide)) {
        memcpy(&wide, member, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, member, sizeof(narrow));
    return narrow;
}

static int
print_status(struct client *client, const struct setting *setting)
{
    struct steved_status status;
    int error = client_get_status(client, &status);

    if (error == 0)
        printf("%" PRIu64 "\n", value_of(setting, &status));
    return error;
}

static int
print_limit(struct client *client, const struct throttle_setting *limit)
{
    struct steved_throttle throttle;
    char text[THROTTLE_TEXT_SIZE];
    int error = client_get_throttle(client, &throttle);

    if (error < 0)
        return error;
    limit->write(&throttle.limits, text);
    puts(text);
    return 0;
}

/* Of a class: the seconds that are left. */
static int
print_lease(struct client *client, const char *class_name)
{
    struct steved_classes classes;
    int error = client_get_classes(client, &classes);

    for (unsigned i = 0; error == 0 && i < classes.count; i++)
        if (strcmp(classes.classes[i].name, class_name) == 0)
            printf("%.3f\n", classes.classes[i].lease_ms / 1000.0);
    return error;
}

int
ctl_get(struct ctl_server *server, int argc, char **argv)
{
    char class_name[STEVED_CLASS_NAME_SIZE];
    const char *name;

    if (argc != 1) {
        message("get takes one name");
        return EXIT_USAGE;
    }
    const bool is_of_class = split_class(argv[0], class_name, &name);
    const bool is_lease = is_of_class && strcmp(name, LEASE) == 0;
    const struct setting *setting = find_setting(name, strlen(name));
    const struct throttle_setting *limit = is_of_class ? NULL : find_limit(name, strlen(name));
    if (!setting && !limit && !is_lease) {
        message("get: there is no '%s'", argv[0]);
        return EXIT_USAGE;
    }
    if (connect_to(server, class_name) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    int error = setting    ? print_status(server->client, setting)
                : is_lease ? print_lease(server->client, class_name)
                           : print_limit(server->client, limit);
    if (error < 0) {
        message("get %s: %s", argv[0], strerror(-error));
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

static bool
parse_value(const struct setting *setting, const char *text, const char *value,
            struct steved_settings *wanted)
{
    unsigned number;

    if (!usage_parse_number(value, setting->min, JOBS_MAX, &number)) {
        message("set '%s': a number from %u to %u is needed", text, setting->min, JOBS_MAX);
        return false;
    }
    memcpy((char *)wanted + setting->in_settings, &number, sizeof(number));
    return true;
}

static bool
parse_limit(const struct throttle_setting *limit, const char *text, const char *value,
            struct steved_settings *wanted)
{
    bool makes_sense = limit->parse(value, &wanted->limits);

    if (!makes_sense)
        message("set '%s': %s is needed", text, limit->wanted);
    return makes_sense;
}

/* CLASS.jobs=N, and CLASS.lease=SECONDS beside it. */
static bool
parse_of_class(const char *text, const char *assignment, struct steved_settings *wanted)
{
    static const char jobs[] = "jobs=", lease[] = LEASE "=";
    const bool is_lease = strncmp(assignment, lease, strlen(lease)) == 0;
    const unsigned named = is_lease ? STEVED_SET_LEASE : STEVED_SET_JOBS;

    if (!is_lease && strncmp(assignment, jobs, strlen(jobs)) != 0) {
        message("set '%s': a class has only jobs and " LEASE, text);
        return false;
    }
    if (wanted->named & named) {
        message("set '%s': it is given twice", text);
        return false;
    }
    wanted->named |= named;
    const char *value = strchr(assignment, '=') + 1;
    if (is_lease &&
        !usage_parse_decimal(value, LEASE_DECIMALS, 1, STEVED_LEASE_MAX_MS, &wanted->lease_ms))
        message("set '%s': a number of seconds from 0.001 to %u is needed", text,
                STEVED_LEASE_MAX_MS / 1000);
    else if (!is_lease && !usage_parse_number(value, 0, JOBS_MAX, &wanted->jobs))
        message("set '%s': a number from 0 to %u is needed", text, JOBS_MAX);
    else
        return true;
    return false;
}

static bool
parse_assignment(const char *text, struct steved_settings *wanted)
{
    const char *equals = strchr(text, '=');

    if (!equals) {
        message("set takes NAME=VALUE, not '%s'", text);
        return false;
    }
    const size_t length = (size_t)(equals - text);
    const struct setting *setting = find_setting(text, length);
    const struct throttle_setting *limit = find_limit(text, length);
    const unsigned named = setting ? setting->named : limit ? limit->named : READ_ONLY;
    if (named == READ_ONLY) {
        message("set '%s': only " CAN_BE_SET " can be set", text);
        return false;
    }
    if (wanted->named & named) {
        message("set '%s': %.*s is given twice", text, (int)length, text);
        return false;
    }
    wanted->named |= named;
    return limit ? parse_limit(limit, text, equals + 1, wanted)
                 : parse_value(setting, text, equals + 1, wanted);
}

static const char *
reason_of(int error, const struct client *client, unsigned named)
{
    switch (error) {
    case -EPERM:
        return "only root and the server's own user may";
    case -EINVAL:
        return client_is_jobwrap(client) && (named & ~(STEVED_SET_JOBS | STEVED_SET_LIMITS))
                   ? "a jobwrap has only jobs and limits of memory and load"
                   : "jobs would be below min-jobs";
    default:
        return strerror(-error);
    }
}

/* All are of one pool: no two are changed together. */
static bool
parse_all(int argc, char **argv, char class_name[STEVED_CLASS_NAME_SIZE],
          struct steved_settings *wanted)
{
    char other[STEVED_CLASS_NAME_SIZE];
    const char *assignment;

    split_class(argv[0], class_name, &assignment);
    for (int i = 0; i < argc; i++) {
        bool is_of_class = split_class(argv[i], other, &assignment);
        if (strcmp(other, class_name) != 0) {
            message("set '%s': that is of another class than '%s'; set one at a time", argv[i],
                    argv[0]);
            return false;
        }
        if (!(is_of_class ? parse_of_class(argv[i], assignment, wanted)
                          : parse_assignment(argv[i], wanted)))
            return false;
    }
    if (wanted->named != STEVED_SET_LEASE)
        return true;
    message("set '%s': a lease needs jobs that are set with it", argv[0]);
    return false;
}

int
ctl_set(struct ctl_server *server, int argc, char **argv)
{
    char class_name[STEVED_CLASS_NAME_SIZE];
    struct steved_settings wanted = {0};

    if (argc == 0) {
        message("set takes NAME=VALUE...");
        return EXIT_USAGE;
    }
    if (!parse_all(argc, argv, class_name, &wanted))
        return EXIT_USAGE;
    if (connect_to(server, class_name) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    int error = client_set(server->client, &wanted);
    if (error < 0) {
        message("set %s%s: %s", argv[0], argc > 1 ? " ..." : "",
                reason_of(error, server->client, wanted.named));
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
