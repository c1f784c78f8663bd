/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "libjobserver/program/message.h"

/* getpwnam() and getgrnam() tell "there is none" from "could not look" by errno alone, and not even
 * that reliably: one message serves both. */
static bool
resolve_user(struct identity *identity, const char *user)
{
    identity->uid = geteuid();
    identity->gid = getegid();
    if (!user)
        return true;
    const struct passwd *entry = getpwnam(user);
    if (!entry) {
        message("--user '%s': there is no such user", user);
        return false;
    }
    if (geteuid() != 0 && geteuid() != entry->pw_uid) {
        message("--user '%s': only root can become another user", user);
        return false;
    }
    identity->changes = true;
    identity->uid = entry->pw_uid;
    identity->gid = entry->pw_gid;
    return true;
}

static bool
resolve_group(struct server *server)
{
    const struct options *options = &server->options;

    server->file_uid = geteuid();
    server->file_gid = getegid();
    server->file_mode = 0600;
    if (geteuid() != 0) {
        if (options->is_group_named)
            message("--group '%s': only root can serve a group", options->group);
        return !options->is_group_named;
    }
    const struct group *entry = getgrnam(options->group);
    if (entry) {
        server->file_gid = entry->gr_gid;
        server->file_mode = 0660;
        return true;
    }
    if (options->is_group_named)
        message("--group '%s': there is no such group", options->group);
    return !options->is_group_named;
}

bool
identity_resolve(struct identity *identity, struct server *server, bool is_new)
{
    return resolve_user(identity, server->options.user) && (!is_new || resolve_group(server));
}

/* Where that is not allowed it is as for root, and becoming the user will fail. */
bool
identity_can_read(const struct identity *identity, const char *path)
{
    (void)!setgroups(0, NULL);
    setfsgid(identity->gid);
    setfsuid(identity->uid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    setfsuid(geteuid());
    setfsgid(getegid());
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}
