/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <paths.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "jobwrap/shims.h"
#include "libjobserver/program/program.h"

int
shims_prepend_path(const char *directories)
{
    const char *old = getenv("PATH");
    size_t length = strlen(directories);
    char *path;

    /* A jobwrap around us has done it. */
    if (old && strncmp(old, directories, length) == 0 &&
        (old[length] == ':' || old[length] == '\0'))
        return 0;
    if (asprintf(&path, "%s:%s", directories, old ? old : _PATH_DEFPATH) < 0)
        return -ENOMEM;
    int result = setenv("PATH", path, 1) < 0 ? -errno : 0;
    free(path);
    return result;
}

static bool
holds_programs(const char *directory)
{
    struct dirent *entry;
    struct stat status;
    bool found = false;
    DIR *opened = opendir(directory);

    if (!opened)
        return false;
    while (!found && (entry = readdir(opened)))
        found = fstatat(dirfd(opened), entry->d_name, &status, 0) == 0 && S_ISREG(status.st_mode) &&
                (status.st_mode & 0111);
    closedir(opened);
    return found;
}

static char *
find_directory(void)
{
    char *program = program_directory(), *beside = NULL;

    if (program && asprintf(&beside, "%s/shims", program) < 0)
        beside = NULL;
    free(program);
    if (beside && holds_programs(beside))
        return beside;
    free(beside);
    return holds_programs(SHIMS_DIRECTORY) ? strdup(SHIMS_DIRECTORY) : NULL;
}

/* --- launchers of compile farms --- */

/* Each shim has a directory of its own: where there is no such program, none is to be found. */
static const char *const launchers[] = {"sccache", "recc", "distcc", "icecc"};
static const char *const compilers[] = {"clang++", "clang", "g++", "gcc", "c++", "cc"};

/* Is what runs by the name of a compiler a launcher, or a shim of ours that a jobwrap around us has put before one? */
static bool
is_link_to_launcher(const char *compiler)
{
    char *found = program_find(compiler), *real = found ? realpath(found, NULL) : NULL;
    const char *slash = real ? strrchr(real, '/') : NULL;
    bool is_one = slash && strcmp(slash + 1, "launcher-shim") == 0;

    for (size_t i = 0; slash && i < sizeof(launchers) / sizeof(launchers[0]); i++)
        is_one = is_one || strcmp(slash + 1, launchers[i]) == 0;
    free(found);
    free(real);
    return is_one;
}

static bool
is_on_path(const char *launcher)
{
    char *found = program_find(launcher);
    bool is_there = found;

    free(found);
    return is_there;
}

/* Before what `all` holds, which is freed. */
static char *
add_before(char *all, const char *directory, const char *kind, const char *name)
{
    char *longer;

    if (asprintf(&longer, "%s/%s/%s:%s", directory, kind, name, all) < 0)
        return all;
    free(all);
    return longer;
}

static char *
add_farm(char *directory)
{
    char *all = strdup(directory);

    for (size_t i = 0; all && i < sizeof(launchers) / sizeof(launchers[0]); i++)
        if (is_on_path(launchers[i]))
            all = add_before(all, directory, "launchers", launchers[i]);
    for (size_t i = 0; all && i < sizeof(compilers) / sizeof(compilers[0]); i++)
        if (is_link_to_launcher(compilers[i]))
            all = add_before(all, directory, "compilers", compilers[i]);
    if (!all)
        return directory;
    free(directory);
    return all;
}

char *
shims_find(bool has_farm)
{
    char *directory = find_directory();

    return directory && has_farm ? add_farm(directory) : directory;
}
