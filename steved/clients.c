/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/pool/rows.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "steved/state.h"

#define KEY_SESSION (UINT64_C(1) << 60)
#define KEY_GROUP (UINT64_C(2) << 60)

/* What its ancestors tell about a process. */
struct origin {
    const struct client *group_relative; /* the nearest in, or below, a group */
    struct client *nearest;              /* the nearest that has opened the file */
    bool is_paid;                        /* one of them is a client, and started it with a slot */
};

/* For a server that comes after this one. */
static void
record(const struct client *client)
{
    const struct state_client row = {
        .serial = client->serial,
        .start_ticks = client->start_ticks,
        .pid = client->pid,
        .group_pid = client->group_pid,
        .heir_of = client->heir_of ? client->heir_of->number : STATE_NONE,
        .flags = STATE_CLIENT_IS_THERE | (client->uses_tokens ? STATE_CLIENT_USES_TOKENS : 0) |
                 (client->is_below_group ? STATE_CLIENT_IS_BELOW_GROUP : 0),
    };

    state_put(client->server->state, STATE_CLIENT, client->number, &row, sizeof(row));
}

static uint64_t
take_serial(struct server *server)
{
    const struct state_serial row = {++server->next_serial};

    state_put(server->state, STATE_SERIAL, 0, &row, sizeof(row));
    return row.next;
}

uint64_t
clients_key_of_group(struct server *server)
{
    return KEY_GROUP | take_serial(server);
}

static struct client_bucket *
bucket_of(struct server *server, pid_t pid)
{
    return &server->clients[(unsigned)pid % CLIENT_BUCKETS];
}

static void
inherit(struct client *client, struct client *ancestor)
{
    LIST_INSERT_HEAD(&ancestor->heirs, client, in_heirs);
    client->heir_of = ancestor;
}

static void
disinherit(struct client *client)
{
    LIST_REMOVE(client, in_heirs);
    client->heir_of = NULL;
    record(client);
}

void
clients_mark_used(struct client *client)
{
    struct client *heir;

    client->uses_tokens = true;
    record(client);
    while ((heir = LIST_FIRST(&client->heirs))) {
        disinherit(heir);
        pool_process_set_paid(heir->server->pool, heir->process);
    }
}

void
clients_set_group(struct client *client, pid_t group_pid)
{
    client->group_pid = group_pid;
    record(client);
}

static void
client_free(struct client *client)
{
    struct client *heir;

    while ((heir = LIST_FIRST(&client->heirs)))
        disinherit(heir);
    if (client->heir_of)
        disinherit(client);
    if (client->number != STATE_NONE)
        state_drop(client->server->state, STATE_CLIENT, client->number);
    LIST_REMOVE(client, in_bucket);
    if (client->died)
        event_free(client->died);
    close(client->pidfd);
    free(client);
}

static uint64_t
count_reclaimed(const struct server *server)
{
    struct pool_status status;

    if (!server->options.is_verbose) /* the status walks over all processes */
        return 0;
    pool_get_status(server->pool, &status);
    return status.reclaimed;
}

static void
client_died(struct client *client)
{
    struct server *server = client->server;
    uint64_t before = count_reclaimed(server);

    process_cache_forget(server->threads, client->pid);
    pool_process_died(server->pool, client->process, clock_now_ns());
    uint64_t reclaimed = count_reclaimed(server) - before;
    if (reclaimed > 0)
        message("reclaim of %llu from %d", (unsigned long long)reclaimed, (int)client->pid);
    client_free(client);
}

static void
on_death(evutil_socket_t pidfd, short what, void *data)
{
    struct client *client = data;
    struct server *server = client->server;

    /* For a moment it also looks so while one of several threads execs, and the others end. */
    if (!process_pidfd_has_exited(client->pidfd)) {
        event_add(client->died, NULL);
        return;
    }
    server_look(server);
    client_died(client);
    server_settle(server);
}

/* No pid is used again as soon as this: all others would have to be used first. */
#define PID_REST_NS INT64_C(1000000)

static bool
is_alive(struct client *client)
{
    int64_t now_ns = clock_now_ns();

    if (now_ns - client->seen_alive_ns < PID_REST_NS)
        return true;
    if (process_pidfd_has_exited(client->pidfd))
        return false;
    client->seen_alive_ns = now_ns;
    return true;
}

/* A pid may be in use again before the event of its pidfd was handled: who was there before is dead,
 * and has to be treated so first. */
struct client *
clients_find(struct server *server, pid_t pid)
{
    struct client *client;

    LIST_FOREACH (client, bucket_of(server, pid), in_bucket) {
        if (client->pid != pid)
            continue;
        if (is_alive(client))
            return client;
        client_died(client);
        return NULL;
    }
    return NULL;
}

void
clients_bury_claimers(struct server *server)
{
    struct client *client, *next;

    for (size_t i = 0; i < CLIENT_BUCKETS; i++) {
        for (client = LIST_FIRST(&server->clients[i]); client; client = next) {
            next = LIST_NEXT(client, in_bucket);
            if (pool_process_has_claimed(client->process) &&
                process_pidfd_has_exited(client->pidfd))
                client_died(client);
        }
    }
}

size_t
clients_ancestors(struct server *server, pid_t pid, struct client *ancestors[CLIENTS_ANCESTORS_MAX])
{
    struct process_info found[CLIENTS_ANCESTORS_MAX];
    size_t count = process_ancestors(pid, found, CLIENTS_ANCESTORS_MAX), kept = 0;

    for (size_t i = 0; i < count; i++) {
        ancestors[kept] = clients_find(server, found[i].pid);
        kept += ancestors[kept] != NULL;
    }
    return kept;
}

/* Who has asked for too much is taken for a client of its own. */
static struct origin
find_origin(const struct client *client)
{
    struct server *server = client->server;
    struct client *ancestors[CLIENTS_ANCESTORS_MAX];
    struct origin origin = {0};

    if (!allowance_is_left(&server->allowances, client->uid, clock_now_ns()))
        return origin;
    int64_t begun_ns = clock_spent_ns();
    size_t count = clients_ancestors(server, client->pid, ancestors);
    for (size_t i = 0; i < count; i++) {
        struct client *ancestor = ancestors[i];
        origin.is_paid |= ancestor->uses_tokens;
        if (!origin.nearest)
            origin.nearest = ancestor;
        if (!origin.group_relative && (ancestor->group_pid || ancestor->is_below_group))
            origin.group_relative = ancestor;
    }
    allowance_charge(&server->allowances, client->uid, clock_spent_ns() - begun_ns, clock_now_ns());
    return origin;
}

/* What is below a group counts for the user who founded it, whoever it has become since (sudo, a builder
 * that drops privileges). A session can hold several users. NULL: there is no memory. */
static struct pool_account *
account_of(const struct client *client, const struct origin *origin)
{
    struct process_info info;

    if (origin->group_relative)
        return pool_process_account(origin->group_relative->process);
    /* Hidden (hidepid=), but alive: there is a pidfd. */
    if (process_info(client->pid, &info) < 0)
        return pool_account(client->server->pool, client->uid, CLIENTS_KEY_OUTSIDE);
    return pool_account(client->server->pool, client->uid, KEY_SESSION | (uint32_t)info.session);
}

struct pool_process *
clients_add_process(struct server *server, pid_t pid, struct pool_account *account, bool is_paid)
{
    struct pool_process *process =
        account ? pool_process_add(server->pool, pid, account, is_paid) : NULL;

    if (!process || state_has_room(STATE_CLIENT, pool_process_row(process)))
        return process;
    pool_process_died(server->pool, process, clock_now_ns());
    return NULL;
}

/* 0: /proc does not tell. */
static uint64_t
start_ticks_of(pid_t pid)
{
    struct process_info info;

    return process_info(pid, &info) == 0 ? info.start_ticks : 0;
}

static int
watch(struct client *client)
{
    client->died = event_new(client->server->base, client->pidfd, EV_READ, on_death, client);
    if (!client->died || event_add(client->died, NULL) < 0)
        return -ENOMEM;
    return 0;
}

static int
join_pool(struct client *client)
{
    struct server *server = client->server;
    struct origin origin = find_origin(client);

    client->is_below_group = origin.group_relative != NULL;
    client->process =
        clients_add_process(server, client->pid, account_of(client, &origin), origin.is_paid);
    if (!client->process)
        return -ENOMEM;
    client->number = pool_process_row(client->process);
    if (origin.nearest && !origin.is_paid)
        inherit(client, origin.nearest);
    record(client);
    return 0;
}

static struct client *
client_new(struct server *server, pid_t pid, int pidfd, uint64_t serial)
{
    struct client *client = calloc(1, sizeof(*client));

    if (!client) {
        close(pidfd);
        return NULL;
    }
    *client = (struct client){
        .server = server, .pid = pid, .pidfd = pidfd, .serial = serial, .number = STATE_NONE};
    LIST_INSERT_HEAD(bucket_of(server, pid), client, in_bucket);
    return client;
}

/* For who is looked at, some descriptors must be left. */
static int
open_pidfd(pid_t pid)
{
    int pidfd = process_open_pidfd(pid);

    if (pidfd < 0 || !descriptors_are_scarce(pidfd))
        return pidfd;
    close(pidfd);
    return -EMFILE;
}

/* The thread that asks is blocked in its system call: as long as it is not answered, what /proc says
 * of it is right, and the pidfd is of the process that asks. */
static struct client *
introduce(struct server *server, pid_t pid, uid_t uid)
{
    int pidfd = open_pidfd(pid);

    if (pidfd < 0) {
        /* A hidden thread that is not its process' first looks like a process, too. */
        bool is_there = pidfd != -ESRCH && pidfd != -EINVAL && pidfd != -ENOENT;
        if (is_there && !server->is_short_of_pidfds)
            message("watch process %d: %s; its tokens belong to the open file description instead",
                    (int)pid, strerror(-pidfd));
        server->is_short_of_pidfds |= is_there;
        return NULL;
    }
    struct client *client = client_new(server, pid, pidfd, take_serial(server));
    if (!client)
        return NULL;
    client->uid = uid;
    client->start_ticks = start_ticks_of(pid);
    if (watch(client) < 0 || join_pool(client) < 0) {
        client_free(client);
        return NULL;
    }
    return client;
}

struct client *
clients_of_thread(struct server *server, pid_t tid, uid_t uid)
{
    pid_t pid;

    if (tid == 0)
        return NULL;
    /* A process that has this very number is the one, and this its first thread. */
    struct client *client = clients_find(server, tid);
    if (client)
        return client;
    if (process_cache_lookup(server->threads, tid, &pid) < 0)
        return NULL;
    if (pid != tid)
        client = clients_find(server, pid);
    return client ? client : introduce(server, pid, uid);
}

/* --- for a new server --- */

void
clients_remember_thread(struct server *server, pid_t tid, pid_t pid)
{
    if (pid > 0 && tid != pid)
        process_cache_remember(server->threads, tid, pid);
}

/* A pidfd of this very process. -ESRCH: it has died since. */
static int
open_again(const struct state_client *row)
{
    int pidfd = process_open_pidfd(row->pid);

    if (pidfd < 0 || row->start_ticks == 0 || start_ticks_of(row->pid) == row->start_ticks)
        return pidfd;
    close(pidfd);
    return -ESRCH;
}

static int
restore(struct server *server, uint32_t number, const struct state_client *row)
{
    struct pool_process *process = pool_process_of_row(server->pool, number);

    if (!process || row->pid <= 0 || pool_process_pid(process) != row->pid)
        return -EINVAL;
    int pidfd = open_again(row);
    if (pidfd == -ESRCH) {
        pool_process_died(server->pool, process, clock_now_ns());
        state_drop(server->state, STATE_CLIENT, number);
        return 0;
    }
    struct client *client = pidfd < 0 ? NULL : client_new(server, row->pid, pidfd, row->serial);
    if (!client)
        return pidfd < 0 ? pidfd : -ENOMEM;
    client->process = process;
    client->number = number;
    client->start_ticks = row->start_ticks;
    client->group_pid = row->group_pid;
    client->uses_tokens = row->flags & STATE_CLIENT_USES_TOKENS;
    client->is_below_group = row->flags & STATE_CLIENT_IS_BELOW_GROUP;
    return watch(client);
}

/* When all are there. */
static void
restore_heir(struct server *server, const struct state_client *row)
{
    struct pool_process *ancestor = pool_process_of_row(server->pool, row->heir_of);
    struct client *client = clients_find(server, row->pid);
    struct client *heir_of = ancestor ? clients_find(server, pool_process_pid(ancestor)) : NULL;

    if (!client || !heir_of || client == heir_of)
        return;
    if (heir_of->uses_tokens)
        pool_process_set_paid(server->pool, client->process);
    else
        inherit(client, heir_of);
}

int
clients_restore(struct server *server)
{
    uint32_t count = state_rows(server->state, STATE_CLIENT);
    const struct state_client *row;

    for (uint32_t number = 0; number < count; number++) {
        row = state_row(server->state, STATE_CLIENT, number);
        bool is_there = row->flags & STATE_CLIENT_IS_THERE;
        const struct pool_process *process = pool_process_of_row(server->pool, number);
        int error = is_there ? restore(server, number, row) : 0;
        if (!is_there && process && pool_process_pid(process) != 0)
            error = -EINVAL;
        if (error < 0) {
            message_errno(-error, "take over: process %u of the pool", number);
            return error;
        }
    }
    for (uint32_t number = 0; number < count; number++) {
        row = state_row(server->state, STATE_CLIENT, number);
        if (row->flags & STATE_CLIENT_IS_THERE && row->heir_of != STATE_NONE)
            restore_heir(server, row);
    }
    return 0;
}

/* --- the end --- */

void
clients_end(struct server *server)
{
    for (size_t i = 0; i < CLIENT_BUCKETS; i++) {
        struct client *client;
        while ((client = LIST_FIRST(&server->clients[i])))
            client_free(client);
    }
}
