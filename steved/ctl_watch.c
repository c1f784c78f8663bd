/* SPDX-License-Identifier: GPL-2.0-or-later */

/* stevectl watch: what happens at a server, a line each, to be read or as JSON. */
#include "steved/ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <json.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libjobserver/events/place.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"

/* Of events that name a client by its pid alone; where two have the same place, the later is shown by its name. */
#define NAMES 4096
/* Holds the lines of one page of events. */
#define BUFFER_SIZE ((size_t)STEVED_EVENTS_PER_PAGE * 1024)

struct client_name {
    int32_t pid;      /* 0: none */
    uint64_t account; /* 0: the client has left */
    char name[STEVED_COMMAND_SIZE];
};

struct watch {
    struct client *client;
    bool is_json;
    const struct ctl_server *server;
    struct client_events events; /* that came last */
    struct steved_classes classes;
    struct client_name names[NAMES];
    int64_t memory_ns;       /* when the last line about memory was printed */
    uint32_t memory_in_line; /* jobs, as it said */
    uint64_t memory_bytes;   /* as it said */
};

/* --- names --- */

static struct client_name *
place_of(struct watch *watch, int32_t pid)
{
    return &watch->names[(uint32_t)pid % NAMES];
}

static void
keep_name(struct watch *watch, int32_t pid, uint64_t account, const char name[STEVED_COMMAND_SIZE])
{
    struct client_name *place = place_of(watch, pid);

    place->pid = pid;
    place->account = account;
    memmove(place->name, name, sizeof(place->name));
    place->name[sizeof(place->name) - 1] = '\0';
}

/* "": not known. */
static const char *
name_of(struct watch *watch, const struct steved_event *event)
{
    const struct client_name *place = place_of(watch, event->pid);

    if (event->name[0])
        return event->name;
    return event->pid != 0 && place->pid == event->pid ? place->name : "";
}

/* NULL: nobody is known. */
static const struct client_name *
client_of_account(const struct watch *watch, uint64_t account)
{
    for (unsigned i = 0; i < NAMES && account != 0; i++)
        if (watch->names[i].account == account)
            return &watch->names[i];
    return NULL;
}

static int
keep_names(struct watch *watch)
{
    struct steved_clients page = {0};
    int error;

    while ((error = client_get_clients(watch->client, &page)) == 0 && page.count > 0) {
        for (unsigned i = 0; i < page.count; i++)
            keep_name(watch, page.clients[i].pid, page.clients[i].account, page.clients[i].command);
        page = (struct steved_clients){.cursor = page.cursor};
    }
    return error;
}

/* --- classes --- */

static void
find_classes(struct watch *watch)
{
    if (client_get_classes(watch->client, &watch->classes) < 0)
        watch->classes.count = 0;
}

/* "": it is none, or one that nobody tells of. */
static const char *
class_of(const struct watch *watch, const struct steved_event *event)
{
    const unsigned number = event->job_class;

    return number > 0 && number <= watch->classes.count ? watch->classes.classes[number - 1].name
                                                        : "";
}

/* --- what of an event is shown --- */

enum member {
    WHO = 1u << 0,
    COUNT = 1u << 1,
    LEVELS = 1u << 2, /* held, used, waiting */
    DURATION = 1u << 3,
    STATUS = 1u << 4,
    BYTES = 1u << 5,
    EXPECTED = 1u << 6,
    MACHINE = 1u << 7, /* limit and available bytes */
    NAME = 1u << 8,
    JOB = 1u << 9,
    PLACE = 1u << 10,
    PROCESS = 1u << 11,
};

static const struct shape {
    const char *name;
    unsigned members; /* enum member */
} shapes[STEVED_EVENT_KINDS] = {
    [STEVED_EVENT_LOST] = {"lost", COUNT},
    [STEVED_EVENT_GRANTED] = {"granted", WHO | COUNT | LEVELS | DURATION | STATUS},
    [STEVED_EVENT_RETURNED] = {"returned", WHO | COUNT | LEVELS | STATUS},
    [STEVED_EVENT_RECLAIMED] = {"reclaimed", WHO | COUNT | LEVELS},
    [STEVED_EVENT_RESERVED] = {"reserved", WHO | COUNT | LEVELS},
    [STEVED_EVENT_LAPSED] = {"lapsed", WHO | LEVELS},
    [STEVED_EVENT_WAITS] = {"waits", WHO | LEVELS},
    [STEVED_EVENT_WAITS_NO_MORE] = {"waits-no-more", WHO | LEVELS},
    [STEVED_EVENT_RECALLED] = {"recalled", WHO | COUNT | LEVELS},
    [STEVED_EVENT_CAME] = {"came", WHO | COUNT | LEVELS | NAME},
    [STEVED_EVENT_LEFT] = {"left", WHO | LEVELS},
    [STEVED_EVENT_JOBS] = {"jobs", COUNT | LEVELS},
    [STEVED_EVENT_WEIGHT] = {"weight", WHO | COUNT | LEVELS},
    [STEVED_EVENT_PAUSED] = {"paused", WHO | STATUS | LEVELS},
    [STEVED_EVENT_HELD_BACK] = {"held-back", STATUS},
    [STEVED_EVENT_MEMORY] = {"memory", COUNT | BYTES | EXPECTED | MACHINE},
    [STEVED_EVENT_JOB_WAITS] = {"job-waits", WHO | JOB | NAME | STATUS},
    [STEVED_EVENT_JOB_STARTED] = {"job-started",
                                  WHO | JOB | NAME | COUNT | DURATION | EXPECTED | PROCESS},
    [STEVED_EVENT_JOB_ENDED] = {"job-ended",
                                WHO | JOB | NAME | STATUS | DURATION | BYTES | EXPECTED},
    [STEVED_EVENT_JOB_PUT_OFF] = {"job-put-off", WHO | JOB | NAME | BYTES},
    [STEVED_EVENT_JOB_STOPPED] = {"job-stopped", WHO | JOB | NAME | BYTES},
    [STEVED_EVENT_JOB_CONTINUED] = {"job-continued", WHO | JOB | NAME | BYTES},
    [STEVED_EVENT_JOB_PLACED] = {"job-placed", COUNT | PLACE},
    [STEVED_EVENT_JOB_MOVED] = {"job-moved", WHO | PROCESS},
};

/* One that a later server tells is shown by its number alone. */
static const struct shape *
shape_of(const struct steved_event *event)
{
    static const struct shape unknown = {"unknown", WHO | COUNT | LEVELS | STATUS};

    return event->kind < STEVED_EVENT_KINDS && shapes[event->kind].name ? &shapes[event->kind]
                                                                        : &unknown;
}

/* --- JSON --- */

static int
print_object(struct json_object *object)
{
    const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE);

    if (text)
        puts(text);
    json_object_put(object);
    return text ? 0 : -ENOMEM;
}

static void
add_number(struct json_object *object, const char *name, uint64_t value)
{
    json_object_object_add(object, name, json_object_new_uint64(value));
}

static void
add_text(struct json_object *object, const char *name, const char *value)
{
    json_object_object_add(object, name, json_object_new_string(value));
}

static void
add_time(struct json_object *object, int64_t time_ns)
{
    add_number(object, "time_ns", (uint64_t)time_ns);
    add_number(object, "time_ms", (uint64_t)(clock_on_the_wall_ns(time_ns) / NS_PER_MS));
}

static void
add_who(struct watch *watch, struct json_object *object, const struct steved_event *event)
{
    json_object_object_add(object, "pid", json_object_new_int(event->pid));
    add_number(object, "uid", event->uid);
    add_number(object, "account", event->account);
    if (event->kind < STEVED_EVENT_JOB_WAITS)
        add_text(object, "command", name_of(watch, event));
}

static void
add_levels(struct json_object *object, const struct steved_event *event)
{
    add_number(object, "held", event->held);
    add_number(object, "used", event->used);
    add_number(object, "waiting", event->waiting);
}

static void
add_bytes(struct json_object *object, unsigned members, const struct steved_event *event)
{
    if (members & BYTES)
        add_number(object, "bytes", event->bytes);
    if (members & EXPECTED)
        add_number(object, "expected_bytes", event->expected_bytes);
    if (members & MACHINE) {
        add_number(object, "limit_bytes", event->limit_bytes);
        add_number(object, "available_bytes", event->available_bytes);
    }
}

static void
add_job(struct json_object *object, const struct steved_event *event)
{
    add_number(object, "job", event->job);
    add_number(object, "job_class", event->job_class);
    add_text(object, "name", event->name);
}

/* Of a file only if a job has come. */
static void
add_place(struct json_object *object, const struct steved_event *event)
{
    struct event_place place;

    event_place_read(&place, event);
    add_text(object, "node", place.node);
    if (!place.file[0])
        return;
    add_text(object, "file", place.file);
    add_number(object, "engine_job", event->job);
}

static int
print_json(struct watch *watch, const struct steved_event *event)
{
    const struct shape *shape = shape_of(event);
    struct json_object *object = json_object_new_object();

    add_text(object, "event", shape->name);
    add_time(object, (int64_t)event->time_ns);
    if (shape->members & WHO)
        add_who(watch, object, event);
    if (shape->members & COUNT)
        add_number(object, "count", event->count);
    if (shape->members & LEVELS)
        add_levels(object, event);
    if (shape->members & DURATION)
        add_number(object, "duration_ns", event->duration_ns);
    if (shape->members & STATUS)
        json_object_object_add(object, "status", json_object_new_int(event->status));
    add_bytes(object, shape->members, event);
    if (shape->members & JOB)
        add_job(object, event);
    if (shape->members & PLACE)
        add_place(object, event);
    if (shape->members & PROCESS)
        json_object_object_add(object, "process", json_object_new_int(event->process));
    const char *class_name = class_of(watch, event);
    if (class_name[0])
        add_text(object, "class", class_name);
    return print_object(object);
}

static struct json_object *
classes_to_json(const struct steved_classes *classes)
{
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < classes->count; i++) {
        const struct steved_class *of = &classes->classes[i];
        struct json_object *object = json_object_new_object();
        add_text(object, "name", of->name);
        add_number(object, "jobs", of->jobs);
        add_number(object, "held", of->held);
        add_number(object, "used", of->held + of->reserved);
        add_number(object, "waiting", of->waiting);
        json_object_array_add(list, object);
    }
    return list;
}

static int
print_begin_json(const struct watch *watch, const struct steved_status *status)
{
    struct json_object *object = json_object_new_object();

    add_text(object, "event", "watching");
    add_time(object, clock_now_ns());
    add_text(object, "server", client_name(watch->client));
    add_number(object, "jobs", status->jobs);
    add_number(object, "held", status->held);
    add_number(object, "used", status->held + status->reserved);
    add_number(object, "waiting", status->waiting);
    json_object_object_add(object, "classes", classes_to_json(&watch->classes));
    return print_object(object);
}

/* --- to be read --- */

#define MIB(bytes) ((uint64_t)(bytes) >> 20)

static void
print_time(int64_t time_ns)
{
    const int64_t wall_ns = clock_on_the_wall_ns(time_ns);
    const time_t seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm parts = {0};
    char text[16] = "";

    localtime_r(&seconds, &parts);
    strftime(text, sizeof(text), "%H:%M:%S", &parts);
    printf("%s.%03d ", text, (int)(wall_ns % NS_PER_S / NS_PER_MS));
}

static double
seconds_of(const struct steved_event *event)
{
    return (double)event->duration_ns / (double)NS_PER_S;
}

static void
print_tokens(const struct steved_event *event)
{
    static const char *const granted[] = {"", "", ", passed on by the client that held it"};
    static const char *const returned[] = {"", ", because it was not delivered",
                                           ", passed on to the client that had claimed it"};
    const unsigned status = (unsigned)event->status < 3 ? (unsigned)event->status : 0;

    if (event->count > 1)
        printf(", %u tokens", event->count);
    if (event->duration_ns > 0)
        printf(", after %.3f s", seconds_of(event));
    if (event->kind == STEVED_EVENT_GRANTED)
        fputs(granted[status], stdout);
    else if (event->kind == STEVED_EVENT_RETURNED)
        fputs(returned[status], stdout);
}

static void
print_held_back(const struct steved_event *event)
{
    const bool by_memory = event->status & STEVED_HELD_BACK_BY_MEMORY;
    const bool by_load = event->status & STEVED_HELD_BACK_BY_LOAD;

    printf(" by %s", by_memory && by_load ? "memory and load"
                     : by_memory          ? "memory"
                     : by_load            ? "load"
                                          : "nothing now");
}

static void
print_memory(const struct steved_event *event)
{
    printf(" %" PRIu64 " MiB used, %" PRIu64 " more expected, %" PRIu64 " available, %" PRIu64
           " to stay free, %u in line",
           MIB(event->bytes), MIB(event->expected_bytes), MIB(event->available_bytes),
           MIB(event->limit_bytes), event->count);
}

static void
print_job(const struct steved_event *event)
{
    printf(" %s, job %" PRIu64 " of %d", event->name[0] ? event->name : "(no name)",
           (uint64_t)event->job, (int)event->pid);
    if (event->kind == STEVED_EVENT_JOB_WAITS)
        printf(", for %s", event->status == STEVED_WAITS_FOR_MEMORY ? "memory" : "a token");
    if (event->kind == STEVED_EVENT_JOB_STARTED && event->duration_ns > 0)
        printf(", waited %.3f s", seconds_of(event));
    if (event->kind == STEVED_EVENT_JOB_ENDED) {
        printf(", ran %.3f s", seconds_of(event));
        if (WIFSIGNALED(event->status))
            printf(", killed by signal %d", WTERMSIG(event->status));
        else if (WEXITSTATUS(event->status) != 0)
            printf(", status %d", WEXITSTATUS(event->status));
    }
    if (event->bytes > 0)
        printf(", %" PRIu64 " MiB", MIB(event->bytes));
    if (event->expected_bytes > 0)
        printf(", %" PRIu64 " MiB expected", MIB(event->expected_bytes));
}

static void
print_place(const struct steved_event *event)
{
    struct event_place place;

    event_place_read(&place, event);
    if (place.file[0])
        printf(" %s at", place.file);
    printf(" %s, %u job%s there", place.node, event->count, event->count == 1 ? "" : "s");
}

static void
print_build(const struct watch *watch, const struct steved_event *event)
{
    const struct client_name *client = client_of_account(watch, event->account);

    if (client)
        printf(" %d %s", (int)client->pid, client->name);
    else
        printf(" account %" PRIu64, (uint64_t)event->account);
    if (event->kind == STEVED_EVENT_WEIGHT)
        printf(", %u", event->count);
    else if (!event->status)
        fputs(", no more", stdout);
}

static void
print_rest(struct watch *watch, const struct steved_event *event, unsigned members)
{
    const bool has_pid = members & WHO && event->pid != 0;

    if (has_pid)
        printf(" %d %s", (int)event->pid, name_of(watch, event));
    switch (event->kind) {
    case STEVED_EVENT_LOST:
        fputs(event->count > 0 ? "" : " some events", stdout);
        if (event->count > 0)
            printf(" %u events", event->count);
        break;
    case STEVED_EVENT_RECALLED:
        printf(", for %u", event->count);
        break;
    case STEVED_EVENT_JOBS:
        printf(" %u", event->count);
        break;
    case STEVED_EVENT_WEIGHT:
    case STEVED_EVENT_PAUSED:
        print_build(watch, event);
        break;
    case STEVED_EVENT_CAME:
        if (event->count != STEVED_WEIGHT_DEFAULT)
            printf(", weight %u", event->count);
        break;
    default:
        print_tokens(event);
    }
    if (has_pid)
        printf("; has %u", event->held);
    if (members & LEVELS)
        printf("; %u used, %u waiting", event->used, event->waiting);
}

/* Of memory a gate tells ten times a second: too much to be read. */
static bool
is_worth_a_line(struct watch *watch, const struct steved_event *event)
{
    const int64_t time_ns = (int64_t)event->time_ns;
    const bool is_other =
        event->count != watch->memory_in_line || (event->bytes == 0) != (watch->memory_bytes == 0);

    if (event->kind != STEVED_EVENT_MEMORY)
        return true;
    if (!is_other && time_ns - watch->memory_ns < NS_PER_S)
        return false;
    watch->memory_ns = time_ns;
    watch->memory_in_line = event->count;
    watch->memory_bytes = event->bytes;
    return true;
}

static int
print_line(struct watch *watch, const struct steved_event *event)
{
    const struct shape *shape = shape_of(event);

    if (!is_worth_a_line(watch, event))
        return 0;
    print_time((int64_t)event->time_ns);
    printf("%-13s", shape->name);
    if (shape->members & JOB)
        print_job(event);
    else if (shape->members & PLACE)
        print_place(event);
    else if (event->kind == STEVED_EVENT_JOB_MOVED)
        printf(" process %d%s", (int)event->process,
               event->job_class == 0 ? ", back from its class" : "");
    else if (event->kind == STEVED_EVENT_HELD_BACK)
        print_held_back(event);
    else if (event->kind == STEVED_EVENT_MEMORY)
        print_memory(event);
    else
        print_rest(watch, event, shape->members);
    const char *class_name = class_of(watch, event);
    if (class_name[0])
        printf("; class %s", class_name);
    putchar('\n');
    return 0;
}

static int
print_begin(const struct watch *watch, const struct steved_status *status)
{
    const struct steved_classes *classes = &watch->classes;

    print_time(clock_now_ns());
    printf("%-13s %s, %u jobs; %u used, %u waiting", "watching", client_name(watch->client),
           status->jobs, status->held + status->reserved, status->waiting);
    for (unsigned i = 0; i < classes->count; i++)
        printf("; class %s, %u job%s", classes->classes[i].name, classes->classes[i].jobs,
               classes->classes[i].jobs == 1 ? "" : "s");
    putchar('\n');
    return 0;
}

/* --- watching --- */

static int
flush(void)
{
    return fflush(stdout) != 0 || ferror(stdout) ? -errno : 0;
}

/* What comes after this is told: somebody who waits for it may begin. */
static int
begin(struct watch *watch)
{
    struct steved_status status;
    int error = client_watch(watch->client);

    if (error == 0)
        error = keep_names(watch);
    if (error == 0)
        error = client_get_status(watch->client, &status);
    if (error < 0)
        return error;
    find_classes(watch);
    error = watch->is_json ? print_begin_json(watch, &status) : print_begin(watch, &status);
    ctl_find_classes_around(watch->server, &watch->classes);
    return error < 0 ? error : flush();
}

static int
print_events(struct watch *watch, const struct client_events *page)
{
    int error = 0;

    for (unsigned i = 0; i < page->count && error == 0; i++) {
        const struct steved_event *event = &page->events[i];
        if (event->kind == STEVED_EVENT_CAME)
            keep_name(watch, event->pid, event->account, event->name);
        error = watch->is_json ? print_json(watch, event) : print_line(watch, event);
        if (event->kind == STEVED_EVENT_LEFT && place_of(watch, event->pid)->pid == event->pid)
            place_of(watch, event->pid)->account = 0;
    }
    return error < 0 ? error : flush();
}

/* 1: there may be events. 0: nobody reads our output any more. */
static int
wait_for_events(const struct watch *watch)
{
    struct pollfd polled[] = {{.fd = client_watch_fd(watch->client), .events = POLLIN},
                              {.fd = STDOUT_FILENO}};

    if (poll(polled, 2, -1) < 0)
        return errno == EINTR ? 1 : -errno;
    return polled[1].revents == 0;
}

static int
watch_events(struct watch *watch)
{
    int result;

    while ((result = wait_for_events(watch)) > 0) {
        do {
            result = client_next_events(watch->client, &watch->events);
            int error = result >= 0 ? print_events(watch, &watch->events) : result;
            if (error < 0)
                return error;
        } while (result > 0);
    }
    return result;
}

static int
explain(const struct watch *watch, int error)
{
    const char *name = client_name(watch->client);

    if (ferror(stdout))
        message("write the output: %s", strerror(-error));
    else if (client_is_gone(error))
        message("watch %s: the server has ended", name);
    else if (error == -ENOTTY)
        message("watch %s: this server is too old to report events", name);
    else
        message("watch %s: %s", name,
                error == -ENOSPC ? "too many others are watching" : strerror(-error));
    return EXIT_FAILURE;
}

/* A signal ends it wherever it is, even while nobody reads what it has written; and so that it is not cut there, what
 * comes at once is written as a whole. */
static int
run(struct watch *watch)
{
    setvbuf(stdout, NULL, _IOFBF, BUFFER_SIZE);
    int error = begin(watch);
    if (error == 0)
        error = watch_events(watch);
    return error < 0 ? explain(watch, error) : EXIT_SUCCESS;
}

int
ctl_watch(struct ctl_server *server, int argc, char **argv)
{
    bool is_json = argc == 1 && strcmp(argv[0], "--json") == 0;

    if (argc > 0 && !is_json) {
        message("watch takes --json or nothing, not '%s'", argv[argc > 1]);
        return EXIT_USAGE;
    }
    if (ctl_connect(server) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    struct watch *watch = calloc(1, sizeof(*watch));
    if (!watch) {
        message("watch: out of memory");
        return EXIT_FAILURE;
    }
    watch->client = server->client;
    watch->is_json = is_json;
    watch->server = server;
    int status = run(watch);
    free(watch);
    return status;
}
