/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/sessions.h"

#include <errno.h>

#include "libjobserver/program/message.h"
#include "steved/cuse_device.h"
#include "steved/fd_store.h"
#include "steved/fuse_mount.h"
#include "steved/replay.h"
#include "steved/requests.h"
#include "steved/server.h"

void
sessions_init(struct session sessions[STATE_FILES_MAX], struct server *server,
              const struct session_calls *calls)
{
    for (unsigned i = 0; i < STATE_FILES_MAX; i++)
        session_init(&sessions[i], i, server, calls);
}

static void
connect_files(struct session sessions[STATE_FILES_MAX])
{
    struct server *server = sessions->server;

    for (unsigned i = 0; i < server->file_count; i++)
        server->files[i].channel = &sessions[server->options.mount_dir ? 0 : i].channel;
}

/* --- new ones --- */

static int
open_device(struct session *session)
{
    int error = cuse_device_check(&session->server->files[session->number]);

    if (error == 0)
        error = cuse_device_open(session);
    if (error == 0)
        error = session_greet(session);
    return error < 0 ? error : cuse_device_give(session);
}

/* Who has waited for the first finds the others beside it. */
static int
open_devices(struct session sessions[STATE_FILES_MAX])
{
    const struct server *server = sessions->server;
    int error = 0;

    for (unsigned i = 0; i < server->file_count && error == 0; i++)
        error = cuse_device_check(&server->files[i]);
    for (unsigned i = server->file_count; i > 0 && error == 0; i--)
        error = open_device(&sessions[i - 1]);
    return error;
}

int
sessions_open(struct session sessions[STATE_FILES_MAX])
{
    const struct options *options = &sessions->server->options;

    connect_files(sessions);
    if (!options->mount_dir)
        return open_devices(sessions);
    int error = fuse_mount_open(sessions, options->mount_dir);
    return error < 0 ? error : session_greet(sessions);
}

/* --- those of another server --- */

/* If the service manager has not kept it, or the class is new. */
static void
open_device_anew(struct session *session)
{
    struct file *file = &session->server->files[session->number];

    requests_end_file(file);
    if (open_device(session) == 0)
        return;
    session_end(session);
    server_withdraw_file(file);
}

/* Nobody would ever answer who opens it. */
static int
refuse_more(const int fds[STATE_FILES_MAX], unsigned count)
{
    for (unsigned i = count; i < STATE_FILES_MAX; i++) {
        if (fds[i] < 0)
            continue;
        message("take over: there is a device of class %u, which the state does not know", i);
        return -EINVAL;
    }
    return 0;
}

static int
take_over_devices(struct session sessions[STATE_FILES_MAX], const int fds[STATE_FILES_MAX])
{
    const struct server *server = sessions->server;
    int error = 0;

    for (unsigned i = 0; i < server->file_count && error == 0; i++) {
        if (fds[i] < 0) {
            open_device_anew(&sessions[i]);
            continue;
        }
        error = cuse_device_serve(&sessions[i], fds[i]);
        if (error == 0)
            error = replay_greeting(&sessions[i]);
    }
    return error;
}

int
sessions_take_over(struct session sessions[STATE_FILES_MAX], const int fds[STATE_FILES_MAX])
{
    const struct server *server = sessions->server;
    const bool is_mount = server->options.mount_dir;
    int error = refuse_more(fds, is_mount ? 1 : server->file_count);

    connect_files(sessions);
    if (error < 0)
        return error;
    if (!is_mount)
        return take_over_devices(sessions, fds);
    error = fuse_mount_serve(sessions, fds[0]);
    return error < 0 ? error : replay_greeting(sessions);
}

/* --- for the next server --- */

static bool
is_open(const struct session *session)
{
    return session->channel.fd >= 0;
}

int
sessions_store(const struct session sessions[STATE_FILES_MAX], const struct notify *notify)
{
    char name[FD_NAME_SIZE];
    int error = 0;

    for (unsigned i = 0; i < STATE_FILES_MAX && error == 0; i++) {
        if (!is_open(&sessions[i]) || sessions[i].is_inherited)
            continue;
        fd_store_name_device(name, i);
        error = notify_store(notify, name, sessions[i].channel.fd);
    }
    return error;
}

void
sessions_unstore(const struct session sessions[STATE_FILES_MAX], const int fds[STATE_FILES_MAX],
                 const struct notify *notify)
{
    char name[FD_NAME_SIZE];

    for (unsigned i = 0; i < STATE_FILES_MAX; i++) {
        if (!is_open(&sessions[i]) && fds[i] < 0)
            continue;
        fd_store_name_device(name, i);
        notify_unstore(notify, name);
    }
}

/* --- serving --- */

int
sessions_serve(struct session sessions[STATE_FILES_MAX], struct event_base *base)
{
    int error = 0;

    for (unsigned i = 0; i < STATE_FILES_MAX && error == 0; i++)
        if (is_open(&sessions[i]))
            error = session_serve(&sessions[i], base);
    return error;
}

bool
sessions_have_ended(const struct session sessions[STATE_FILES_MAX])
{
    for (unsigned i = 0; i < STATE_FILES_MAX; i++)
        if (sessions[i].has_ended)
            return true;
    return false;
}

void
sessions_end(struct session sessions[STATE_FILES_MAX])
{
    for (unsigned i = 0; i < STATE_FILES_MAX; i++)
        session_end(&sessions[i]);
}
