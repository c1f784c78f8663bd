/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef JOBWRAP_EXIT_STATUS_H
#define JOBWRAP_EXIT_STATUS_H

/* What jobwrap exits with on its own account; else it is the command's status. */
enum {
    EXIT_USAGE = 2,
    EXIT_JOBWRAP = 125,        /* jobwrap itself failed */
    EXIT_NOT_EXECUTABLE = 126, /* as a shell says it */
    EXIT_NOT_FOUND = 127,
};

#endif
