/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/ioctls.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libjobserver/pool/pool.h"
#include "libjobserver/program/allowance.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"
#include "libjobserver/protocol.h"
#include "libjobserver/serve.h"
#include "libjobserver/throttle/settings.h"
#include "steved/requests.h"

/* Who calls, and from where. */
struct call {
    struct server *server;
    struct file *file;
    struct opening *opening;
    struct client *client; /* NULL: it can't be told */
    struct pool_process *process;
    uid_t uid;
};

/* Room for any argument. */
union argument {
    struct steved_status status;
    struct steved_clients clients;
    struct steved_settings settings;
    struct steved_claim claim;
    struct steved_need need;
    struct steved_weight weight;
    struct steved_memory memory;
    struct steved_throttle throttle;
    struct steved_events events;
    struct steved_told told;
    struct steved_account account;
    struct steved_classes classes;
    int readable_bytes;
};

/* With what the kernel puts before it. */
static_assert(sizeof(union argument) + 64 <= STATE_ANSWER_SIZE, "an answer that is too long");

struct handler {
    unsigned command;
    int error_of_class; /* what it answers on the file of a class; 0: the same as on the first */
    size_t in_size, out_size;
    /* `argument` has what came in, else zeros, and takes what goes out: 0 or a negative errno. */
    int (*handle)(struct call *call, union argument *argument);
};

/* --- what can be seen --- */

static int
count_readable(struct call *call, union argument *argument)
{
    struct pool_status status;

    pool_get_status(call->file->pool, &status);
    argument->readable_bytes = (int)status.free;
    return 0;
}

static struct pool_account_info
charged_account(const struct call *call)
{
    return pool_account_describe(pool_account_charged(call->opening->pool, call->process));
}

static int
get_status(struct call *call, union argument *argument)
{
    serve_status(call->file->pool, call->opening->pool, &argument->status);
    if (charged_account(call).pause)
        argument->status.flags |= STEVED_STATUS_IS_PAUSED;
    if (file_is_class(call->file))
        return 0;
    argument->status.min_jobs = call->server->options.min_jobs;
    argument->status.per_process_limit = call->server->options.per_process_limit;
    argument->status.per_user_limit = call->server->options.per_user_limit;
    memory_arbiter_status(&call->server->arbiter, &argument->status, clock_now_ns());
    return 0;
}

static int
get_classes(struct call *call, union argument *argument)
{
    const struct server *server = call->server;
    struct steved_classes *answer = &argument->classes;

    for (unsigned i = 1; i < server->file_count; i++) {
        const struct file *file = &server->files[i];
        serve_class(file->pool, &file->spec, file->lease_ends_ns, clock_now_ns(),
                    &answer->classes[answer->count++]);
    }
    return 0;
}

static int
get_throttle(struct call *call, union argument *argument)
{
    throttle_tell(&call->server->throttle, &argument->throttle, clock_now_ns());
    return 0;
}

static int
get_clients(struct call *call, union argument *argument)
{
    struct allowances *allowances = &call->server->allowances;
    bool may_look = allowance_is_left(allowances, call->uid, clock_now_ns());
    int64_t begun_ns = clock_spent_ns();
    int error = serve_clients(call->file->pool, may_look, &argument->clients);

    allowance_charge(allowances, call->uid, clock_spent_ns() - begun_ns, clock_now_ns());
    return error;
}

/* --- what can be set --- */

static bool
is_owner(const struct call *call)
{
    return call->uid == 0 || call->uid == call->server->uid;
}

/* What will be set: what is named, and the rest as it is. */
struct wanted {
    unsigned jobs, min_jobs, per_process_limit, per_user_limit;
};

static int
merge(const struct server *server, const struct steved_settings *settings, struct wanted *wanted)
{
    const unsigned named = settings->named;
    struct pool_status status;

    if (serve_check_settings(settings) < 0)
        return -EINVAL;
    pool_get_status(server->files[0].pool, &status);
    *wanted = (struct wanted){status.capacity, server->options.min_jobs,
                              server->options.per_process_limit, server->options.per_user_limit};
    if (named & STEVED_SET_JOBS)
        wanted->jobs = settings->jobs;
    if (named & STEVED_SET_MIN_JOBS)
        wanted->min_jobs = settings->min_jobs;
    if (named & STEVED_SET_PER_PROCESS_LIMIT)
        wanted->per_process_limit = settings->per_process_limit;
    if (named & STEVED_SET_PER_USER_LIMIT)
        wanted->per_user_limit = settings->per_user_limit;
    return wanted->min_jobs < 1 || wanted->jobs < wanted->min_jobs ||
                   wanted->per_process_limit > POOL_CAPACITY_MAX ||
                   wanted->per_user_limit > POOL_CAPACITY_MAX
               ? -EINVAL
               : 0;
}

static void
trace_settings(const struct server *server, const struct wanted *wanted)
{
    char texts[THROTTLE_SETTINGS][THROTTLE_TEXT_SIZE];

    for (int i = 0; i < THROTTLE_SETTINGS; i++)
        throttle_settings[i].write(&server->throttle.limits, texts[i]);
    server_trace(server,
                 "set jobs=%u min-jobs=%u per-process-limit=%u per-user-limit=%u "
                 "min-memory-avail=%s load-average=%s load-recheck=%s",
                 wanted->jobs, wanted->min_jobs, wanted->per_process_limit, wanted->per_user_limit,
                 texts[THROTTLE_MEMORY], texts[THROTTLE_LOAD], texts[THROTTLE_RECHECK]);
}

static int
set_class(struct call *call, const struct steved_settings *settings)
{
    struct file *file = call->file;
    int error = serve_set_class(file->pool, settings, &file->lease_ends_ns, clock_now_ns());

    if (error < 0)
        return error;
    server_record_file(file);
    server_trace(call->server, "set %s.jobs=%u%s", file->spec.name, settings->jobs,
                 settings->named & STEVED_SET_LEASE ? ", by a lease" : "");
    return 0;
}

static int
set(struct call *call, union argument *argument)
{
    const struct steved_settings *settings = &argument->settings;
    struct server *server = call->server;
    const struct steved_limits before = server->throttle.limits;
    struct wanted wanted;

    if (!is_owner(call))
        return -EPERM;
    if (file_is_class(call->file))
        return set_class(call, settings);
    /* Those that can fail come first: all or none. */
    int error = merge(server, settings, &wanted);
    if (error == 0)
        error = throttle_set(&server->throttle, settings);
    if (error == 0)
        error = pool_set_capacity(call->file->pool, wanted.jobs, clock_now_ns());
    if (error < 0) {
        server->throttle.limits = before;
        return error;
    }
    server->options.min_jobs = wanted.min_jobs;
    server->options.per_process_limit = wanted.per_process_limit;
    server->options.per_user_limit = wanted.per_user_limit;
    pool_set_per_process_limit(call->file->pool, wanted.per_process_limit, clock_now_ns());
    pool_set_per_user_limit(call->file->pool, wanted.per_user_limit, clock_now_ns());
    server_record_settings(server);
    server_look(server);
    trace_settings(server, &wanted);
    return 0;
}

/* --- groups and implicit slots --- */

static int
join_group(struct call *call, union argument *argument)
{
    struct client *client = call->client;

    /* Whoever else has been given the description may be one that could not open the file; as a member it would
     * keep the tokens of the group for ever. */
    if (call->uid != call->opening->opener->uid && call->uid != 0)
        return -EPERM;
    /* Below another group it stays in that one's account. */
    uint64_t key = client && client->is_below_group ? 0 : clients_key_of_group(call->server);
    int error =
        pool_group_join(call->file->pool, call->opening->pool, call->process, key, clock_now_ns());
    if (error < 0)
        return error;
    opening_mark_used(call->opening, client);
    opening_join_group(call->opening, client);
    return 0;
}

static int
pay_implicit(struct call *call, union argument *argument)
{
    return pool_pay_implicit(call->file->pool, call->opening->pool, call->process, clock_now_ns());
}

/* Of the first member of the caller's group, that is: a gate's sidecar is below nobody who is its ninja's
 * ancestor. */
static size_t
find_ancestors(const struct call *call, struct client *found[CLIENTS_ANCESTORS_MAX])
{
    const struct client *client = call->client;

    if (!client)
        return 0;
    const struct client *first =
        client->group_pid ? clients_find(call->file, client->group_pid) : NULL;
    if (!first || first->group_pid != client->group_pid)
        first = client;
    return clients_ancestors(call->file, first->pid, found);
}

static void
claim_of_ancestors(struct call *call, struct steved_claim *claim)
{
    struct client *ancestors[CLIENTS_ANCESTORS_MAX];
    struct pool_process *processes[CLIENTS_ANCESTORS_MAX];
    struct pool *pool = call->file->pool;
    size_t count = find_ancestors(call, ancestors);

    for (size_t i = 0; i < count; i++) {
        processes[i] = ancestors[i]->process;
        if (!pool_claim_implicit(pool, call->process, processes[i], clock_now_ns()))
            continue;
        claim->paid = 1;
        claim->ancestor = ancestors[i]->group_pid ? ancestors[i]->group_pid : ancestors[i]->pid;
        return;
    }
    if (count == 0)
        claim->paid = pool_claim_implicit(pool, call->process, NULL, clock_now_ns());
    /* Who can't be remembered waits for a token only. */
    pool_await_claim(pool, call->opening->pool, call->process, processes, count);
}

static int
claim_implicit(struct call *call, union argument *argument)
{
    struct allowances *allowances = &call->server->allowances;

    if (!allowance_is_left(allowances, call->uid, clock_now_ns()))
        return -EAGAIN;
    int64_t begun_ns = clock_spent_ns();
    claim_of_ancestors(call, &argument->claim);
    allowance_charge(allowances, call->uid, clock_spent_ns() - begun_ns, clock_now_ns());
    return 0;
}

static int
need(struct call *call, union argument *argument)
{
    for (size_t i = 0; i < sizeof(argument->need.spare) / sizeof(argument->need.spare[0]); i++)
        if (argument->need.spare[i])
            return -EINVAL;
    pool_group_set_needy(call->file->pool, call->opening->pool, argument->need.waiting,
                         clock_now_ns());
    return 0;
}

static int
set_weight(struct call *call, union argument *argument)
{
    return serve_set_weight(call->file->pool, call->opening->pool, &argument->weight,
                            is_owner(call), clock_now_ns());
}

static int
ask_account(struct call *call, union argument *argument)
{
    const struct serve_asker asker = {.uid = call->uid, .is_owner = is_owner(call)};
    const unsigned named = argument->account.named;
    const struct steved_account *account = &argument->account;
    int error = serve_account(call->file->pool, &call->server->arbiter, asker, &argument->account,
                              clock_now_ns());

    if (error == 0 && named)
        server_trace(call->server, "account %llu of user %u: weight %u%s",
                     (unsigned long long)account->account, account->uid, account->weight,
                     account->paused ? ", paused" : "");
    return error;
}

/* --- memory --- */

/* What it tells need not outlive us: it tells again at its next look. Only the first time it is looked for
 * those that it is part of. */
static int
tell_memory(struct call *call, union argument *argument)
{
    struct server *server = call->server;
    struct opening *opening = call->opening;
    bool is_new = !opening->memory.is_member;
    bool may_look = allowance_is_left(&server->allowances, call->uid, clock_now_ns());
    int64_t begun_ns = is_new ? clock_spent_ns() : 0;
    int error = serve_memory(
        &server->arbiter, &opening->memory, pool_account_charged(opening->pool, call->process),
        may_look ? opening->opener_pid : 0, NULL, &argument->memory, clock_now_ns());

    if (is_new)
        allowance_charge(&server->allowances, call->uid, clock_spent_ns() - begun_ns,
                         clock_now_ns());
    if (error == 0)
        stream_tell_memory(&server->stream, &server->arbiter, clock_now_ns());
    return error;
}

/* --- events --- */

static int
get_events(struct call *call, union argument *argument)
{
    struct event_reader *reader = &call->opening->reader;

    reader->wake = request_wake_reader;
    reader->owner = call->opening;
    reader->uid = call->uid;
    reader->sees_all = is_owner(call);
    int error = stream_read(&call->server->stream, reader, &argument->events, clock_now_ns());
    if (error == 0)
        opening_mark_reader(call->opening);
    return error;
}

/* Each takes the place of another in the log, whose readers are others' too. */
static int
tell(struct call *call, union argument *argument)
{
    struct allowances *allowances = &call->server->allowances;
    const struct client *client = call->client;
    const unsigned count = argument->told.count;

    if (count > 0 && !allowance_is_left(allowances, call->uid, clock_now_ns()))
        return -EAGAIN;
    pid_t pid = !client ? 0 : client->group_pid ? client->group_pid : client->pid;
    int error = stream_told(&call->server->stream, call->process, pid, is_owner(call),
                            &argument->told, clock_now_ns());
    if (error == 0 && count > 0 && argument->told.is_read)
        allowance_charge(allowances, call->uid, count * STREAM_TOLD_PRICE_NS, clock_now_ns());
    return error;
}

/* --- from and to the kernel --- */

static const struct handler handlers[] = {
    {FIONREAD, 0, 0, sizeof(int), count_readable},
    {STEVED_IOC_STATUS, 0, 0, sizeof(struct steved_status), get_status},
    {STEVED_IOC_CLIENTS, 0, sizeof(struct steved_clients), sizeof(struct steved_clients),
     get_clients},
    {STEVED_IOC_SET, 0, sizeof(struct steved_settings), 0, set},
    {STEVED_IOC_JOIN_GROUP, 0, 0, 0, join_group},
    {STEVED_IOC_PAY_IMPLICIT, -EINVAL, 0, 0, pay_implicit},
    {STEVED_IOC_CLAIM_IMPLICIT, -EINVAL, 0, sizeof(struct steved_claim), claim_implicit},
    {STEVED_IOC_NEED, 0, sizeof(struct steved_need), 0, need},
    {STEVED_IOC_WEIGHT, 0, sizeof(struct steved_weight), 0, set_weight},
    {STEVED_IOC_MEMORY, -ENOTTY, sizeof(struct steved_memory), sizeof(struct steved_memory),
     tell_memory},
    {STEVED_IOC_THROTTLE, -ENOTTY, 0, sizeof(struct steved_throttle), get_throttle},
    {STEVED_IOC_EVENTS, 0, sizeof(struct steved_events), sizeof(struct steved_events), get_events},
    {STEVED_IOC_TELL, 0, sizeof(struct steved_told), sizeof(struct steved_told), tell},
    {STEVED_IOC_ACCOUNT, 0, sizeof(struct steved_account), sizeof(struct steved_account),
     ask_account},
    {STEVED_IOC_CLASSES, 0, 0, sizeof(struct steved_classes), get_classes},
};

static const struct handler *
find_handler(unsigned command)
{
    for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
        if (handlers[i].command == command)
            return &handlers[i];
    return NULL;
}

static int
call_handler(const struct handler *handler, struct opening *opening, const struct request *request,
             union argument *argument)
{
    struct call call = {.server = opening->file->server,
                        .file = opening->file,
                        .opening = opening,
                        .uid = request->uid};

    call.process = opening_process(opening, request, &call.client);
    return call.process ? handler->handle(&call, argument) : -ENOMEM;
}

void
request_ioctl(struct opening *opening, const struct request *request, const struct ioctl_call *call)
{
    const struct handler *handler = find_handler(call->command);
    union argument data;

    if (!handler) {
        answer_error(request, ENOTTY);
        return;
    }
    if (call->in_size < handler->in_size || call->out_size < handler->out_size) {
        if (call->may_retry)
            answer_ioctl_retry(request, call->argument, handler->in_size, handler->out_size);
        else
            answer_error(request, EINVAL);
        return;
    }
    /* All of it: `= {0}` need not reach behind the first member, and the rest would show a client our memory. */
    memset(&data, 0, sizeof(data));
    if (handler->in_size)
        memcpy(&data, call->in, handler->in_size);
    int error = file_is_class(opening->file) ? handler->error_of_class : 0;
    if (error == 0)
        error = call_handler(handler, opening, request, &data);
    if (error < 0)
        answer_error(request, -error);
    else
        answer_ioctl(request, &data, handler->out_size);
}
