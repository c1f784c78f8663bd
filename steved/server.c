/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/server.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "libjobserver/pool/rows.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/serve.h"

/* --- events --- */

void
server_leave(struct server *server)
{
    event_base_loopbreak(server->base);
}

void
server_look(struct server *server)
{
    const int64_t now_ns = clock_now_ns();

    stream_look(&server->stream, server->throttle.state.held_back_by, now_ns);
    throttle_look(&server->throttle, server->files[0].pool, server->options.min_jobs, now_ns);
    stream_look(&server->stream, server->throttle.state.held_back_by, now_ns);
}

void
server_end_lease(struct file *file, int64_t now_ns)
{
    if (serve_end_lease(file->pool, file->spec.name, &file->lease_ends_ns, now_ns))
        server_record_file(file);
}

static void
on_deadline(evutil_socket_t none, short what, void *data)
{
    struct server *server = data;

    server->armed_ns = POOL_NO_DEADLINE;
    server_look(server);
    for (unsigned i = 0; i < server->file_count; i++) {
        server_end_lease(&server->files[i], clock_now_ns());
        pool_expire(server->files[i].pool, clock_now_ns());
    }
    server_settle(server);
}

static int64_t
next_deadline(const struct server *server)
{
    int64_t first_ns = throttle_deadline_ns(&server->throttle, server->files[0].pool, false);

    for (unsigned i = 0; i < server->file_count; i++) {
        const struct file *file = &server->files[i];
        const int64_t deadline_ns = pool_next_deadline(file->pool);
        if (deadline_ns < first_ns)
            first_ns = deadline_ns;
        if (file->lease_ends_ns < first_ns)
            first_ns = file->lease_ends_ns;
    }
    return first_ns;
}

static void
arm_deadline(struct server *server)
{
    int64_t deadline_ns = next_deadline(server);

    if (server->stream.again_ns < deadline_ns)
        deadline_ns = server->stream.again_ns;
    if (deadline_ns == server->armed_ns)
        return;
    server->armed_ns = deadline_ns;
    if (deadline_ns == POOL_NO_DEADLINE) {
        event_del(server->deadline);
        return;
    }
    struct timeval left = clock_until(deadline_ns, clock_now_ns());
    event_add(server->deadline, &left);
}

/* Somebody may have its directory for a working directory: then the next time will do. */
static void
on_unused(evutil_socket_t none, short what, void *data)
{
    const struct server *server = data;

    server->tell_unused(server->argument);
}

static bool
is_used(const struct server *server)
{
    for (unsigned i = 0; i < server->file_count; i++)
        if (!LIST_EMPTY(&server->files[i].openings) || pool_used(server->files[i].pool) > 0)
            return true;
    return false;
}

static void
watch_use(struct server *server)
{
    if (!server->unused)
        return;
    bool is_unused = !is_used(server);
    if (is_unused == server->is_unused)
        return;
    server->is_unused = is_unused;
    struct timeval timeout = clock_until(server->options.idle_timeout_ms * NS_PER_MS, 0);
    if (is_unused)
        event_add(server->unused, &timeout);
    else
        event_del(server->unused);
}

void
server_settle(struct server *server)
{
    server->answer(server);
    stream_settle(&server->stream, &server->allowances);
    arm_deadline(server);
    watch_use(server);
}

static void
on_end_signal(evutil_socket_t signal_number, short what, void *data)
{
    server_leave(data);
}

#define LIMITS_SIZE 256

/* Nothing, if there are none. */
static void
describe_limits(const struct server *server, char text[LIMITS_SIZE])
{
    struct steved_throttle told;
    char memory[80] = "", load[80] = "";

    throttle_tell(&server->throttle, &told, clock_now_ns());
    if (told.wanted_bytes > 0)
        snprintf(memory, sizeof(memory), ", memory available %llu MiB of %llu wanted",
                 (unsigned long long)(told.available_bytes >> 20),
                 (unsigned long long)(told.wanted_bytes >> 20));
    if (told.limits.load_centi > 0)
        snprintf(load, sizeof(load), ", load %.2f of at most %.2f", told.load_centi / 100.0,
                 told.limits.load_centi / 100.0);
    snprintf(text, LIMITS_SIZE, "%s%s", memory, load);
    if (told.held_back_by)
        snprintf(text, LIMITS_SIZE, "%s%s, grants above %u held back for %llu s", memory, load,
                 server->options.min_jobs, (unsigned long long)(told.held_back_ms / 1000));
}

static void
say_class(const struct file *file)
{
    struct pool_status status;

    pool_get_status(file->pool, &status);
    message("class %s: jobs %u, free %u, held %u, reserved %u, debt %u, waiting %u%s",
            file->spec.name, status.capacity, status.free, status.held, status.reserved,
            status.debt, status.waiting,
            file->lease_ends_ns != POOL_NO_DEADLINE ? ", by a lease" : "");
}

static void
on_status_signal(evutil_socket_t signal_number, short what, void *data)
{
    struct server *server = data;
    struct pool_status status;
    char limits[LIMITS_SIZE];

    server_look(server);
    describe_limits(server, limits);
    pool_get_status(server->files[0].pool, &status);
    message(
        "jobs %u, free %u, held %u, reserved %u, debt %u, waiting %u, unpaid implicit slots %u, "
        "reclaimed %llu, dropped %llu, processes %u%s",
        status.capacity, status.free, status.held, status.reserved, status.debt, status.waiting,
        status.unpaid, (unsigned long long)status.reclaimed, (unsigned long long)status.dropped,
        status.processes, limits);
    for (unsigned i = 1; i < server->file_count; i++)
        say_class(&server->files[i]);
    server_settle(server);
}

/* --- for a server that comes after this one --- */

static struct state_settings
settings_of(const struct server *server)
{
    return (struct state_settings){.jobs = server->options.jobs,
                                   .min_jobs = server->options.min_jobs,
                                   .per_process_limit = server->options.per_process_limit,
                                   .per_user_limit = server->options.per_user_limit,
                                   .limits = server->throttle.limits};
}

void
server_record_settings(struct server *server)
{
    const struct options *options = &server->options;
    const char *name = options->mount_dir ? options->mount_dir : options->device;
    struct state_server row = {.given = server->given,
                               .now = settings_of(server),
                               .file_uid = server->file_uid,
                               .file_gid = server->file_gid,
                               .file_mode = server->file_mode,
                               .is_mount = options->mount_dir != NULL};

    snprintf(row.name, sizeof(row.name), "%s", name);
    state_put(server->state, STATE_SERVER, 0, &row,
              offsetof(struct state_server, name) + strlen(row.name) + 1);
}

void
server_record_file(const struct file *file)
{
    const struct state_file row = {.given_jobs = file->spec.jobs,
                                   .has_lease = file->lease_ends_ns != POOL_NO_DEADLINE,
                                   .lease_ends_ns = file->lease_ends_ns};
    struct state_file named = row;

    snprintf(named.name, sizeof(named.name), "%s", file->spec.name);
    state_put(file->server->state, state_table_of(file->number, STATE_FILE), 0, &named,
              sizeof(named));
}

void
server_withdraw_file(struct file *file)
{
    file->spec.jobs = 0;
    file->lease_ends_ns = POOL_NO_DEADLINE;
    pool_set_capacity(file->pool, 0, clock_now_ns());
    server_record_file(file);
    message("class %s: it cannot be served, and has no jobs", file->spec.name);
}

/* --- begin and end --- */

struct file *
server_add_file(struct server *server, const struct class_spec *spec)
{
    struct file *file = &server->files[server->file_count];

    *file = (struct file){.server = server,
                          .number = server->file_count++,
                          .spec = *spec,
                          .lease_ends_ns = POOL_NO_DEADLINE};
    LIST_INIT(&file->openings);
    LIST_INIT(&file->openers);
    for (size_t i = 0; i < CLIENT_BUCKETS; i++)
        LIST_INIT(&file->clients[i]);
    return file;
}

void
server_follow(struct file *file)
{
    pool_tell(file->pool, &file->server->stream.log, file->number);
}

static struct event_base *
create_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (!config)
        return NULL;
    /* The cached time is from before a batch of requests. */
    if (event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME) == 0)
        base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static void
on_event_message(int severity, const char *text)
{
    message("%s", text);
}

static bool
create_events(struct server *server)
{
    server->deadline = event_new(server->base, -1, 0, on_deadline, server);
    server->signals[SERVER_TERM] = evsignal_new(server->base, SIGTERM, on_end_signal, server);
    server->signals[SERVER_INT] = evsignal_new(server->base, SIGINT, on_end_signal, server);
    server->signals[SERVER_STATUS] = evsignal_new(server->base, SIGUSR1, on_status_signal, server);
    if (!server->deadline)
        return false;
    if (server->options.idle_timeout_ms > 0)
        server->unused = event_new(server->base, -1, EV_PERSIST, on_unused, server);
    for (size_t i = 0; i < SERVER_SIGNALS; i++)
        if (!server->signals[i] || event_add(server->signals[i], NULL) < 0)
            return false;
    return server->unused || server->options.idle_timeout_ms == 0;
}

/* Before the server gives up its rights, for limits that are set later, too: then it may do without. */
static int
open_throttle(struct server *server)
{
    int error = throttle_open(&server->throttle, "");

    if (error < 0 && throttle_is_set(&server->throttle)) {
        message_errno(-error, "start: read the memory or the load of the machine");
        return error;
    }
    return 0;
}

int
server_init(struct server *server, void (*answer)(struct server *server))
{
    descriptors_raise_limit();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* the state may be larger than a file may be: state_create() */
    event_set_log_callback(on_event_message);
    server->armed_ns = POOL_NO_DEADLINE;
    server->answer = answer;
    memory_arbiter_init(&server->arbiter);
    stream_init(&server->stream);
    throttle_init(&server->throttle, &server->options.limits);
    server->given = settings_of(server);
    server->threads = process_cache_create();
    server->base = create_base();
    if (!server->threads || !server->base || !create_events(server)) {
        message("start: out of memory");
        return -ENOMEM;
    }
    return open_throttle(server);
}

int
server_begin_file(struct server *server, const struct class_spec *spec)
{
    struct file *file = server_add_file(server, spec);

    file->pool = pool_create(spec->jobs);
    if (!file->pool || pool_follow(file->pool) < 0) {
        message("start: out of memory");
        return -ENOMEM;
    }
    server_follow(file);
    if (file_is_class(file))
        server_record_file(file);
    return 0;
}

int
server_begin(struct server *server)
{
    const struct options *options = &server->options;
    const struct class_spec cpu = {.jobs = options->jobs};

    server->state = state_create();
    if (!server->state) {
        message("start: out of memory");
        return -ENOMEM;
    }
    int error = server_begin_file(server, &cpu);
    for (unsigned i = 0; i < options->classes.count && error == 0; i++)
        error = server_begin_file(server, &options->classes.specs[i]);
    if (error < 0)
        return error;
    pool_set_per_process_limit(server->files[0].pool, options->per_process_limit, clock_now_ns());
    pool_set_per_user_limit(server->files[0].pool, options->per_user_limit, clock_now_ns());
    server_record_settings(server);
    return 0;
}

void
server_stop(struct server *server)
{
    server->is_ending = true;
    if (server->deadline)
        event_free(server->deadline);
    if (server->unused)
        event_free(server->unused);
    for (size_t i = 0; i < SERVER_SIGNALS; i++)
        if (server->signals[i])
            event_free(server->signals[i]);
}

void
server_end(struct server *server)
{
    if (server->base)
        event_base_free(server->base);
    if (server->threads)
        process_cache_destroy(server->threads);
    for (unsigned i = 0; i < server->file_count; i++)
        if (server->files[i].pool)
            pool_destroy(server->files[i].pool);
    if (server->state)
        state_close(server->state);
    throttle_close(&server->throttle);
}

int
server_run(struct server *server)
{
    watch_use(server);
    if (event_base_dispatch(server->base) >= 0)
        return 0;
    message("serve: the event loop has failed");
    return -EIO;
}
