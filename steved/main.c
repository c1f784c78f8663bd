/* SPDX-License-Identifier: GPL-2.0-or-later */

/* steved: one pool of job tokens, served behind a file. */
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "steved/clients.h"
#include "steved/cuse_device.h"
#include "steved/daemon.h"
#include "steved/fuse_mount.h"
#include "steved/identity.h"
#include "steved/lockdown.h"
#include "steved/mount_point.h"
#include "steved/notify.h"
#include "steved/requests.h"
#include "steved/server.h"
#include "steved/session.h"
#include "steved/unmounter.h"

/* The state of the program. */
struct program {
    struct server server;
    struct session session;
    struct identity identity;
    struct daemon_start daemon;
    struct notify notify;
    struct unmounter unmounter;
    char mount_path[PATH_MAX];
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

/* The file appears, and the kernel has greeted us: clients wait for their first answer. */
static bool
open_file(struct program *program)
{
    const struct server *server = &program->server;
    const struct options *options = &server->options;
    struct session *session = &program->session;

    if (!options->mount_dir)
        return cuse_device_open(session, options->device) == 0 && session_greet(session) == 0 &&
               cuse_device_give(server) == 0;
    return fuse_mount_open(session, options->mount_dir) == 0 &&
           unmounter_start(&program->unmounter, options->mount_dir) == 0 &&
           session_greet(session) == 0;
}

/* Where only root comes, nobody misses it. */
static void
say_missing_group(const struct server *server)
{
    const struct options *options = &server->options;

    if (server->file_uid == 0 && server->file_mode == 0600 &&
        !(options->mount_dir && mount_point_is_roots(options->mount_dir)))
        message("there is no group '%s': only root can use the file; "
                "--group root says that this is meant",
                options->group);
}

static bool
start(struct program *program)
{
    struct server *server = &program->server;
    struct options *options = &server->options;

    if (!has_pidfds())
        return false;
    if (options->mount_dir) {
        if (mount_point_prepare(options->mount_dir, program->mount_path) < 0)
            return false;
        options->mount_dir = program->mount_path;
    }
    if (daemon_start(&program->daemon, options->is_daemon) < 0)
        return false;
    session_init(&program->session, server);
    if (server_init(server, requests_answer) < 0 || notify_open(&program->notify) < 0 ||
        !open_file(program))
        return false;
    if (daemon_prepare(&program->daemon) < 0)
        return false;
    message_never_wait();
    if (lockdown(&program->identity) < 0)
        return false;
    server->uid = program->identity.uid;
    say_missing_group(server);
    daemon_ready(&program->daemon);
    notify_ready(&program->notify, server);
    return true;
}

static bool
serve(struct program *program)
{
    static const struct session_calls calls = {server_look, server_settle, server_leave};
    struct server *server = &program->server;

    return session_serve(&program->session, server->base, &calls) == 0 && server_run(server) == 0;
}

/* Who waits gets an error before the kernel hears that nobody serves any more. */
static void
end(struct program *program)
{
    struct server *server = &program->server;

    notify_stopping(&program->notify);
    server_stop(server);
    requests_end(server);
    session_end(&program->session);
    clients_end(server);
    server_end(server);
    unmounter_finish(&program->unmounter);
    notify_close(&program->notify);
}

int
main(int argc, char **argv)
{
    static struct program program = {
        .daemon = {.ready_fd = -1}, .notify = {.fd = -1}, .unmounter = {.pipe_fd = -1}};

    descriptors_guard_standard();
    options_parse(&program.server.options, argc, argv);
    if (!identity_resolve(&program.identity, &program.server))
        return EXIT_USAGE;
    bool is_served = start(&program) && serve(&program);
    end(&program);
    return is_served ? EXIT_SUCCESS : EXIT_FAILURE;
}
