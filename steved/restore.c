/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/restore.h"

#include <errno.h>
#include <string.h>

#include "libjobserver/pool/rows.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"
#include "steved/clients.h"
#include "steved/openings.h"

/* --- the pool --- */

struct row_reader {
    const struct file *file;
    unsigned kind;
    uint32_t number;
};

static bool
next_row(void *context, struct pool_row *row)
{
    struct row_reader *reader = context;

    for (; reader->kind < POOL_ROW_KINDS; reader->kind++, reader->number = 0) {
        const struct state *state = reader->file->server->state;
        const enum state_table table =
            state_table_of(reader->file->number, STATE_POOL_ROWS + reader->kind);
        while (reader->number < state_rows(state, table)) {
            memcpy(row, state_row(state, table, reader->number++), sizeof(*row));
            if (row->kind != 0)
                return true;
        }
    }
    return false;
}

static int
restore_pool(struct file *file)
{
    struct row_reader reader = {.file = file, .kind = POOL_ROW_POOL};
    struct pool_row_fault fault = {0};

    file->pool = pool_restore(next_row, &reader, &fault);
    if (file->pool) {
        server_follow(file);
        return 0;
    }
    int error = -errno;
    if (error == -EINVAL)
        message("take over: %s %u of the state: %s", pool_row_kind_name(fault.kind), fault.number,
                fault.what);
    else
        message_errno(-error, "take over");
    return error;
}

/* --- classes --- */

static const struct class_spec *
find_given(const struct class_specs *given, const char *name)
{
    for (unsigned i = 0; i < given->count; i++)
        if (strcmp(given->specs[i].name, name) == 0)
            return &given->specs[i];
    return NULL;
}

/* One that is given no more stays, since it may be open, but has no jobs. */
static int
restore_class(struct server *server, const struct state_file *row)
{
    const struct class_spec *given = find_given(&server->options.classes, row->name);
    struct class_spec spec = {.jobs = given ? given->jobs : 0};

    memcpy(spec.name, row->name, sizeof(spec.name));
    struct file *file = server_add_file(server, &spec);
    int error = restore_pool(file);
    if (error < 0)
        return error;
    file->lease_ends_ns = row->has_lease ? row->lease_ends_ns : POOL_NO_DEADLINE;
    if (!given || spec.jobs != row->given_jobs) {
        file->lease_ends_ns = POOL_NO_DEADLINE;
        error = pool_set_capacity(file->pool, spec.jobs, clock_now_ns());
    }
    server_end_lease(file, clock_now_ns());
    server_record_file(file);
    return error;
}

static bool
has_class(const struct server *server, const char *name)
{
    for (unsigned i = 1; i < server->file_count; i++)
        if (strcmp(server->files[i].spec.name, name) == 0)
            return true;
    return false;
}

/* One that was being added when the server ended has none, and is added anew. */
static bool
has_rows(const struct state *state, unsigned file)
{
    for (unsigned table = 0; table < STATE_FILE_TABLES; table++)
        if (state_has_rows(state, state_table_of(file, table)))
            return true;
    return false;
}

/* NULL, or what is wrong with it. */
static const char *
look_at_class(const struct server *server, unsigned number, const struct state_file *row)
{
    const int64_t longest_ns = STEVED_LEASE_MAX_MS * NS_PER_MS;

    if (number != server->file_count)
        return "the one before it is not there";
    if (!memchr(row->name, 0, sizeof(row->name)) || !class_name_is_valid(row->name))
        return "it has no name";
    if (has_class(server, row->name))
        return "another has its name";
    return row->has_lease && row->lease_ends_ns > clock_now_ns() + longest_ns
               ? "its lease is too long"
               : NULL;
}

static int
restore_classes(struct server *server)
{
    int error = 0;

    for (unsigned i = 1; i < STATE_FILES_MAX && error == 0; i++) {
        if (!has_rows(server->state, i))
            continue;
        const struct state_file *row = state_row(server->state, state_table_of(i, STATE_FILE), 0);
        const char *what = look_at_class(server, i, row);
        if (what) {
            message("take over: class %u of the state: %s", i, what);
            return -EINVAL;
        }
        error = restore_class(server, row);
    }
    return error;
}

/* Those that the server before did not have. */
static int
add_classes(struct server *server)
{
    const struct class_specs *given = &server->options.classes;

    for (unsigned i = 0; i < given->count; i++) {
        if (has_class(server, given->specs[i].name))
            continue;
        if (server->file_count == STATE_FILES_MAX) {
            message("--class '%s': the server before had others, and there is room for %u; start "
                    "it anew",
                    given->specs[i].name, STEVED_CLASSES_MAX);
            continue;
        }
        int error = server_begin_file(server, &given->specs[i]);
        if (error < 0)
            return error;
    }
    return 0;
}

/* --- settings --- */

static bool
is_same(const struct steved_limits *a, const struct steved_limits *b)
{
    return a->memory_mib == b->memory_mib && a->memory_percent == b->memory_percent &&
           a->load_centi == b->load_centi && a->load_recheck_ms == b->load_recheck_ms;
}

/* What the command line says otherwise than it did to the server before. */
static int
restore_settings(struct server *server, const struct state_server *row)
{
    const struct state_settings *before = &row->given, *given = &server->given;
    struct options *options = &server->options;
    struct pool *pool = server->files[0].pool;

    if (given->min_jobs == before->min_jobs)
        options->min_jobs = row->now.min_jobs;
    if (given->per_process_limit == before->per_process_limit)
        options->per_process_limit = row->now.per_process_limit;
    if (given->per_user_limit == before->per_user_limit)
        options->per_user_limit = row->now.per_user_limit;
    if (is_same(&given->limits, &before->limits))
        server->throttle.limits = row->now.limits;
    if (given->jobs != before->jobs && pool_set_capacity(pool, given->jobs, clock_now_ns()) < 0)
        return -ENOMEM;
    struct pool_status status;
    pool_get_status(pool, &status);
    options->jobs = status.capacity;
    if (options->jobs == 0) {
        message("take over: the pool of the state has no jobs");
        return -EINVAL;
    }
    if (options->min_jobs > options->jobs)
        options->min_jobs = options->jobs;
    pool_set_per_process_limit(pool, options->per_process_limit, clock_now_ns());
    pool_set_per_user_limit(pool, options->per_user_limit, clock_now_ns());
    return 0;
}

/* --- all of it --- */

static int
restore_server(struct server *server)
{
    const struct state_server *row = state_row(server->state, STATE_SERVER, 0);
    const struct state_serial *serial = state_row(server->state, STATE_SERIAL, 0);
    struct options *options = &server->options;

    if (state_rows(server->state, STATE_SERVER) == 0 || !memchr(row->name, 0, sizeof(row->name)) ||
        (!row->is_mount && !options_is_device(row->name))) {
        message("take over: the state does not say what is served");
        return -EINVAL;
    }
    server->next_serial = serial->next;
    server->file_uid = row->file_uid;
    server->file_gid = row->file_gid;
    server->file_mode = row->file_mode;
    options->mount_dir = row->is_mount ? row->name : NULL;
    options->device = row->is_mount ? NULL : row->name;
    return restore_settings(server, row);
}

static int
restore_file(struct file *file)
{
    int error = openings_restore(file);

    return error < 0 ? error : clients_restore(file);
}

int
restore(struct server *server)
{
    struct file *cpu = server_add_file(server, &(struct class_spec){0});
    int error = restore_pool(cpu);

    if (error < 0)
        return error;
    throttle_hold(&server->throttle, cpu->pool, clock_now_ns());
    error = restore_server(server);
    if (error == 0)
        error = restore_classes(server);
    for (unsigned i = 0; i < server->file_count && error == 0; i++)
        error = restore_file(&server->files[i]);
    if (error == 0)
        error = add_classes(server);
    if (error == 0)
        server_record_settings(server);
    return error;
}

void
restore_settle(struct server *server)
{
    server_look(server);
    server_settle(server);
}
