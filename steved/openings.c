/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/openings.h"

#include <errno.h>
#include <stdlib.h>

#include "libjobserver/pool/rows.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"
#include "steved/state.h"

/* For a server that comes after this one. */
static void
record(const struct opening *opening)
{
    const struct state_opening row = {
        .poll_handle = opening->poll_handle,
        .opener_serial = opening->opener_serial,
        .opener_pid = opening->opener_pid,
        .opener_uid = opening->opener->uid,
        .group_pid = opening->group_pid,
        .anonymous = opening->anonymous ? pool_process_row(opening->anonymous) : STATE_NONE,
        .flags = STATE_OPENING_IS_THERE | (opening->is_used ? STATE_OPENING_IS_USED : 0) |
                 (opening->reads_events ? STATE_OPENING_READS_EVENTS : 0),
    };

    state_put(opening->file->server->state, state_table_of(opening->file->number, STATE_OPENING),
              opening->number, &row, sizeof(row));
}

static struct pool_process *
add_anonymous(struct file *file, const struct request *request)
{
    return clients_add_process(file, 0, pool_account(file->pool, request->uid, CLIENTS_KEY_OUTSIDE),
                               file_is_class(file));
}

static bool
open_in_pool(struct opening *opening, struct pool_process *opener)
{
    const enum state_table table = state_table_of(opening->file->number, STATE_OPENING);

    opening->pool = pool_open(opening->file->pool, opener, opening);
    if (!opening->pool || !state_has_room(table, pool_opening_row(opening->pool)))
        return false;
    opening->number = pool_opening_row(opening->pool);
    record(opening);
    return true;
}

/* --- how many a user has --- */

/* NULL: out of memory. */
static struct opener *
find_opener(struct file *file, uid_t uid)
{
    struct opener *opener;

    LIST_FOREACH (opener, &file->openers, in_file)
        if (opener->uid == uid)
            return opener;
    opener = calloc(1, sizeof(*opener));
    if (!opener)
        return NULL;
    opener->uid = uid;
    LIST_INSERT_HEAD(&file->openers, opener, in_file);
    return opener;
}

static void
opener_release(struct file *file, struct opener *opener)
{
    file->opening_count--;
    if (--opener->count > 0)
        return;
    LIST_REMOVE(opener, in_file);
    free(opener);
}

/* There is room for so many of all users together. One has half of it at most, the next half of the rest, and so on. */
static bool
has_its_share(const struct opener *opener, const struct file *file)
{
    const uint32_t room = state_room(state_table_of(file->number, STATE_OPENING));

    return opener->count > room - file->opening_count;
}

/* --- who comes and goes --- */

static struct opening *
opening_new(struct file *file, uid_t uid)
{
    struct opening *opening = calloc(1, sizeof(*opening));

    if (!opening || !(opening->opener = find_opener(file, uid))) {
        free(opening);
        return NULL;
    }
    opening->opener->count++;
    file->opening_count++;
    opening->file = file;
    opening->number = STATE_NONE;
    memory_party_init(&opening->memory, clock_now_ns());
    LIST_INSERT_HEAD(&file->openings, opening, in_file);
    return opening;
}

int
opening_create(struct file *file, const struct request *request, struct opening **created)
{
    struct client *client = clients_of_thread(file, request->tid, request->uid);
    struct opening *opening = opening_new(file, request->uid);
    int error = -ENOMEM;

    if (!opening)
        return error;
    if (client) {
        opening->opener_pid = client->pid;
        opening->opener_serial = client->serial;
    } else {
        opening->anonymous = add_anonymous(file, request);
    }
    struct pool_process *process = client ? client->process : opening->anonymous;
    if (has_its_share(opening->opener, file))
        error = -EMFILE;
    else if (process && open_in_pool(opening, process))
        error = 0;
    if (error < 0)
        opening_release(opening);
    else
        *created = opening;
    return error;
}

void
opening_release(struct opening *opening)
{
    struct file *file = opening->file;
    struct server *server = file->server;

    if (opening->pool)
        pool_close(file->pool, opening->pool, clock_now_ns());
    if (opening->anonymous)
        pool_process_died(file->pool, opening->anonymous, clock_now_ns());
    if (opening->pollhandle)
        answer_forget(opening->pollhandle);
    if (opening->number != STATE_NONE)
        state_drop(server->state, state_table_of(file->number, STATE_OPENING), opening->number);
    memory_arbiter_leave(&server->arbiter, &opening->memory);
    event_log_leave(&server->stream.log, &opening->reader);
    LIST_REMOVE(opening, in_file);
    opener_release(file, opening->opener);
    free(opening);
}

uint64_t
opening_id(const struct opening *opening)
{
    return (uint64_t)opening->file->number << 32 | opening->number;
}

struct opening *
opening_find(const struct server *server, uint64_t id)
{
    const uint64_t file = id >> 32;
    const uint32_t number = (uint32_t)id;
    const struct pool_opening *opening = NULL;

    if (file < server->file_count && number < STATE_NONE)
        opening = pool_opening_of_row(server->files[file].pool, number);

    return opening ? pool_opening_owner(opening) : NULL;
}

struct pool_process *
opening_process(struct opening *opening, const struct request *request, struct client **client)
{
    *client = clients_of_thread(opening->file, request->tid, request->uid);
    if (*client)
        return (*client)->process;
    if (!opening->anonymous) {
        opening->anonymous = add_anonymous(opening->file, request);
        record(opening);
    }
    return opening->anonymous;
}

void
opening_mark_used(struct opening *opening, struct client *client)
{
    if (client && !client->uses_tokens)
        clients_mark_used(client);
    if (opening->is_used)
        return;
    opening->is_used = true;
    record(opening);
    struct client *opener = clients_find(opening->file, opening->opener_pid);
    if (opener && opener->serial == opening->opener_serial)
        clients_mark_used(opener);
}

void
opening_join_group(struct opening *opening, struct client *client)
{
    if (!opening->group_pid) {
        opening->group_pid = client ? client->pid : 0;
        record(opening);
    }
    if (client)
        clients_set_group(client, opening->group_pid);
}

void
opening_mark_reader(struct opening *opening)
{
    if (opening->reads_events)
        return;
    opening->reads_events = true;
    record(opening);
}

void
opening_set_poll_handle(struct opening *opening, uint64_t poll_handle)
{
    if (opening->poll_handle == poll_handle)
        return;
    opening->poll_handle = poll_handle;
    record(opening);
}

/* --- for a new server --- */

static bool
restore(struct file *file, uint32_t number, const struct state_opening *row)
{
    struct pool_opening *in_pool = pool_opening_of_row(file->pool, number);
    struct opening *opening = in_pool ? opening_new(file, row->opener_uid) : NULL;

    if (!opening)
        return false;
    opening->pool = in_pool;
    opening->number = number;
    opening->poll_handle = row->poll_handle;
    opening->opener_serial = row->opener_serial;
    opening->opener_pid = row->opener_pid;
    opening->group_pid = row->group_pid;
    opening->is_used = row->flags & STATE_OPENING_IS_USED;
    opening->reads_events = row->flags & STATE_OPENING_READS_EVENTS;
    opening->anonymous = pool_process_of_row(file->pool, row->anonymous);
    pool_opening_set_owner(in_pool, opening);
    return opening->anonymous || row->anonymous == STATE_NONE;
}

int
openings_restore(struct file *file)
{
    const enum state_table table = state_table_of(file->number, STATE_OPENING);
    const struct state *state = file->server->state;
    uint32_t count = state_rows(state, table);

    for (uint32_t number = 0; number < count; number++) {
        const struct state_opening *row = state_row(state, table, number);
        bool is_there = row->flags & STATE_OPENING_IS_THERE;
        if (is_there ? restore(file, number, row) : !pool_opening_of_row(file->pool, number))
            continue;
        message("take over: opening %u of the pool is not that of the server", number);
        return -EINVAL;
    }
    return 0;
}
