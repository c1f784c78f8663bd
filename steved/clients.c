/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/pool/pool.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"

#define KEY_SESSION (UINT64_C(1) << 60)
#define KEY_GROUP (UINT64_C(2) << 60)

/* What its ancestors tell about a process. */
struct origin {
    const struct client *group_relative; /* the nearest in, or below, a group */
    struct client *nearest;              /* the nearest that has opened the file */
    bool is_paid;                        /* one of them is a client, and started it with a slot */
};

uint64_t
clients_key_of_group(struct server *server)
{
    return KEY_GROUP | ++server->next_serial;
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
    client->is_heir = true;
}

static void
disinherit(struct client *client)
{
    if (client->is_heir)
        LIST_REMOVE(client, in_heirs);
    client->is_heir = false;
}

void
clients_mark_used(struct client *client)
{
    struct client *heir;

    client->uses_tokens = true;
    while ((heir = LIST_FIRST(&client->heirs))) {
        disinherit(heir);
        pool_process_set_paid(heir->server->pool, heir->process);
    }
}

static void
client_free(struct client *client)
{
    struct client *heir;

    while ((heir = LIST_FIRST(&client->heirs)))
        disinherit(heir);
    disinherit(client);
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
 * that drops privileges). A session can hold several users. */
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
    struct pool_account *account = account_of(client, &origin);

    if (!account)
        return -ENOMEM;
    client->is_below_group = origin.group_relative != NULL;
    client->process = pool_process_add(server->pool, client->pid, account, origin.is_paid);
    if (client->process && origin.nearest && !origin.is_paid)
        inherit(client, origin.nearest);
    return client->process ? 0 : -ENOMEM;
}

/* The thread that asks is blocked in its system call: as long as it is not answered, what /proc says
 * of it is right, and the pidfd is of the process that asks. */
static struct client *
introduce(struct server *server, pid_t pid, uid_t uid)
{
    int pidfd = process_open_pidfd(pid);

    if (pidfd < 0) {
        /* A hidden thread that is not its process' first looks like a process, too. */
        bool is_there = pidfd != -ESRCH && pidfd != -EINVAL && pidfd != -ENOENT;
        if (is_there && !server->is_short_of_pidfds)
            message_errno(-pidfd, "watch process %d, which is charged by its descriptor only",
                          (int)pid);
        server->is_short_of_pidfds |= is_there;
        return NULL;
    }
    struct client *client = calloc(1, sizeof(*client));
    if (!client) {
        close(pidfd);
        return NULL;
    }
    *client = (struct client){
        .server = server, .pid = pid, .uid = uid, .pidfd = pidfd, .serial = ++server->next_serial};
    LIST_INSERT_HEAD(bucket_of(server, pid), client, in_bucket);
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

void
clients_end(struct server *server)
{
    for (size_t i = 0; i < CLIENT_BUCKETS; i++) {
        struct client *client;
        while ((client = LIST_FIRST(&server->clients[i])))
            client_free(client);
    }
}
