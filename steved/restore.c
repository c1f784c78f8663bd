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
    const struct state *state;
    unsigned kind;
    uint32_t number;
};

static bool
next_row(void *context, struct pool_row *row)
{
    struct row_reader *reader = context;

    for (; reader->kind < POOL_ROW_KINDS; reader->kind++, reader->number = 0) {
        const enum state_table table = STATE_POOL_ROWS + reader->kind;
        while (reader->number < state_rows(reader->state, table)) {
            memcpy(row, state_row(reader->state, table, reader->number++), sizeof(*row));
            if (row->kind != 0)
                return true;
        }
    }
    return false;
}

static int
restore_pool(struct server *server)
{
    struct row_reader reader = {.state = server->state, .kind = POOL_ROW_POOL};
    struct pool_row_fault fault = {0};

    server->pool = pool_restore(next_row, &reader, &fault);
    if (server->pool) {
        pool_tell(server->pool, &server->stream.log);
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

    if (given->min_jobs == before->min_jobs)
        options->min_jobs = row->now.min_jobs;
    if (given->per_process_limit == before->per_process_limit)
        options->per_process_limit = row->now.per_process_limit;
    if (given->per_user_limit == before->per_user_limit)
        options->per_user_limit = row->now.per_user_limit;
    if (is_same(&given->limits, &before->limits))
        server->throttle.limits = row->now.limits;
    if (given->jobs != before->jobs &&
        pool_set_capacity(server->pool, given->jobs, clock_now_ns()) < 0)
        return -ENOMEM;
    struct pool_status status;
    pool_get_status(server->pool, &status);
    options->jobs = status.capacity;
    if (options->min_jobs > options->jobs)
        options->min_jobs = options->jobs;
    pool_set_per_process_limit(server->pool, options->per_process_limit, clock_now_ns());
    pool_set_per_user_limit(server->pool, options->per_user_limit, clock_now_ns());
    return 0;
}

/* --- all of it --- */

static int
restore_server(struct server *server)
{
    const struct state_server *row = state_row(server->state, STATE_SERVER, 0);
    const struct state_serial *serial = state_row(server->state, STATE_SERIAL, 0);
    struct options *options = &server->options;

    if (state_rows(server->state, STATE_SERVER) == 0 || !memchr(row->name, 0, sizeof(row->name))) {
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

int
restore(struct server *server)
{
    int error = restore_pool(server);

    if (error < 0)
        return error;
    throttle_hold(&server->throttle, server->pool, clock_now_ns());
    error = restore_server(server);
    if (error == 0)
        error = openings_restore(server);
    if (error == 0)
        error = clients_restore(server);
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
