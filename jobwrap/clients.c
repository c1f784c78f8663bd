/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may hold tokens of the private FIFO, and whose jobs run on after its death. */
#include "jobwrap/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libjobserver/program/descriptors.h"

/* Who has more has opened the FIFO by itself. */
#define INHERITED 2
#define COMMAND_NUMBERS_MAX 64

/* What a process may have of the tokens. */
enum holder {
    HOLDER_NONE,
    HOLDER_MAKE, /* one for each child but the first */
    HOLDER_ANY,  /* any number */
};

struct client_process {
    pid_t pid, session;
    uint64_t start_ticks;
    enum holder holder;
    bool was_waiting; /* when the present look began */
    int pidfd;        /* -1: none could be had, and its end is found by looking */
    struct event *ended;
};

struct left_job {
    pid_t pid, session;
    uint64_t start_ticks;
    pid_t client; /* that has left it; 0: nobody knows whether it is a job */
};

/* All processes at one moment, by pid. */
struct snapshot {
    struct process_info *all;
    size_t count;
};

/* --- processes --- */

static int
compare_pids(const void *a, const void *b)
{
    const struct process_info *one = a, *other = b;

    return (one->pid > other->pid) - (one->pid < other->pid);
}

static const struct process_info *
find(const struct snapshot *snapshot, pid_t pid)
{
    struct process_info key = {.pid = pid};

    return snapshot->count > 0
               ? bsearch(&key, snapshot->all, snapshot->count, sizeof(key), compare_pids)
               : NULL;
}

/* NULL: it has ended, and if there is a process of that pid it is another one. */
static const struct process_info *
find_living(const struct snapshot *snapshot, pid_t pid, uint64_t start_ticks)
{
    const struct process_info *found = find(snapshot, pid);

    return found && found->start_ticks == start_ticks && process_info_is_alive(found) ? found
                                                                                      : NULL;
}

static unsigned
count_children(const struct snapshot *now, pid_t pid)
{
    unsigned children = 0;

    for (size_t i = 0; i < now->count; i++)
        children += now->all[i].parent == pid;
    return children;
}

/* Ours and the keeper's children, but for the command, have lost their parent. */
static bool
is_orphan(const struct clients *clients, const struct process_info *process)
{
    return (process->parent == clients->keeper || process->parent == clients->self.pid) &&
           process->pid != clients->keeper && process->pid != clients->command;
}

static bool
has_become_orphan(const struct clients *clients, const struct process_info *process)
{
    struct snapshot before = {clients->before, clients->before_count};
    const struct process_info *former = find_living(&before, process->pid, process->start_ticks);

    return is_orphan(clients, process) && !(former && is_orphan(clients, former));
}

/* --- what a process may hold --- */

/* Words of a command line, or of MAKEFLAGS. A make that waits for the load to sink holds a token for each
 * job that it has not started yet. */
static bool
is_load_limit(const char *word)
{
    static const char take_no_argument[] = "bBdehiknpqrRsStvw";

    if (strncmp(word, "--load-average", strlen("--load-average")) == 0 ||
        strncmp(word, "--max-load", strlen("--max-load")) == 0)
        return true;
    if (word[0] != '-' || word[1] == '-')
        return false;
    word++;
    return word[strspn(word, take_no_argument)] == 'l';
}

static const char *const makes[] = {"make", "gmake", "remake", "ninja", "samu", NULL};
static const char *const readers[] = {"cargo", "rustc", "lto1",  "ld.lld",
                                      "lld",   "clang", "ctest", NULL};

/* By its name alone, which is all that is left of a process that ends. */
static enum holder
holder_of_name(const char *name)
{
    if (process_name_is_one_of(name, makes))
        return HOLDER_MAKE;
    return process_name_is_one_of(name, readers) ? HOLDER_ANY : HOLDER_NONE;
}

static enum holder
holder_by_name(pid_t pid, bool inherited)
{
    if (process_is_called(pid, makes))
        return process_was_given(pid, "MAKEFLAGS", is_load_limit) ? HOLDER_ANY : HOLDER_MAKE;
    return !inherited || process_is_called(pid, readers) ? HOLDER_ANY : HOLDER_NONE;
}

/* false: it does not have the FIFO open. *inherited: only by the two descriptors of the pipe style. */
static bool
has_open(const struct clients *clients, pid_t pid, bool *inherited)
{
    int numbers[INHERITED + 1];
    unsigned count = 0;

    size_t n = process_find_file(pid, clients->device, clients->inode, numbers, INHERITED + 1);
    for (size_t i = 0; i < n; i++)
        count += numbers[i] == clients->inherited[0] || numbers[i] == clients->inherited[1];
    *inherited = n == INHERITED && count == INHERITED;
    return n > 0;
}

static enum holder
identify(const struct clients *clients, pid_t pid)
{
    bool inherited;

    return has_open(clients, pid, &inherited) ? holder_by_name(pid, inherited) : HOLDER_NONE;
}

bool
clients_may_hold(const struct clients *clients, pid_t pid)
{
    uid_t owner;
    bool inherited;

    if (geteuid() != 0 && (process_owner(pid, &owner) < 0 || owner != geteuid()))
        return true;
    return has_open(clients, pid, &inherited) &&
           (!inherited || process_is_called(pid, makes) || process_is_called(pid, readers));
}

static bool
may_be_client(const struct clients *clients, const struct process_info *process)
{
    return process_info_is_alive(process) && process->start_ticks >= clients->self.start_ticks &&
           process->pid != clients->self.pid && process->pid != clients->keeper;
}

/* --- jobs of the dead --- */

static bool
is_left(const struct clients *clients, const struct process_info *process)
{
    for (size_t i = 0; i < clients->left_count; i++)
        if (clients->left[i].pid == process->pid &&
            clients->left[i].start_ticks == process->start_ticks)
            return true;
    return false;
}

static int
add_left(struct clients *clients, const struct process_info *process, pid_t client)
{
    if (is_left(clients, process))
        return 0;
    struct left_job *larger =
        reallocarray(clients->left, clients->left_count + 1, sizeof(*clients->left));
    if (!larger)
        return -ENOMEM;
    clients->left = larger;
    clients->left[clients->left_count++] = (struct left_job){.pid = process->pid,
                                                             .session = process->session,
                                                             .start_ticks = process->start_ticks,
                                                             .client = client};
    return 0;
}

/* Was it its child when we last looked, or may it have been since? */
static bool
was_child(const struct clients *clients, const struct process_info *process,
          const struct client_process *client)
{
    struct snapshot before = {clients->before, clients->before_count};
    const struct process_info *former = find_living(&before, process->pid, process->start_ticks);

    if (process->session != client->session || process->start_ticks < client->start_ticks)
        return false;
    return (former && former->parent == client->pid) || has_become_orphan(clients, process);
}

static int
add_jobs_of(struct clients *clients, const struct snapshot *now,
            const struct client_process *client)
{
    int result = 0;

    for (size_t i = 0; i < now->count && result == 0; i++)
        if (process_info_is_alive(&now->all[i]) && was_child(clients, &now->all[i], client))
            result = add_left(clients, &now->all[i], client->pid);
    return result;
}

/* Somebody has died who was not known as a client. 1: somebody has. */
static int
add_orphans(struct clients *clients, const struct snapshot *now)
{
    int result = 0;

    for (size_t i = 0; i < now->count && result >= 0; i++) {
        const struct process_info *process = &now->all[i];
        if (process_info_is_alive(process) && process->session == clients->self.session &&
            has_become_orphan(clients, process) && !is_left(clients, process))
            result = add_left(clients, process, 0) < 0 ? -ENOMEM : 1;
    }
    return result;
}

/* A daemon leaves the session only when its parent has gone. */
static bool
is_job_still(const struct left_job *job, const struct snapshot *now)
{
    const struct process_info *process = find_living(now, job->pid, job->start_ticks);

    return process && process->session == job->session;
}

/* Those that have ended go. While nothing is lent, whoever is there has no token: it is no job, or runs in
 * an implicit slot. */
static void
prune_left(struct clients *clients, const struct snapshot *now, unsigned lent)
{
    size_t kept = 0;

    for (size_t i = 0; i < clients->left_count; i++) {
        const struct left_job *job = &clients->left[i];
        if (is_job_still(job, now) && (job->client || lent > 0))
            clients->left[kept++] = *job;
    }
    clients->left_count = kept;
}

/* How many dead clients have left jobs. */
static unsigned
count_slots(const struct clients *clients)
{
    unsigned slots = 0;

    for (size_t i = 0; i < clients->left_count; i++) {
        bool is_first = clients->left[i].client != 0;
        for (size_t j = 0; j < i && is_first; j++)
            is_first = clients->left[j].client != clients->left[i].client;
        slots += is_first;
    }
    return slots;
}

/* --- the clients --- */

static void
on_client_ended(evutil_socket_t fd, short what, void *argument)
{
    struct clients *clients = argument;

    clients->on_end(clients->argument);
}

static void
watch(struct clients *clients, struct client_process *client)
{
    client->pidfd = process_open_pidfd(client->pid);
    if (client->pidfd == -ESRCH)
        clients->on_end(clients->argument);
    if (client->pidfd >= 0 && descriptors_are_scarce(client->pidfd)) {
        close(client->pidfd);
        client->pidfd = -1;
    }
    if (client->pidfd < 0)
        return;
    client->ended = event_new(clients->base, client->pidfd, EV_READ, on_client_ended, clients);
    if (client->ended)
        event_add(client->ended, NULL);
}

static void
release(struct client_process *client)
{
    if (client->ended)
        event_free(client->ended);
    if (client->pidfd >= 0)
        close(client->pidfd);
}

static struct client_process *
find_client(const struct clients *clients, const struct process_info *process)
{
    for (size_t i = 0; i < clients->count; i++)
        if (clients->list[i].pid == process->pid &&
            clients->list[i].start_ticks == process->start_ticks)
            return &clients->list[i];
    return NULL;
}

static int
add_client(struct clients *clients, const struct process_info *process, enum holder holder)
{
    struct client_process *larger =
        reallocarray(clients->list, clients->count + 1, sizeof(*clients->list));

    if (!larger)
        return -ENOMEM;
    clients->list = larger;
    struct client_process *client = &clients->list[clients->count++];
    *client = (struct client_process){.pid = process->pid,
                                      .session = process->session,
                                      .start_ticks = process->start_ticks,
                                      .holder = holder,
                                      .pidfd = -1};
    watch(clients, client);
    return 0;
}

/* Its descriptors go first, and then its children. */
static bool
is_ending(const struct process_info *process)
{
    struct process_info now;

    return process->is_exiting || process_info(process->pid, &now) < 0 || now.is_exiting ||
           now.start_ticks != process->start_ticks || !process_info_is_alive(&now);
}

/* Whoever inherits a descriptor is. */
static bool
is_below_us(const struct clients *clients, const struct snapshot *now,
            const struct process_info *process)
{
    /* Parents that died while all were listed could lead in a circle. */
    for (size_t steps = 0; process && steps < now->count; steps++) {
        if (process->parent == clients->keeper || process->parent == clients->self.pid)
            return true;
        process = find(now, process->parent);
    }
    return false;
}

/* What a process that ends may have had when it could still be looked at. Who had this name the last time was looked at
 * then. */
static enum holder
former_holder(const struct clients *clients, const struct snapshot *now,
              const struct process_info *process, const struct client_process *known)
{
    struct snapshot before = {clients->before, clients->before_count};
    const struct process_info *former = find_living(&before, process->pid, process->start_ticks);

    if (known)
        return known->holder;
    if (former && strcmp(former->name, process->name) == 0)
        return HOLDER_NONE;
    enum holder holder = holder_of_name(process->name);
    return holder != HOLDER_NONE && is_below_us(clients, now, process) ? holder : HOLDER_NONE;
}

/* 1: it is a client, perhaps, that ends while it is looked at. It stays one until the next look, which sees its end, and
 * whom it has left: what it has had is no riddle. */
static int
find_client_in(struct clients *clients, const struct snapshot *now,
               const struct process_info *process)
{
    struct client_process *known = find_client(clients, process);
    enum holder holder = identify(clients, process->pid),
                former = former_holder(clients, now, process, known);
    bool ends = (holder != HOLDER_NONE || former != HOLDER_NONE) && is_ending(process);

    if (ends && former != HOLDER_NONE)
        holder = former;
    if (known)
        known->holder = holder;
    else if (holder != HOLDER_NONE && add_client(clients, process, holder) < 0)
        return -ENOMEM;
    return ends ? 1 : 0;
}

/* 1: a client ends. */
static int
find_clients(struct clients *clients, const struct snapshot *now)
{
    int result = 0;

    for (size_t i = 0; i < now->count && result >= 0; i++) {
        int found =
            may_be_client(clients, &now->all[i]) ? find_client_in(clients, now, &now->all[i]) : 0;
        if (found != 0)
            result = found;
    }
    return result;
}

/* Those that have died or have closed the FIFO go: 1; 0 if there are none, or a negative errno. */
static int
drop_clients(struct clients *clients, const struct snapshot *now)
{
    size_t kept = 0;
    int result = 0;

    for (size_t i = 0; i < clients->count; i++) {
        struct client_process *client = &clients->list[i];
        bool is_alive = find_living(now, client->pid, client->start_ticks);
        if (is_alive && client->holder != HOLDER_NONE) {
            clients->list[kept++] = *client;
            continue;
        }
        if (!is_alive && add_jobs_of(clients, now, client) < 0)
            result = -ENOMEM;
        release(client);
    }
    if (result == 0 && kept < clients->count)
        result = 1;
    clients->count = kept;
    return result;
}

/* What a make holds and its children belong together if it has waited all the time. */
static void
see_who_waits(struct clients *clients)
{
    for (size_t i = 0; i < clients->count; i++)
        clients->list[i].was_waiting = process_waits_for_events(clients->list[i].pid);
}

static void
count_held(const struct clients *clients, const struct snapshot *now, struct losses_view *view)
{
    view->most = 0;
    view->is_settled = true;
    for (size_t i = 0; i < clients->count; i++) {
        const struct client_process *client = &clients->list[i];
        bool has_waited = client->was_waiting && process_waits_for_events(client->pid);
        unsigned most = client->holder == HOLDER_ANY
                            ? LOSSES_ANY_NUMBER
                            : losses_most_of_make(count_children(now, client->pid), has_waited);
        view->most = losses_add(view->most, most);
        view->is_settled = view->is_settled && has_waited;
    }
}

/* --- from outside --- */

int
clients_open(struct clients *clients, int fifo_fd, pid_t keeper, struct event_base *base,
             void (*on_end)(void *argument), void *argument)
{
    struct stat status;

    *clients = (struct clients){.base = base,
                                .on_end = on_end,
                                .argument = argument,
                                .keeper = keeper,
                                .inherited = {-1, -1}};
    if (fstat(fifo_fd, &status) < 0)
        return -errno;
    clients->device = status.st_dev;
    clients->inode = status.st_ino;
    return process_info(getpid(), &clients->self);
}

void
clients_close(struct clients *clients)
{
    for (size_t i = 0; i < clients->count; i++)
        release(&clients->list[i]);
    free(clients->list);
    free(clients->left);
    free(clients->before);
    *clients = (struct clients){.inherited = {-1, -1}};
}

/* It runs already, and may have opened the FIFO by itself too; those that it was given are higher. */
void
clients_set_command(struct clients *clients, pid_t command, bool inherits)
{
    int numbers[COMMAND_NUMBERS_MAX], *highest = clients->inherited;

    clients->command = command;
    size_t n = inherits ? process_find_file(command, clients->device, clients->inode, numbers,
                                            COMMAND_NUMBERS_MAX)
                        : 0;
    for (size_t i = 0; i < n; i++) {
        int *lower = &highest[highest[0] < highest[1] ? 0 : 1];
        if (numbers[i] > *lower)
            *lower = numbers[i];
    }
}

static int
look_at(struct clients *clients, const struct snapshot *now, unsigned lent, bool *has_died)
{
    int result = find_clients(clients, now);
    int dropped = drop_clients(clients, now);
    int orphans = add_orphans(clients, now);

    prune_left(clients, now, lent);
    *has_died = result > 0 || dropped > 0 || orphans > 0;
    if (result >= 0 && dropped < 0)
        result = dropped;
    if (result >= 0 && orphans < 0)
        result = orphans;
    return result < 0 ? result : 0;
}

int
clients_look(struct clients *clients, unsigned lent, struct losses_view *view, bool *has_died)
{
    struct snapshot now = {0};

    see_who_waits(clients);
    ssize_t count = process_all(&now.all);
    if (count < 0)
        return (int)count;
    now.count = (size_t)count;
    qsort(now.all, now.count, sizeof(*now.all), compare_pids);
    int result = look_at(clients, &now, lent, has_died);
    count_held(clients, &now, view);
    view->lent = lent;
    view->left_jobs = (unsigned)clients->left_count;
    view->left_slots = count_slots(clients);
    free(clients->before);
    clients->before = now.all;
    clients->before_count = now.count;
    return result;
}
