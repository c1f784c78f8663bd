/* SPDX-License-Identifier: GPL-2.0-or-later */

/* steved: one pool of job tokens, served behind a file. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "steved/clients.h"
#include "steved/daemon.h"
#include "steved/guardian.h"
#include "steved/identity.h"
#include "steved/inherited.h"
#include "steved/lockdown.h"
#include "steved/mount_point.h"
#include "steved/notify.h"
#include "steved/replay.h"
#include "steved/requests.h"
#include "steved/restore.h"
#include "steved/server.h"
#include "steved/sessions.h"
#include "steved/watchdog.h"

/* What the server before has left is not for us. */
#define EXIT_REFUSED 3

/* The state of the program. */
struct program {
    struct server server;
    struct session sessions[STATE_FILES_MAX];
    struct identity identity;
    struct daemon_start daemon;
    struct notify notify;
    struct watchdog watchdog;
    struct inherited inherited;
    struct guardian guardian;
    bool is_kept; /* what another server needs to go on where this one ends */
    bool is_refused;
    char mount_path[PATH_MAX];
    int mount_lock; /* -1: there is none */
};

/* Without them nobody hears of a client's death, and its tokens would be lost: before Linux 5.3, and in
 * containers whose profile does not know them. */
static bool
has_pidfds(void)
{
    int pidfd = process_open_pidfd(getpid());

    if (pidfd < 0)
        message_errno(-pidfd, "start: pidfd_open(2), which tells when a client dies");
    else
        close(pidfd);
    return pidfd >= 0;
}

/* Another server can go on where this one ends. */
static bool
can_be_kept(const struct program *program)
{
    return notify_has_store(&program->notify) && state_fd(program->server.state) >= 0;
}

/* Where only root comes, nobody misses it. */
static void
say_missing_group(const struct server *server)
{
    const struct options *options = &server->options;

    if (server->file_uid == 0 && server->file_mode == 0600 &&
        !(options->mount_dir && mount_point_is_roots(options->mount_dir)))
        message("there is no group '%s': only root can use the file; "
                "use --group root if that is what you want",
                options->group);
}

static const struct session_calls calls = {server_look, requests_record, server_settle,
                                           server_leave};

/* The service manager hands them to the next server, or closes them: who waits waits on, or gets an error. */
static bool
store(struct program *program)
{
    const struct notify *notify = &program->notify;

    if (!can_be_kept(program))
        return true;
    program->is_kept = sessions_store(program->sessions, notify) == 0 &&
                       notify_store(notify, FD_NAME_STATE, state_fd(program->server.state)) == 0;
    return program->is_kept;
}

static void
forget_stored(struct program *program)
{
    sessions_unstore(program->sessions, program->inherited.device_fds, &program->notify);
    notify_unstore(&program->notify, FD_NAME_STATE);
    program->is_kept = false;
}

/* Servers that the guardian starts are the user from their beginning, and read the options anew. */
static bool
can_read_again(const struct program *program)
{
    const struct options *options = &program->server.options;

    if (!options->config || !program->identity.changes || geteuid() != 0 ||
        identity_can_read(&program->identity, options->config))
        return true;
    message("--user '%s': this user cannot read %s, which is read again if the server dies",
            options->user, options->config);
    return false;
}

/* Where the service manager does it itself there is none. Returns in the server. */
static int
start_guardian(struct program *program, char **argv)
{
    struct guardian *guardian = &program->guardian;

    if (notify_has_store(&program->notify))
        return 0;
    if (!can_read_again(program))
        return -EACCES;
    guardian->argv = argv;
    guardian->identity = &program->identity;
    guardian->daemon = &program->daemon;
    guardian->manager = program->notify;
    guardian->unmounter.path = program->server.options.mount_dir;
    guardian->mount_lock = program->mount_lock;
    program->notify.fd = -1;
    int error = guardian_start(guardian);
    return error < 0 ? error : notify_open(&program->notify);
}

/* From here to sessions_open() no other server starts there. */
static bool
prepare_mount(struct program *program)
{
    struct options *options = &program->server.options;

    if (!options->mount_dir)
        return true;
    program->mount_lock = mount_point_lock(options->mount_dir);
    if (mount_point_prepare(options->mount_dir, program->mount_path) < 0)
        return false;
    options->mount_dir = program->mount_path;
    return true;
}

static bool
begin(struct program *program, char **argv)
{
    struct server *server = &program->server;

    bool is_open =
        prepare_mount(program) && daemon_start(&program->daemon, server->options.is_daemon) == 0 &&
        start_guardian(program, argv) == 0 && server_init(server, requests_answer) == 0 &&
        server_begin(server) == 0 && sessions_open(program->sessions) == 0;
    mount_point_unlock(program->mount_lock);
    return is_open && store(program);
}

static bool
open_state(struct program *program)
{
    const char *what;

    program->server.state = state_open(program->inherited.state_fd, &what);
    if (program->server.state)
        return true;
    /* What another one needs is not for us to take away. */
    program->is_refused = errno != EBUSY;
    message("take over: the state of the last server: %s", what);
    return false;
}

/* The file is there, and the kernel needs no greeting. From here on nothing is to be ended if this fails: another
 * server may do better. */
static bool
take_over(struct program *program)
{
    struct server *server = &program->server;

    program->is_kept = true;
    if (!open_state(program) || server_init(server, requests_answer) < 0)
        return false;
    int error = restore(server);
    if (error == 0)
        error = sessions_take_over(program->sessions, program->inherited.device_fds);
    program->is_refused = error == -EINVAL;
    if (error == 0 && can_be_kept(program))
        error = sessions_store(program->sessions, &program->notify);
    return error == 0;
}

static bool
is_taking_over(const struct inherited *inherited)
{
    return inherited->device_fds[0] >= 0 && inherited->state_fd >= 0;
}

/* Of the two one alone is good for nothing. */
static void
forget_one_alone(struct program *program)
{
    struct inherited *inherited = &program->inherited;

    if (!inherited_is_any(inherited))
        return;
    message("start anew: only the %s of the last server has been kept",
            inherited->state_fd >= 0 ? FD_NAME_STATE : FD_NAME_DEVICE);
    forget_stored(program);
    inherited_close(inherited);
}

static bool
start(struct program *program, char **argv)
{
    const bool is_new = !is_taking_over(&program->inherited);
    struct server *server = &program->server;

    if (!has_pidfds() || notify_open(&program->notify) < 0)
        return false;
    sessions_init(program->sessions, server, &calls);
    if (is_new)
        forget_one_alone(program);
    if (!(is_new ? begin(program, argv) : take_over(program)))
        return false;
    if (daemon_prepare(&program->daemon) < 0 ||
        watchdog_open(&program->watchdog, &program->notify) < 0)
        return false;
    message_never_wait();
    if (lockdown(&program->identity) < 0)
        return false;
    server->uid = program->identity.uid;
    if (is_new)
        say_missing_group(server);
    else
        replay_requests(program->sessions, restore_settle);
    daemon_ready(&program->daemon);
    notify_ready(&program->notify, &server->options);
    return true;
}

static void
tell_unused(void *argument)
{
    const struct program *program = argument;

    notify_unused(&program->notify);
}

static bool
serve(struct program *program)
{
    struct server *server = &program->server;

    server->tell_unused = tell_unused;
    server->argument = program;
    return watchdog_start(&program->watchdog, server->base) == 0 &&
           sessions_serve(program->sessions, server->base) == 0 && server_run(server) == 0;
}

/* Who waits gets an error before the kernel hears that nobody serves any more; or waits for the server that takes
 * over, if what that needs is kept. */
static void
end(struct program *program)
{
    struct server *server = &program->server;

    notify_stopping(&program->notify);
    if (program->is_refused || sessions_have_ended(program->sessions))
        forget_stored(program);
    if (program->is_kept)
        return;
    watchdog_stop(&program->watchdog);
    if (!program->is_refused) {
        server_stop(server);
        requests_end(server);
        sessions_end(program->sessions);
        for (unsigned i = 0; i < server->file_count; i++)
            clients_end(&server->files[i]);
        server_end(server);
    }
    notify_close(&program->notify);
}

/* For who would have the server that serves end for this one. */
static int
check(const struct inherited *inherited)
{
    const char *what =
        is_taking_over(inherited) ? state_check(inherited->state_fd) : "there is none";

    if (!what)
        return EXIT_SUCCESS;
    message("check the state of the running server: %s", what);
    return EXIT_REFUSED;
}

int
main(int argc, char **argv)
{
    static struct program program = {.daemon = {.ready_fd = -1},
                                     .notify = {.fd = -1},
                                     .watchdog = {.timer_fd = -1},
                                     .mount_lock = -1};

    descriptors_guard_standard();
    /* Of this process: a daemon is another one. */
    program.guardian.is_watched = notify_watchdog(&program.guardian.watchdog_us);
    options_parse(&program.server.options, argc, argv);
    if (inherited_take(&program.inherited) < 0)
        return EXIT_FAILURE;
    bool is_new = !is_taking_over(&program.inherited);
    if (!is_new)
        daemon_continue(program.server.options.is_daemon);
    if (!identity_resolve(&program.identity, &program.server, is_new))
        return EXIT_USAGE;
    if (program.server.options.only_checks)
        return check(&program.inherited);
    bool is_served = start(&program, argv) && serve(&program);
    end(&program);
    if (program.is_refused)
        return EXIT_REFUSED;
    return is_served ? EXIT_SUCCESS : EXIT_FAILURE;
}
