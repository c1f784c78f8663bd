/* SPDX-License-Identifier: GPL-2.0-or-later */

/* stevectl status: a table to be read, or JSON. */
#include "steved/ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <json.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "libjobserver/throttle/settings.h"
#include "steved/snapshot.h"

/* What of a command is shown in the table. */
#define COMMAND_MAX 100
/* Between two that are printed because something has changed. */
#define PACE_MS 250
#define WATCH_MAX_S 86400u

/* --- the table --- */

#define MIB(bytes) ((uint64_t)(bytes) >> 20)

/* Nothing, where nobody tells. */
static void
print_memory(const struct steved_status *status)
{
    if (!status->memory_available_bytes)
        return;
    printf("memory     %6" PRIu64 "   MiB available, of which %" PRIu64 " must stay free\n",
           MIB(status->memory_available_bytes), MIB(status->memory_floor_bytes));
    printf("growth     %6" PRIu64 "   MiB that %u running %s still expected to need\n",
           MIB(status->memory_growth_bytes), status->memory_running,
           status->memory_running == 1 ? "job is" : "jobs are");
    printf("in line    %6u   jobs that wait for memory\n", status->memory_waiting);
}

static void
print_totals(const struct steved_status *status)
{
    printf("jobs       %6u   tokens that may be held at once", status->jobs);
    if (status->per_process_limit)
        printf(", at most %u by one client", status->per_process_limit);
    if (status->per_user_limit)
        printf(", at most %u by one user", status->per_user_limit);
    printf("\nfree       %6u\nheld       %6u\nreserved   %6u   set aside for clients that polled\n"
           "waiting    %6u   clients that wait for a token\n",
           status->free, status->held, status->reserved, status->waiting);
    if (status->paused)
        printf("paused     %6u   of these wait because their build is paused\n", status->paused);
    if (status->debt)
        printf("debt       %6u   must be returned before one is granted again\n", status->debt);
    if (status->unpaid)
        printf("unpaid     %6u   jobs beyond these, in implicit slots that nobody pays for; "
               "jobwrap would\n",
               status->unpaid);
    if (status->reclaimed)
        printf("reclaimed  %6" PRIu64
               "   taken back from dead clients, whose jobs may have run on\n",
               (uint64_t)status->reclaimed);
    if (status->dropped)
        printf("dropped    %6" PRIu64 "   bytes written by processes that owed no token\n",
               (uint64_t)status->dropped);
    print_memory(status);
}

static void
print_held_back(const struct snapshot *snapshot, unsigned by)
{
    const struct steved_throttle *throttle = &snapshot->throttle;

    if (throttle->held_back_by & by)
        printf("; nothing is granted above %u, for %" PRIu64 " s now", snapshot->status.min_jobs,
               (uint64_t)throttle->held_back_ms / 1000);
    putchar('\n');
}

static void
print_limits(const struct snapshot *snapshot)
{
    const struct steved_throttle *throttle = &snapshot->throttle;

    if (throttle->wanted_bytes > 0) {
        printf("limit      %6" PRIu64 "   MiB of memory wanted, %" PRIu64 " available",
               (uint64_t)throttle->wanted_bytes >> 20, (uint64_t)throttle->available_bytes >> 20);
        print_held_back(snapshot, STEVED_HELD_BACK_BY_MEMORY);
    }
    if (throttle->limits.load_centi > 0) {
        printf("limit      %6.2f   of load, which is now %.2f", throttle->limits.load_centi / 100.0,
               throttle->load_centi / 100.0);
        print_held_back(snapshot, STEVED_HELD_BACK_BY_LOAD);
    }
}

static void
print_classes(const struct steved_classes *classes)
{
    if (classes->count > 0)
        printf("\n%6s %6s %6s %7s  %s\n", "JOBS", "FREE", "HELD", "WAITING", "CLASS");
    for (unsigned i = 0; i < classes->count; i++) {
        const struct steved_class *class_told = &classes->classes[i];
        printf("%6u %6u %6u %7u  %s", class_told->jobs, class_told->free, class_told->held,
               class_told->waiting, class_told->name);
        if (class_told->debt)
            printf(", %u to be returned before one is granted again", class_told->debt);
        if (class_told->lease_ms)
            printf(", for %.1f s unless they are set again", class_told->lease_ms / 1000.0);
        putchar('\n');
    }
}

static const char *
remark_of(const struct steved_client *client)
{
    if (client->flags & STEVED_CLIENT_GROUP)
        return client->flags & STEVED_CLIENT_PAYS_IMPLICIT ? "wrapped" : "group";
    return client->flags & STEVED_CLIENT_UNPAID ? "unpaid" : "";
}

static int
print_client(const struct steved_client *client, const struct process_label *label)
{
    char *text = process_label_text(label, COMMAND_MAX);

    if (!text)
        return -ENOMEM;
    printf("%8d %6u %8u %7u  %-8s %s%s%s", (int)client->pid, client->held, client->reserved,
           client->waiting, remark_of(client), text, label->is_stopped ? ", stopped" : "",
           client->flags & STEVED_CLIENT_PAUSED ? ", paused" : "");
    if (client->weight != STEVED_WEIGHT_DEFAULT)
        printf(", weight %u", client->weight);
    putchar('\n');
    free(text);
    return 0;
}

static int
print_clients(const struct snapshot *snapshot)
{
    int error = 0;

    if (snapshot->count > 0)
        printf("\n%8s %6s %8s %7s  %-8s %s\n", "PID", "HELD", "RESERVED", "WAITING", "", "COMMAND");
    for (size_t i = 0; i < snapshot->count && error == 0; i++)
        error = print_client(&snapshot->clients[i], &snapshot->labels[i]);
    return error;
}

/* --- JSON --- */

static void
add_number(struct json_object *object, const char *name, uint64_t value)
{
    json_object_object_add(object, name, json_object_new_int64((int64_t)value));
}

static void
add_text(struct json_object *object, const char *name, const char *value)
{
    json_object_object_add(object, name, json_object_new_string(value));
}

static void
add_truth(struct json_object *object, const char *name, bool value)
{
    json_object_object_add(object, name, json_object_new_boolean(value));
}

static struct json_object *
client_to_json(const struct steved_client *client, const struct process_label *label)
{
    struct json_object *object = json_object_new_object();

    add_number(object, "pid", (uint64_t)client->pid);
    if (client->keeper)
        add_number(object, "keeper", (uint64_t)client->keeper);
    add_text(object, "command", label->command);
    add_text(object, "directory", label->directory);
    add_truth(object, "stopped", label->is_stopped);
    add_number(object, "held", client->held);
    add_number(object, "reserved", client->reserved);
    add_number(object, "waiting", client->waiting);
    add_number(object, "claims", client->claims);
    if (client->flags & STEVED_CLIENT_HAS_USER)
        add_number(object, "uid", client->uid);
    add_number(object, "account", client->account);
    add_number(object, "weight", client->weight);
    add_truth(object, "paused", client->flags & STEVED_CLIENT_PAUSED);
    add_truth(object, "group", client->flags & STEVED_CLIENT_GROUP);
    add_truth(object, "pays_implicit", client->flags & STEVED_CLIENT_PAYS_IMPLICIT);
    add_truth(object, "unpaid", client->flags & STEVED_CLIENT_UNPAID);
    return object;
}

static struct json_object *
status_to_json(const struct steved_status *status)
{
    struct json_object *object = json_object_new_object();
    const struct {
        const char *name;
        uint64_t value;
    } members[] = {
        {"version", status->version},
        {"pid", (uint64_t)status->pid},
        {"jobs", status->jobs},
        {"free", status->free},
        {"held", status->held},
        {"reserved", status->reserved},
        {"debt", status->debt},
        {"waiting", status->waiting},
        {"paused", status->paused},
        {"unpaid", status->unpaid},
        {"min_jobs", status->min_jobs},
        {"accounts", status->accounts},
        {"per_process_limit", status->per_process_limit},
        {"per_user_limit", status->per_user_limit},
        {"granted", status->granted},
        {"returned", status->returned},
        {"foreign", status->foreign},
        {"dropped", status->dropped},
        {"reclaimed", status->reclaimed},
        {"lapsed", status->lapsed},
        {"memory_available_bytes", status->memory_available_bytes},
        {"memory_floor_bytes", status->memory_floor_bytes},
        {"memory_growth_bytes", status->memory_growth_bytes},
        {"memory_running", status->memory_running},
        {"memory_waiting", status->memory_waiting},
    };

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        add_number(object, members[i].name, members[i].value);
    return object;
}

static void
add_decimal(struct json_object *object, const char *name, double value)
{
    json_object_object_add(object, name, json_object_new_double(value));
}

static struct json_object *
throttle_to_json(const struct steved_throttle *throttle)
{
    struct json_object *object = json_object_new_object(), *by = json_object_new_array();
    char memory[THROTTLE_TEXT_SIZE];

    throttle_settings[THROTTLE_MEMORY].write(&throttle->limits, memory);
    add_text(object, "min_memory_avail", memory);
    add_decimal(object, "load_average", throttle->limits.load_centi / 100.0);
    add_decimal(object, "load_recheck", throttle->limits.load_recheck_ms / 1000.0);
    add_number(object, "wanted_mib", throttle->wanted_bytes >> 20);
    add_number(object, "available_mib", throttle->available_bytes >> 20);
    add_decimal(object, "load", throttle->load_centi / 100.0);
    if (throttle->held_back_by & STEVED_HELD_BACK_BY_MEMORY)
        json_object_array_add(by, json_object_new_string("memory"));
    if (throttle->held_back_by & STEVED_HELD_BACK_BY_LOAD)
        json_object_array_add(by, json_object_new_string("load"));
    json_object_object_add(object, "held_back_by", by);
    add_decimal(object, "held_back_s", (double)throttle->held_back_ms / 1000.0);
    return object;
}

static struct json_object *
classes_to_json(const struct steved_classes *classes)
{
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < classes->count; i++) {
        const struct steved_class *class_told = &classes->classes[i];
        struct json_object *object = json_object_new_object();
        add_text(object, "name", class_told->name);
        add_number(object, "jobs", class_told->jobs);
        add_number(object, "free", class_told->free);
        add_number(object, "held", class_told->held);
        add_number(object, "reserved", class_told->reserved);
        add_number(object, "debt", class_told->debt);
        add_number(object, "waiting", class_told->waiting);
        add_number(object, "accounts", class_told->accounts);
        add_decimal(object, "lease_s", class_told->lease_ms / 1000.0);
        json_object_array_add(list, object);
    }
    return list;
}

static int
print_json(const struct snapshot *snapshot, int style)
{
    struct json_object *object = status_to_json(&snapshot->status);
    struct json_object *clients = json_object_new_array();

    for (size_t i = 0; i < snapshot->count; i++)
        json_object_array_add(clients, client_to_json(&snapshot->clients[i], &snapshot->labels[i]));
    if (snapshot->has_throttle)
        json_object_object_add(object, "limits", throttle_to_json(&snapshot->throttle));
    json_object_object_add(object, "classes", classes_to_json(&snapshot->classes));
    json_object_object_add(object, "clients", clients);
    /* Else 2.095 is 2.0950000000000002. */
    json_c_set_serialization_double_format("%.15g", JSON_C_OPTION_GLOBAL);
    const char *text =
        json_object_to_json_string_ext(object, style | JSON_C_TO_STRING_NOSLASHESCAPE);
    if (text)
        puts(text);
    json_object_put(object);
    return text ? 0 : -ENOMEM;
}

static int
print_table(const struct snapshot *snapshot)
{
    print_totals(&snapshot->status);
    if (snapshot->has_throttle)
        print_limits(snapshot);
    print_classes(&snapshot->classes);
    return print_clients(snapshot);
}

/* --- once, or again and again --- */

struct wanted {
    bool is_json, is_repeated;
    unsigned every_s; /* 0: when something has changed */
};

/* -w, -wN, --watch, --watch=N: false: it is none of these, or no number. */
static bool
parse_watch(const char *text, struct wanted *wanted)
{
    const char *number = strncmp(text, "-w", 2) == 0 ? text + 2 : text + strlen("--watch");

    if (strncmp(text, "-w", 2) != 0 && strncmp(text, "--watch", strlen("--watch")) != 0)
        return false;
    wanted->is_repeated = true;
    if (number[0] == '\0')
        return true;
    number += text[1] == '-' && number[0] == '=';
    return (text[1] == 'w' || number[-1] == '=') &&
           usage_parse_number(number, 1, WATCH_MAX_S, &wanted->every_s);
}

static bool
parse(int argc, char **argv, struct wanted *wanted)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            wanted->is_json = true;
        } else if (!parse_watch(argv[i], wanted)) {
            message("status takes --json and --watch[=SECONDS], from 1 to %u, not '%s'",
                    WATCH_MAX_S, argv[i]);
            return false;
        }
    }
    return true;
}

static int
print_once(const struct ctl_server *server, const struct wanted *wanted)
{
    struct snapshot snapshot = {0};
    int style = wanted->is_repeated ? JSON_C_TO_STRING_PLAIN : JSON_C_TO_STRING_PRETTY;
    int error = snapshot_take(server->client, &snapshot);

    if (error == 0) {
        ctl_find_classes_around(server, &snapshot.classes);
        error = snapshot_label(&snapshot);
    }
    if (error == 0)
        error = wanted->is_json ? print_json(&snapshot, style) : print_table(&snapshot);
    snapshot_clear(&snapshot);
    return error;
}

/* 0 or a negative errno. What has changed by then is one change. */
static int
wait_for_change(struct client *client)
{
    struct pollfd events = {.fd = client_watch_fd(client), .events = POLLIN};
    struct client_events page;
    int more = 1;

    poll(NULL, 0, PACE_MS);
    if (poll(&events, 1, -1) < 0)
        return -errno;
    while (more == 1)
        more = client_next_events(client, &page);
    return more;
}

static int
repeat(const struct ctl_server *server, const struct wanted *wanted)
{
    int error = wanted->every_s ? 0 : client_watch(server->client);

    if (error == -ENOTTY) {
        message("status --watch: this server does not report changes; use --watch=SECONDS");
        return 0;
    }
    while (error == 0 && (error = print_once(server, wanted)) == 0) {
        if (!wanted->is_json)
            putchar('\n');
        if (fflush(stdout) != 0) /* main() says so */
            break;
        if (wanted->every_s)
            poll(NULL, 0, (int)wanted->every_s * 1000);
        else
            error = wait_for_change(server->client);
    }
    return error;
}

int
ctl_status(struct ctl_server *server, int argc, char **argv)
{
    struct wanted wanted = {.every_s = 0};

    if (!parse(argc, argv, &wanted))
        return EXIT_USAGE;
    if (ctl_connect(server) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    int error = wanted.is_repeated ? repeat(server, &wanted) : print_once(server, &wanted);
    if (error < 0)
        message("status: %s", strerror(-error));
    return error < 0 || wanted.is_repeated ? EXIT_FAILURE : EXIT_SUCCESS;
}
