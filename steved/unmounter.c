/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/unmounter.h"

#include <fcntl.h>
#include <stddef.h>

#include "steved/mount_point.h"

/* Linux 6.8: an id that is never used again. Kernels without it take no notice, and give the old one, which
 * a mount that is made next may have. */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif

/* Which mount is there, asking no server: ours may be dead, or be the one who asks. */
static bool
identify(const char *path, struct statx *mount)
{
    return statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW,
                 STATX_MNT_ID | STATX_MNT_ID_UNIQUE, mount) == 0;
}

void
unmounter_prepare(struct unmounter *unmounter)
{
    if (unmounter->path)
        unmounter->has_seen_before = identify(unmounter->path, &unmounter->before);
}

void
unmounter_see(struct unmounter *unmounter)
{
    if (unmounter->path && !unmounter->has_seen_ours)
        unmounter->has_seen_ours = identify(unmounter->path, &unmounter->ours);
}

static bool
is_same(const struct statx *a, const struct statx *b)
{
    return a->stx_dev_major == b->stx_dev_major && a->stx_dev_minor == b->stx_dev_minor &&
           a->stx_mnt_id == b->stx_mnt_id;
}

/* Somebody else may have unmounted ours, and another be there by now. A server that died before it told us has
 * mounted what is new. */
static bool
is_ours(const struct unmounter *unmounter)
{
    struct statx now;

    if (!unmounter->path || !identify(unmounter->path, &now))
        return false;
    if (unmounter->has_seen_ours)
        return is_same(&now, &unmounter->ours);
    return unmounter->has_seen_before && !is_same(&now, &unmounter->before);
}

void
unmounter_try(struct unmounter *unmounter)
{
    /* Where ids are used again, what comes after ours may seem to be it. */
    if (is_ours(unmounter) && mount_point_clear_unused(unmounter->path) == 0)
        unmounter->path = NULL;
}

int
unmounter_clear(const struct unmounter *unmounter)
{
    if (!unmounter->path)
        return 0;
    /* Who starts the next server may find the mount dead, too. */
    int lock = mount_point_lock(unmounter->path);
    int error = is_ours(unmounter) ? mount_point_clear(unmounter->path) : 0;
    mount_point_unlock(lock);
    return error;
}
