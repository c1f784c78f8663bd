/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* `cmake --build DIR`: its command line, and what the cache of the build directory says. */

#include <stdbool.h>

struct cmake_build {
    const char
        *directory; /* NULL: nothing is built, or what a preset says; all else means nothing then */
    int native;     /* where in argv the "--" before the options of ninja or make is; else argc */
    bool makes_sense; /* nobody refuses one of the -j */
    bool has_jobs;    /* by -j, --parallel, a -j behind the "--", CMAKE_BUILD_PARALLEL_LEVEL */
    unsigned jobs;    /* 0: without a number, any number */
};

/* argv is what main() got; level: the value of CMAKE_BUILD_PARALLEL_LEVEL, or NULL. 0 or -ENOMEM. */
int cmake_build_read(struct cmake_build *build, int argc, char **argv, const char *level);

/* The same command line with a -jN behind the "--" (NULL: none) and no other. NULL: out of memory;
 * else it is the caller's until the end. */
char **cmake_build_with_jobs(const struct cmake_build *build, int argc, char **argv, char *word);

enum cmake_tool { CMAKE_TOOL_OTHER, CMAKE_TOOL_NINJA, CMAKE_TOOL_MAKE };

/* What DIR/CMakeCache.txt names: the kind of tool that builds, and its path (to be freed; NULL: none). */
enum cmake_tool cmake_build_tool(const char *directory, char **path);
