/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Whom the server becomes, and whose its file will be. */

#include <stdbool.h>
#include <sys/types.h>

#include "steved/server.h"

/* Who the server is once the file is served. */
struct identity {
    bool changes; /* --user: drop to it, if that has not been done */
    uid_t uid;
    gid_t gid;
};

/* From --user, --group and who we are: the identity, and whose the file will be, if it is new. To be called
 * before anything is changed: the name service may need sockets. false: a usage error, and it has been
 * said. */
bool identity_resolve(struct identity *identity, struct server *server, bool is_new);
/* Will it be able to read that file? For root, who gives up its supplementary groups. */
bool identity_can_read(const struct identity *identity, const char *path);
