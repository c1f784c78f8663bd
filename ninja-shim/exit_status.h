/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NINJA_SHIM_EXIT_STATUS_H
#define NINJA_SHIM_EXIT_STATUS_H

/* What jobgate and the shims exit with on their own account; else it is the command's status. */
enum {
    EXIT_USAGE = 2,
    EXIT_GATE = 125,           /* we failed ourselves */
    EXIT_NOT_EXECUTABLE = 126, /* as a shell says it */
    EXIT_NOT_FOUND = 127,
};

#endif
