/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* PATH from now on without the directories that jobwrap puts there for this shim, under whichever name. A launcher that
 * stands before compilers looks behind its own link for the real one, and takes the first of that name on PATH for its
 * link (distcc does): if that were a shim, it would run itself. Without memory PATH stays as it is. */
void launcher_path_leave(void);
