/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libjobserver/control.h"
#include "libjobserver/process.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/packet.h"
#include "libjobserver/serve.h"

#define ANCESTORS_MAX 64
#define CONNECTIONS_MAX 4096u
/* Packets of one connection that are read in a row, before others have their turn. */
#define PACKETS_IN_A_ROW 16

struct connection {
    LIST_ENTRY(connection) in_control;
    struct control *control;
    struct job_class *job_class; /* NULL: it is of the source's pool */
    struct pool *pool;
    int fd;
    int ready_fd, recall_fd, events_fd; /* what it is told by; or -1 */
    struct ucred peer;
    uint64_t start_ticks; /* of that process; 0: not known */
    bool is_beside;       /* the FIFO's clients, and below none of them */
    struct pool_process *process;
    struct pool_opening *opening;
    struct memory_party memory;
    struct event_reader reader;
    struct loan loan;
    struct event *event;
};

/* --- looking at processes, of which nobody may ask for too much --- */

static bool
may_look(const struct connection *connection)
{
    return allowance_is_left(&connection->control->allowances, connection->peer.uid,
                             clock_now_ns());
}

/* begun_ns: clock_spent_ns() before. */
static void
charge(const struct connection *connection, int64_t begun_ns)
{
    allowance_charge(&connection->control->allowances, connection->peer.uid,
                     clock_spent_ns() - begun_ns, clock_now_ns());
}

/* --- telling --- */

/* Readable already, if it is full; nobody there, if it is broken. */
static void
notice(int fd)
{
    if (fd >= 0)
        (void)!write(fd, "+", 1);
}

void
control_tell(void *owner, enum pool_due_kind kind)
{
    const struct connection *connection = owner;

    if (kind == POOL_DUE_NOTIFY)
        notice(connection->ready_fd);
    else if (kind == POOL_DUE_RECALL)
        notice(connection->recall_fd);
}

void
control_tell_paid(struct loan *loan)
{
    char *connection = (char *)loan - offsetof(struct connection, loan);

    notice(((struct connection *)(void *)connection)->ready_fd);
}

/* --- what those may claim that stand beside the FIFO's clients --- */

/* It has, or awaits, the command's implicit slot, or a token of somebody who has inherited the descriptors. */
static bool
claims_beside(const struct connection *connection)
{
    return connection->is_beside && (pool_process_has_claimed(connection->process) ||
                                     pool_process_awaits_claim(connection->process));
}

static unsigned
count_claims_beside(const struct connection *but)
{
    const struct connection *other;
    unsigned count = 0;

    LIST_FOREACH (other, &but->control->connections, in_control)
        count += other != but && claims_beside(other);
    return count;
}

/* What else the FIFO's account holds is its clients'. One at a time has the implicit slot; those that follow have
 * what somebody has taken who is no client: a script, most likely, that has started them. */
static bool
may_claim_beside(const struct connection *connection)
{
    const struct control *control = connection->control;
    unsigned others = count_claims_beside(connection);

    return others == 0 || others <= control->count_unexplained(control->argument);
}

/* Who did is gone, or has a token instead. */
static void
tell_who_may_claim(const struct control *control)
{
    const struct connection *connection;

    LIST_FOREACH (connection, &control->connections, in_control)
        if (connection->is_beside)
            notice(connection->ready_fd);
}

/* --- the pool that it is of --- */

/* A connection outlives the process that made it, whose pid may be another's by now. */
static bool
is_made_by(const struct connection *connection, const struct process_info *process)
{
    return connection->peer.pid == process->pid && connection->start_ticks == process->start_ticks;
}

/* One at the same pool. */
static struct connection *
find_by_process(const struct connection *asker, const struct process_info *process)
{
    struct connection *connection;

    LIST_FOREACH (connection, &asker->control->connections, in_control)
        if (is_made_by(connection, process) && connection->pool == asker->pool)
            return connection;
    return NULL;
}

/* The nearest ancestor's that has a connection: what is below it is part of it, as at steved. */
static struct pool_account *
find_account_above(const struct connection *connection)
{
    struct process_info ancestors[ANCESTORS_MAX];
    size_t count = process_ancestors(connection->peer.pid, ancestors, ANCESTORS_MAX);

    for (size_t i = 0; i < count; i++) {
        const struct connection *above = find_by_process(connection, &ancestors[i]);
        if (above && above->process)
            return pool_process_account(above->process);
    }
    return NULL;
}

/* Who has asked for too much is taken for a client of its own. */
static struct pool_account *
account_above(const struct connection *connection)
{
    if (!may_look(connection))
        return NULL;
    int64_t begun_ns = clock_spent_ns();
    struct pool_account *account = find_account_above(connection);
    charge(connection, begun_ns);
    return account;
}

static int
join_pool(struct connection *connection)
{
    struct control *control = connection->control;
    struct pool *pool = connection->pool;
    struct pool_account *account = account_above(connection);
    struct process_info info;

    if (process_info(connection->peer.pid, &info) == 0)
        connection->start_ticks = info.start_ticks;
    const uint64_t key = account ? 0 : ++control->next_account + 1; /* the FIFO's is 1 */

    if (!account)
        account = pool_account(pool, geteuid(), key);

    connection->process =
        account ? pool_process_add(pool, connection->peer.pid, account, true) : NULL;
    connection->opening =
        connection->process ? pool_open(pool, connection->process, connection) : NULL;
    if (!connection->opening)
        return -ENOMEM;
    return pool_group_join(pool, connection->opening, connection->process, key, clock_now_ns());
}

static void
leave_pool(struct connection *connection)
{
    if (connection->opening)
        pool_close(connection->pool, connection->opening, clock_now_ns());
    if (connection->process)
        pool_process_died(connection->pool, connection->process, clock_now_ns());
    connection->opening = NULL;
    connection->process = NULL;
}

/* --- what is asked --- */

/* The reading end of a pipe that it is told by; ours is *fd. */
static int
open_pipe(int *fd, int *passed)
{
    int ends[2];

    if (*fd >= 0)
        return -EALREADY;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    *fd = ends[1];
    *passed = ends[0];
    return 0;
}

/* What it has done so far at the pool of the source ends. */
static int
move_to_class(struct connection *connection, struct job_class *job_class)
{
    const bool claimed = claims_beside(connection);

    leave_pool(connection);
    connection->is_beside = false;
    if (claimed)
        tell_who_may_claim(connection->control);
    connection->job_class = job_class;
    connection->pool = job_class->pool;
    return join_pool(connection);
}

static int
hello(struct connection *connection, struct control_packet *packet, int *passed)
{
    struct job_class *job_class =
        classes_find(connection->control->classes, packet->hello.device, packet->hello.inode);
    struct stat status;

    if (job_class && connection->ready_fd < 0) {
        int result = move_to_class(connection, job_class);
        if (result < 0)
            return result;
        status.st_dev = (dev_t)job_class->device;
        status.st_ino = (ino_t)job_class->inode;
    } else if (fstat(connection->control->fifo->fd, &status) < 0) {
        return -errno;
    }
    packet->hello =
        (struct control_hello){.version = CONTROL_VERSION,
                               .operations = packet->hello.operations > 0 ? CONTROL_OPERATIONS : 0,
                               .device = status.st_dev,
                               .inode = status.st_ino};
    return open_pipe(&connection->ready_fd, passed);
}

static bool
take(struct connection *connection, int64_t now_ns)
{
    const bool claimed = claims_beside(connection);
    struct pool_waiter *none;

    if (pool_read(connection->pool, connection->opening, connection->process, true, NULL, &none,
                  now_ns) != POOL_GRANTED)
        return false;
    if (claimed && !claims_beside(connection))
        tell_who_may_claim(connection->control);
    return true;
}

/* 0: its place in the queue is kept, and it is told when its turn has come. */
static int
acquire(struct connection *connection)
{
    struct pool *pool = connection->pool;
    const int64_t now_ns = clock_now_ns();

    if (take(connection, now_ns))
        return 1;
    if (!pool_poll(pool, connection->opening, connection->process, true, now_ns) &&
        !connection->job_class) {
        source_feed(connection->control->source);
        if (take(connection, now_ns))
            return 1;
    }
    /* The notice may just have been read with others, by who asks for a token and not for this. */
    if (pool_claim_has_come(connection->opening))
        notice(connection->ready_fd);
    return 0;
}

static bool
is_owner(const struct connection *connection)
{
    return connection->peer.uid == 0 || connection->peer.uid == geteuid();
}

static int
set(struct connection *connection, const struct steved_settings *settings)
{
    if (!is_owner(connection))
        return -EPERM;
    if (connection->job_class)
        return class_set(connection->job_class, settings);
    if (serve_check_settings(settings) < 0 ||
        settings->named & ~(STEVED_SET_JOBS | STEVED_SET_LIMITS))
        return -EINVAL;
    return source_set(connection->control->source, settings);
}

/* Who may pay for a peer's slot, nearest first. */
struct payers {
    struct pool_process *found[ANCESTORS_MAX];
    pid_t pids[ANCESTORS_MAX];
    size_t count;
    bool are_beside; /* it is the FIFO's account, and none of its clients is an ancestor */
};

/* An ancestor that has an account of its own here pays for it, else the FIFO's. Of that a client which is an
 * ancestor, between it and the keeper (the command's parent), may have got a token for it. */
static void
find_payers(const struct connection *connection, struct payers *payers)
{
    const struct control *control = connection->control;
    struct process_info ancestors[ANCESTORS_MAX];
    size_t count = process_ancestors(connection->peer.pid, ancestors, ANCESTORS_MAX);
    bool is_below_client = false;

    payers->count = 0;
    for (size_t i = 0; i < count; i++) {
        const pid_t pid = ancestors[i].pid;
        const struct connection *ancestor = find_by_process(connection, &ancestors[i]);
        struct pool_process *process = NULL;
        if (ancestor && ancestor != connection)
            process = ancestor->process;
        else if (pid == getpid())
            process = control->source->process;
        else if (pid != control->clients->keeper && !is_below_client)
            is_below_client = clients_may_hold(control->clients, pid);
        payers->pids[payers->count] = pid;
        payers->found[payers->count] = process;
        payers->count += process != NULL;
    }
    payers->are_beside =
        payers->count == 1 && payers->found[0] == control->source->process && !is_below_client;
}

static void
claim_of_payers(struct connection *connection, struct steved_claim *claim)
{
    struct source *source = connection->control->source;
    struct payers payers;
    const int64_t now_ns = clock_now_ns();

    *claim = (struct steved_claim){0};
    find_payers(connection, &payers);
    connection->is_beside = payers.are_beside;
    /* The pool still says yes to whose slot is paid already. */
    if (payers.are_beside && !may_claim_beside(connection))
        payers.count = 0;
    source_set_idle(source, private_fifo_lying(connection->control->fifo));
    for (size_t i = 0; i < payers.count; i++) {
        if (!pool_claim_implicit(source->pool, connection->process, payers.found[i], now_ns))
            continue;
        *claim = (struct steved_claim){.paid = 1, .ancestor = payers.pids[i]};
        return;
    }
    if (payers.count == 0)
        claim->paid = pool_claim_implicit(source->pool, connection->process, NULL, now_ns);
    /* Who can't be remembered waits for a token only. */
    pool_await_claim(source->pool, connection->opening, connection->process, payers.found,
                     payers.count);
}

/* --- jobs that run elsewhere --- */

/* Has it a token of the source's pool, or a claim? A gate for memory alone has neither: its jobs' tokens are those of
 * the make that it stands in. */
static bool
has_token(const struct control *control, const struct process_info *process)
{
    const struct connection *connection;

    LIST_FOREACH (connection, &control->connections, in_control)
        if (is_made_by(connection, process) && !connection->job_class && connection->process &&
            (pool_held(connection->opening) > 0 || pool_process_has_claimed(connection->process)))
            return true;
    return false;
}

/* Is its token one of the FIFO's? Nearer than we are there is a client of the FIFO, or nobody who has a token here. */
static bool
is_job_of_fifo(const struct connection *connection)
{
    const struct clients *clients = connection->control->clients;
    struct process_info ancestors[ANCESTORS_MAX];
    size_t count = process_ancestors(connection->peer.pid, ancestors, ANCESTORS_MAX);

    for (size_t i = 0; i < count; i++) {
        const pid_t pid = ancestors[i].pid;
        if (has_token(connection->control, &ancestors[i]))
            return false;
        if (pid == getpid() || (pid != clients->keeper && clients_may_hold(clients, pid)))
            return true;
    }
    return false;
}

/* Each process has one job. */
static bool
has_lent_already(const struct connection *connection)
{
    const struct connection *other;

    LIST_FOREACH (other, &connection->control->connections, in_control)
        if (other->loan.state != LOAN_NONE && other->peer.pid == connection->peer.pid &&
            other->start_ticks == connection->start_ticks)
            return true;
    return false;
}

static bool
may_lend(const struct connection *connection)
{
    if (!connection->control->loans || has_lent_already(connection) || !may_look(connection))
        return false;
    int64_t begun_ns = clock_spent_ns();
    bool is_job = is_job_of_fifo(connection);
    charge(connection, begun_ns);
    return is_job;
}

/* Tokens of the build that are in use, with the implicit slot's. */
static unsigned
count_in_use(const struct control *control)
{
    unsigned all = source_held_in_all(control->source) + loans_bytes(control->loans),
             lying = private_fifo_lying(control->fifo);

    return all > lying ? all - lying : 0;
}

static void
has_lent(const struct control *control, bool is_used, struct loan *paid)
{
    if (!is_used)
        source_give(control->source);
    if (paid)
        control_tell_paid(paid);
}

static void
lend_spare(const struct control *control)
{
    struct loan *paid;
    bool is_used;

    while (control->loans && loans_lend_spare(control->loans, source_held_in_all(control->source),
                                              count_in_use(control), &is_used, &paid))
        has_lent(control, is_used, paid);
}

static int
lend(struct connection *connection)
{
    const struct control *control = connection->control;
    struct loan *loan = &connection->loan, *paid;
    bool is_used;

    if ((loan->state == LOAN_NONE && !may_lend(connection)) ||
        !loan_begin(control->loans, loan, count_in_use(control), &is_used, &paid))
        return 0;
    has_lent(control, is_used, paid);
    lend_spare(control);
    return 1;
}

static int
spare(struct connection *connection)
{
    if (connection->loan.state == LOAN_NONE && !may_lend(connection))
        return 0;
    loan_spare(connection->control->loans, &connection->loan);
    lend_spare(connection->control);
    return 1;
}

static int
take_back(struct connection *connection)
{
    const struct control *control = connection->control;

    if (connection->loan.state == LOAN_NONE)
        return -EINVAL;
    bool has_it = loan_take_back(control->loans, &connection->loan);
    lend_spare(control);
    if (has_it)
        return 1;
    control->loan_ended(control->argument);
    return connection->loan.state == LOAN_PAID && loan_take_back(control->loans, &connection->loan);
}

static void
end_loan(struct connection *connection)
{
    const struct control *control = connection->control;

    if (connection->loan.state == LOAN_NONE)
        return;
    loan_end(control->loans, &connection->loan);
    lend_spare(control);
    if (loans_missing(control->loans) > 0)
        control->loan_ended(control->argument);
}

static void
get_status(const struct connection *connection, struct steved_status *status)
{
    const struct source *source = connection->control->source;
    struct pool_account *account = pool_process_account(connection->process);

    serve_status(connection->pool, connection->opening, status);
    if (pool_account_describe(account).pause)
        status->flags |= STEVED_STATUS_IS_PAUSED;
    if (connection->job_class)
        return;
    status->min_jobs = 1;
    memory_arbiter_status(&connection->control->arbiter, status, clock_now_ns());
    if (source_is_paused(source))
        status->flags |= STEVED_STATUS_IS_PAUSED;
}

/* --- events --- */

static void
wake_reader(void *connection)
{
    notice(((struct connection *)connection)->events_fd);
}

static int
get_events(struct connection *connection, struct steved_events *page)
{
    struct event_reader *reader = &connection->reader;

    reader->wake = wake_reader;
    reader->owner = connection;
    reader->uid = connection->peer.uid;
    reader->sees_all = is_owner(connection);
    return stream_read(&connection->control->source->stream, reader, page, clock_now_ns());
}

static int
tell(const struct connection *connection, struct steved_told *told)
{
    struct control *control = connection->control;
    struct source *source = control->source;
    const struct steved_told events = *told;
    const int64_t now_ns = clock_now_ns();
    int result = stream_told(&source->stream, connection->process, connection->peer.pid,
                             is_owner(connection), told, now_ns);

    if (result == 0 && source->ledger && !source->is_parent_gone &&
        told_hand_on(&control->told, source->parent->jobserver.client, &events,
                     connection->peer.pid, now_ns))
        told->is_read = 1;
    return result;
}

static int
claim(struct connection *connection, struct steved_claim *claim)
{
    if (!may_look(connection))
        return -EAGAIN;
    int64_t begun_ns = clock_spent_ns();
    claim_of_payers(connection, claim);
    charge(connection, begun_ns);
    return 0;
}

static int
list_clients(const struct connection *connection, struct steved_clients *page)
{
    bool has_names = may_look(connection);
    int64_t begun_ns = clock_spent_ns();
    int result = serve_clients(connection->pool, has_names, page);

    charge(connection, begun_ns);
    return result;
}

/* Only the first time it is looked for those that it is part of. */
static int
tell_memory(struct connection *connection, struct steved_memory *memory)
{
    struct control *control = connection->control;
    bool is_new = !connection->memory.is_member;
    pid_t pid = may_look(connection) ? connection->peer.pid : 0;
    int64_t begun_ns = clock_spent_ns();
    int result = serve_memory(&control->arbiter, &connection->memory,
                              pool_process_account(connection->process), pid, &control->above,
                              memory, clock_now_ns());

    if (is_new)
        charge(connection, begun_ns);
    if (result == 0)
        stream_tell_memory(&control->source->stream, &control->arbiter, clock_now_ns());
    return result;
}

/* What makes no sense at the pool of a class. */
static int
error_of_class(unsigned operation)
{
    if (operation == CONTROL_PAY_IMPLICIT || operation == CONTROL_CLAIM_IMPLICIT ||
        operation == CONTROL_LEND || operation == CONTROL_TAKE_BACK || operation == CONTROL_SPARE)
        return -EINVAL;
    return operation == CONTROL_MEMORY || operation == CONTROL_THROTTLE ? -ENOTTY : 0;
}

/* Returns the result; *passed: what goes along. */
static int
answer(struct connection *connection, struct control_packet *packet, int *passed)
{
    struct source *source = connection->control->source;
    int result = connection->job_class ? error_of_class(packet->operation) : 0;

    if (result < 0)
        return result;
    switch (packet->operation) {
    case CONTROL_HELLO:
        return hello(connection, packet, passed);
    case CONTROL_RECALL:
        return open_pipe(&connection->recall_fd, passed);
    case CONTROL_ACQUIRE:
        return acquire(connection);
    case CONTROL_STATUS:
        get_status(connection, &packet->status);
        return 0;
    case CONTROL_ACCOUNT:
        return serve_account(
            connection->pool, &connection->control->arbiter,
            (struct serve_asker){.uid = connection->peer.uid, .is_owner = is_owner(connection)},
            &packet->account, clock_now_ns());
    case CONTROL_THROTTLE:
        throttle_tell(&source->throttle, &packet->throttle, clock_now_ns());
        return 0;
    case CONTROL_CLIENTS:
        return list_clients(connection, &packet->clients);
    case CONTROL_SET:
        return set(connection, &packet->settings);
    case CONTROL_PAY_IMPLICIT:
        return pool_pay_implicit(connection->pool, connection->opening, connection->process,
                                 clock_now_ns());
    case CONTROL_CLAIM_IMPLICIT:
        return claim(connection, &packet->claim);
    case CONTROL_WEIGHT:
        return serve_set_weight(connection->pool, connection->opening, &packet->weight,
                                is_owner(connection), clock_now_ns());
    case CONTROL_MEMORY:
        return tell_memory(connection, &packet->memory);
    case CONTROL_WATCH:
        return open_pipe(&connection->events_fd, passed);
    case CONTROL_EVENTS:
        return get_events(connection, &packet->events);
    case CONTROL_TELL:
        return tell(connection, &packet->told);
    case CONTROL_CLASSES:
        classes_list(connection->control->classes, &packet->classes);
        return 0;
    case CONTROL_LEND:
        return lend(connection);
    case CONTROL_TAKE_BACK:
        return take_back(connection);
    case CONTROL_SPARE:
        return spare(connection);
    }
    return -ENOTTY;
}

/* --- connections --- */

static void
disconnect(struct connection *connection)
{
    struct control *control = connection->control;
    const int fds[] = {connection->fd, connection->ready_fd, connection->recall_fd,
                       connection->events_fd};
    const bool claimed = claims_beside(connection);

    event_log_leave(&control->source->stream.log, &connection->reader);
    serve_memory_left(&control->arbiter, &connection->memory, &control->above, clock_now_ns());
    leave_pool(connection);
    if (connection->event)
        event_free(connection->event);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    LIST_REMOVE(connection, in_control);
    control->connection_count--;
    end_loan(connection);
    free(connection);
    if (claimed)
        tell_who_may_claim(control);
}

/* What is not answered. */
static void
note(struct connection *connection, const struct control_packet *packet)
{
    struct pool *pool = connection->pool;

    if (packet->operation == CONTROL_RETURN)
        pool_write(pool, connection->opening, connection->process, 1, clock_now_ns());
    else
        pool_group_set_needy(pool, connection->opening, packet->need.waiting, clock_now_ns());
}

/* 0: the next may come; else the connection is to be ended. */
static int
serve(struct connection *connection)
{
    struct control_packet packet;
    int passed = -1, result = control_receive(connection->fd, &packet);

    if (result <= 0)
        return result == 0 ? -EPIPE : result;
    if (packet.operation == CONTROL_RETURN || packet.operation == CONTROL_NEED) {
        note(connection, &packet);
        return 0;
    }
    packet.result = answer(connection, &packet, &passed);
    if (!connection->opening) /* it could not move to the pool of a class */
        return packet.result;
    result = packet_send(connection->fd, &packet, control_answer_size(packet.operation), passed);
    if (passed >= 0)
        close(passed);
    return result;
}

static void
on_packet(evutil_socket_t fd, short what, void *argument)
{
    struct connection *connection = argument;
    const struct control *control = connection->control;
    int result = 0;

    source_look(control->source);
    for (unsigned i = 0; i < PACKETS_IN_A_ROW && result == 0; i++)
        result = serve(connection);
    if (result < 0 && result != -EAGAIN)
        disconnect(connection);
    classes_settle(control->classes);
    source_settle(control->source);
    control->settled(control->argument);
}

static int
connect_peer(struct control *control, int fd, struct event_base *base)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    socklen_t size = sizeof(connection->peer);

    if (!connection) {
        close(fd);
        return -ENOMEM;
    }
    *connection = (struct connection){.control = control,
                                      .pool = control->source->pool,
                                      .fd = fd,
                                      .ready_fd = -1,
                                      .recall_fd = -1,
                                      .events_fd = -1};
    memory_party_init(&connection->memory, clock_now_ns());
    LIST_INSERT_HEAD(&control->connections, connection, in_control);
    control->connection_count++;
    connection->event = event_new(base, fd, EV_READ | EV_PERSIST, on_packet, connection);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &connection->peer, &size) == 0 &&
        connection->event && event_add(connection->event, NULL) == 0 && join_pool(connection) == 0)
        return 0;
    disconnect(connection);
    return -ENOMEM;
}

static int
open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Who is not accepted would wait for an answer for ever, and we would be told of it for ever. */
static void
refuse_with_spare(struct control *control)
{
    if (control->spare_fd >= 0)
        close(control->spare_fd);
    int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        close(fd);
    control->spare_fd = open_spare();
}

/* Whoever may open the FIFO may connect, and is refused where it would leave us no descriptors. */
static void
on_connect(evutil_socket_t listening_fd, short what, void *argument)
{
    struct control *control = argument;
    int fd = accept4(listening_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0 && (errno == EMFILE || errno == ENFILE))
        refuse_with_spare(control);
    if (fd < 0)
        return;
    if (control->connection_count >= CONNECTIONS_MAX || descriptors_are_scarce(fd)) {
        close(fd);
        return;
    }
    if (connect_peer(control, fd, event_get_base(control->event)) == 0)
        control->first_came(control->argument);
}

static int
ask_parent(void *argument, struct steved_memory *memory)
{
    const struct source *source = ((struct control *)argument)->source;

    if (!source->ledger || source->is_parent_gone)
        return -ENOTTY;
    return client_memory(source->parent->jobserver.client, memory);
}

/* --- its life --- */

static int
bind_beside(int fd, const char *directory)
{
    int directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (directory_fd < 0)
        return -errno;
    const struct sockaddr_un address = control_address(directory_fd);
    int result = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    close(directory_fd);
    return result;
}

static int
give_fifos_mode(const struct private_fifo *fifo)
{
    char *path = private_fifo_control(fifo);
    int result = path ? private_fifo_share(fifo, path) : -ENOMEM;

    free(path);
    return result;
}

int
control_open(struct control *control, struct event_base *base)
{
    const struct private_fifo *fifo = control->fifo;

    LIST_INIT(&control->connections);
    memory_arbiter_init(&control->arbiter);
    control->above = (struct serve_above){.ask = ask_parent, .argument = control};
    control->fd = control->spare_fd = -1;
    if (fifo->is_pipe) /* which has no directory; that this is so has been said */
        return 0;
    control->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->fd < 0)
        return -errno;
    int result = bind_beside(control->fd, fifo->directories[fifo->chosen]);
    if (result == 0)
        result = give_fifos_mode(fifo);
    if (result == 0 && listen(control->fd, SOMAXCONN) < 0)
        result = -errno;
    control->spare_fd = open_spare();
    if (result == 0) {
        control->event = event_new(base, control->fd, EV_READ | EV_PERSIST, on_connect, control);
        result = control->event && event_add(control->event, NULL) == 0 ? 0 : -ENOMEM;
    }
    return result;
}

void
control_renew(struct control *control)
{
    control->above.ask = ask_parent;
    control->told = (struct told){0};
}

void
control_close(struct control *control)
{
    struct connection *connection;

    while ((connection = LIST_FIRST(&control->connections)))
        disconnect(connection);
    if (control->event)
        event_free(control->event);
    if (control->fd >= 0)
        close(control->fd);
    if (control->spare_fd >= 0)
        close(control->spare_fd);
    control->event = NULL;
    control->fd = control->spare_fd = -1;
}
