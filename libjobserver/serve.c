/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/serve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"

/* What crosses the wire has the same layout for callers of 32 and of 64 bits: no pointer, no long, and no
 * padding, which would differ. The size is part of an ioctl's number. */
_Static_assert(sizeof(struct steved_status) == 160, "changed");
_Static_assert(sizeof(struct steved_client) == 120, "changed");
_Static_assert(sizeof(struct steved_clients) == 16 + 32 * 120, "changed");
_Static_assert(sizeof(struct steved_limits) == 16, "changed");
_Static_assert(sizeof(struct steved_settings) == 64, "changed");
_Static_assert(sizeof(struct steved_claim) == 32, "changed");
_Static_assert(sizeof(struct steved_need) == 32, "changed");
_Static_assert(sizeof(struct steved_weight) == 32, "changed");
_Static_assert(sizeof(struct steved_memory) == 224, "changed");
_Static_assert(sizeof(struct steved_throttle) == 72, "changed");
_Static_assert(sizeof(struct steved_event) == 176, "changed");
_Static_assert(sizeof(struct steved_events) == 16 + 3840, "changed");
_Static_assert(sizeof(struct steved_told) == 16 + 16 * 176, "changed");
_Static_assert(sizeof(struct steved_account) == 88, "changed");
_Static_assert(sizeof(struct steved_class) == 96, "changed");
_Static_assert(sizeof(struct steved_classes) == 8 + 8 * 96, "changed");

#define ANCESTORS_MAX 64

void
serve_status(const struct pool *pool, const struct pool_opening *opening,
             struct steved_status *answer)
{
    struct pool_status status;

    pool_get_status(pool, &status);
    *answer = (struct steved_status){
        .version = STEVED_PROTOCOL_VERSION,
        .pid = getpid(),
        .jobs = status.capacity,
        .free = status.free,
        .held = status.held,
        .reserved = status.reserved,
        .debt = status.debt,
        .waiting = status.waiting,
        .unpaid = status.unpaid,
        .accounts = status.accounts,
        .granted = status.granted,
        .returned = status.returned,
        .foreign = status.foreign,
        .dropped = status.dropped,
        .reclaimed = status.reclaimed,
        .lapsed = status.lapsed,
        .recalled = pool_recalled(pool, opening),
        .paused = status.paused,
    };
}

/* Only what the process cannot keep from us: one that blocked us would block all. */
static uint64_t
describe_process(pid_t pid, bool may_look, char command[STEVED_COMMAND_SIZE])
{
    struct process_info info = {0};
    const char *name = "(gone)";

    if (pid == 0)
        name = "(outside)";
    else if (!may_look)
        name = "(busy)";
    else if (process_info(pid, &info) == 0)
        name = info.name;
    snprintf(command, STEVED_COMMAND_SIZE, "%s", name);
    return info.start_ticks;
}

_Static_assert(STEVED_EVENT_NAME_SIZE == STEVED_COMMAND_SIZE, "one is not as long as the other");

void
serve_name_client(struct steved_event *event, bool may_look)
{
    describe_process(event->pid, may_look, event->name);
}

static void
describe_client(const struct pool_client *client, bool may_look, struct steved_client *described)
{
    *described = (struct steved_client){
        .account = client->account,
        .pid = client->pid,
        .keeper = client->keeper,
        .flags = (client->is_group ? STEVED_CLIENT_GROUP : 0) |
                 (client->pays_implicit ? STEVED_CLIENT_PAYS_IMPLICIT : 0) |
                 (client->is_unpaid ? STEVED_CLIENT_UNPAID : 0) |
                 (client->has_claimed ? STEVED_CLIENT_HAS_CLAIMED : 0) |
                 (client->is_paused ? STEVED_CLIENT_PAUSED : 0) | STEVED_CLIENT_HAS_USER,
        .uid = client->uid,
        .weight = client->weight,
        .held = client->held,
        .reserved = client->reserved,
        .waiting = client->waiting,
        .claims = client->claims,
    };
    described->start_ticks = describe_process(client->pid, may_look, described->command);
}

int
serve_clients(const struct pool *pool, bool may_look, struct steved_clients *page)
{
    struct pool_client found[STEVED_CLIENTS_PER_PAGE];
    uint64_t cursor = page->cursor;

    if (page->reserved)
        return -EINVAL;
    memset(page, 0, sizeof(*page));
    size_t count = pool_get_clients(pool, &cursor, found, STEVED_CLIENTS_PER_PAGE);
    for (size_t i = 0; i < count; i++)
        describe_client(&found[i], may_look, &page->clients[i]);
    page->cursor = cursor;
    page->count = (uint32_t)count;
    return 0;
}

int
serve_set_weight(struct pool *pool, struct pool_opening *opening,
                 const struct steved_weight *weight, bool is_owner, int64_t now_ns)
{
    for (size_t i = 0; i < sizeof(weight->spare) / sizeof(weight->spare[0]); i++)
        if (weight->spare[i])
            return -EINVAL;
    if (weight->weight < 1 || weight->weight > STEVED_WEIGHT_MAX)
        return -EINVAL;
    if (weight->weight > STEVED_WEIGHT_DEFAULT && !is_owner)
        return -EPERM;
    return pool_group_set_weight(pool, opening, weight->weight, now_ns);
}

/* --- accounts --- */

static bool
makes_sense(const struct steved_account *account)
{
    const unsigned known = STEVED_ACCOUNT_SET_WEIGHT | STEVED_ACCOUNT_SET_PAUSE;

    for (size_t i = 0; i < sizeof(account->spare) / sizeof(account->spare[0]); i++)
        if (account->spare[i])
            return false;
    if (account->named & ~known || account->spare32)
        return false;
    if (account->named & STEVED_ACCOUNT_SET_WEIGHT &&
        (account->weight < 1 || account->weight > STEVED_WEIGHT_MAX))
        return false;
    return !(account->named & STEVED_ACCOUNT_SET_PAUSE) || account->paused <= 1;
}

static bool
may_set(struct serve_asker asker, const struct steved_account *account,
        const struct pool_account_info *now)
{
    if (asker.is_owner || account->named == 0)
        return true;
    if (asker.uid != now->uid)
        return false;
    if (account->named & STEVED_ACCOUNT_SET_WEIGHT && account->weight > STEVED_WEIGHT_DEFAULT)
        return false;
    return !(account->named & STEVED_ACCOUNT_SET_PAUSE) || now->pause != POOL_PAUSED_BY_OWNER;
}

static void
describe_account(const struct pool_account *found, const struct memory_arbiter *arbiter,
                 struct steved_account *account, int64_t now_ns)
{
    const struct pool_account_info info = pool_account_describe(found);
    const struct memory_use use = memory_arbiter_use(arbiter, info.uid, info.key, now_ns);

    *account = (struct steved_account){
        .account = info.key,
        .uid = info.uid,
        .weight = info.weight,
        .paused = info.pause,
        .flags = use.parties > 0 ? STEVED_ACCOUNT_HAS_MEMORY : 0,
        .memory_running = use.running,
        .memory_waiting = use.waiting,
        .memory_used_bytes = use.used_bytes,
        .memory_growth_bytes = use.growth_bytes,
    };
}

int
serve_account(struct pool *pool, const struct memory_arbiter *arbiter, struct serve_asker asker,
              struct steved_account *account, int64_t now_ns)
{
    struct pool_account *found = pool_account_find(pool, account->uid, account->account);

    if (!makes_sense(account))
        return -EINVAL;
    if (!found)
        return -ENOENT;
    const struct pool_account_info now = pool_account_describe(found);
    if (!may_set(asker, account, &now))
        return -EPERM;
    if (account->named & STEVED_ACCOUNT_SET_WEIGHT)
        pool_account_set_weight(pool, found, account->weight, now_ns);
    if (account->named & STEVED_ACCOUNT_SET_PAUSE)
        pool_account_set_pause(pool, found,
                               !account->paused ? POOL_NOT_PAUSED
                               : asker.is_owner ? POOL_PAUSED_BY_OWNER
                                                : POOL_PAUSED,
                               now_ns);
    describe_account(found, arbiter, account, now_ns);
    return 0;
}

static bool
names_only(const struct steved_settings *settings, unsigned known)
{
    for (size_t i = 0; i < sizeof(settings->spare) / sizeof(settings->spare[0]); i++)
        if (settings->spare[i])
            return false;
    return !(settings->named & ~known);
}

int
serve_check_settings(const struct steved_settings *settings)
{
    const unsigned known = STEVED_SET_JOBS | STEVED_SET_MIN_JOBS | STEVED_SET_PER_PROCESS_LIMIT |
                           STEVED_SET_PER_USER_LIMIT | STEVED_SET_LIMITS;

    return names_only(settings, known) && settings->lease_ms == 0 ? 0 : -EINVAL;
}

/* --- classes --- */

static int
check_class_settings(const struct steved_settings *settings)
{
    const bool has_lease = settings->named & STEVED_SET_LEASE;
    const unsigned lease_ms = settings->lease_ms;

    if (!(settings->named & STEVED_SET_JOBS) || settings->jobs > POOL_CAPACITY_MAX ||
        !names_only(settings, STEVED_SET_JOBS | STEVED_SET_LEASE))
        return -EINVAL;
    return has_lease ? (lease_ms >= 1 && lease_ms <= STEVED_LEASE_MAX_MS ? 0 : -EINVAL)
                     : (lease_ms == 0 ? 0 : -EINVAL);
}

int
serve_set_class(struct pool *pool, const struct steved_settings *settings, int64_t *lease_ends_ns,
                int64_t now_ns)
{
    int result = check_class_settings(settings);

    if (result == 0)
        result = pool_set_capacity(pool, settings->jobs, now_ns);
    if (result == 0)
        *lease_ends_ns = settings->named & STEVED_SET_LEASE
                             ? now_ns + settings->lease_ms * NS_PER_MS
                             : POOL_NO_DEADLINE;
    return result;
}

/* Who holds it has not said lately that there are as many still. */
bool
serve_end_lease(struct pool *pool, const char *name, int64_t *lease_ends_ns, int64_t now_ns)
{
    if (now_ns < *lease_ends_ns)
        return false;
    *lease_ends_ns = POOL_NO_DEADLINE;
    pool_set_capacity(pool, 0, now_ns);
    message("class %s: the lease of its jobs has ended; it has none now", name);
    return true;
}

void
serve_class(const struct pool *pool, const struct class_spec *spec, int64_t lease_ends_ns,
            int64_t now_ns, struct steved_class *answer)
{
    struct pool_status status;

    pool_get_status(pool, &status);
    *answer = (struct steved_class){.jobs = status.capacity,
                                    .free = status.free,
                                    .held = status.held,
                                    .reserved = status.reserved,
                                    .debt = status.debt,
                                    .waiting = status.waiting,
                                    .accounts = status.accounts};
    snprintf(answer->name, sizeof(answer->name), "%s", spec->name);
    if (lease_ends_ns != POOL_NO_DEADLINE && lease_ends_ns > now_ns)
        answer->lease_ms = (uint32_t)((lease_ends_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

/* --- memory --- */

static struct memory_party *
find_around(struct memory_arbiter *arbiter, pid_t pid)
{
    struct process_info ancestors[ANCESTORS_MAX];
    struct memory_party *found = NULL;
    size_t count = pid != 0 ? process_ancestors(pid, ancestors, ANCESTORS_MAX) : 0;

    for (size_t i = 0; i < count && !found; i++)
        found = memory_arbiter_find(arbiter, ancestors[i].pid);
    return found;
}

/* party: for whom; NULL: one has left. */
static bool
ask_above(struct memory_arbiter *arbiter, const struct memory_party *party,
          struct serve_above *above, struct steved_memory *outside, int64_t now_ns)
{
    if (!above || !above->ask)
        return false;
    memory_arbiter_question(arbiter, party, outside, now_ns);
    if (above->ask(above->argument, outside) == 0)
        return true;
    above->ask = NULL;
    return false;
}

int
serve_memory(struct memory_arbiter *arbiter, struct memory_party *party,
             const struct pool_account *account, pid_t pid, struct serve_above *above,
             struct steved_memory *memory, int64_t now_ns)
{
    const struct pool_account_info info = pool_account_describe(account);
    struct steved_memory outside, answer;
    int error = 0;

    party->uid = info.uid;
    party->account = info.key;
    if (!party->is_member)
        error = memory_arbiter_join(arbiter, party, pid, find_around(arbiter, pid), now_ns);
    if (error == 0)
        error = memory_arbiter_tell(arbiter, party, memory, now_ns);
    if (error < 0)
        return error;
    bool is_below = ask_above(arbiter, party, above, &outside, now_ns);
    memory_arbiter_answer(arbiter, party, is_below ? &outside : NULL, &answer, now_ns);
    *memory = answer;
    return 0;
}

void
serve_memory_left(struct memory_arbiter *arbiter, struct memory_party *party,
                  struct serve_above *above, int64_t now_ns)
{
    struct steved_memory outside;

    if (!party->is_member)
        return;
    memory_arbiter_leave(arbiter, party);
    ask_above(arbiter, NULL, above, &outside, now_ns);
}
