/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How is a script of Python started? PYTHONPATH, and a sitecustomize found by it, do nothing where its
 * first line has -I or -E, or -S.
 */

/* That script, if there is such a line in `path` or, where that is Gentoo's python-exec, in one of the
 * scripts that it chooses from. To be freed; NULL: there is none, or it cannot be read. */
char *script_that_ignores_path(const char *path);
