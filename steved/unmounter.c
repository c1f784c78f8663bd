/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/unmounter.h"

#include <fcntl.h>

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
unmounter_see(struct unmounter *unmounter)
{
    if (unmounter->path && !unmounter->has_seen_ours)
        unmounter->has_seen_ours = identify(unmounter->path, &unmounter->ours);
}

/* Somebody else may have unmounted ours, and another be there by now. */
static bool
is_still_there(const char *path, const struct statx *ours)
{
    struct statx now;

    return identify(path, &now) && now.stx_dev_major == ours->stx_dev_major &&
           now.stx_dev_minor == ours->stx_dev_minor && now.stx_mnt_id == ours->stx_mnt_id;
}

int
unmounter_clear(const struct unmounter *unmounter)
{
    if (!unmounter->has_seen_ours || !is_still_there(unmounter->path, &unmounter->ours))
        return 0;
    return mount_point_clear(unmounter->path);
}
