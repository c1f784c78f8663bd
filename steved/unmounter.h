/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Takes the server's mount away when there is no server any more, and leaves one of somebody else alone. */

#include <stdbool.h>
#include <sys/stat.h>

struct unmounter {
    const char *path; /* absolute; NULL: there is no mount */
    bool has_seen_before, has_seen_ours;
    struct statx before, ours;
};

/* Before anything is mounted: what is there is nothing of ours. */
void unmounter_prepare(struct unmounter *unmounter);
/* To be called once it is mounted: remembers which one it is, asking no server. */
void unmounter_see(struct unmounter *unmounter);
/* Takes it away unless somebody uses it: what tells that it has is that the session ends. */
void unmounter_try(struct unmounter *unmounter);
/* 0, also if it is gone already; or a negative errno. */
int unmounter_clear(const struct unmounter *unmounter);
