/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/shims/ours.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"

/* Where they lie, seen from a shim of the build tree. */
static const char *const beside[] = {"", "/../jobwrap", "/../ninja-shim"};

/* A build that goes on without what it could not look for runs more jobs than it may. */
static char *
find_in(const char *directory, const char *below, const char *name)
{
    char *path;

    if (asprintf(&path, "%s%s/%s", directory, below, name) < 0) {
        message_errno(ENOMEM, "start");
        exit(EXIT_OURS);
    }
    if (access(path, X_OK) == 0)
        return path;
    free(path);
    return NULL;
}

char *
ours_find(const char *name)
{
    char *directory = program_directory(), *found = NULL;

    for (size_t i = 0; directory && i < sizeof(beside) / sizeof(*beside) && !found; i++)
        found = find_in(directory, beside[i], name);
    free(directory);
    if (!found)
        found = find_in(PROGRAMS_DIRECTORY, "", name);
    return found ? found : program_find(name);
}

bool
ours_caps(const char *variable)
{
    const char *text = getenv(variable);

    if (!text || !*text || strcmp(text, "yes") == 0)
        return true;
    if (strcmp(text, "no") != 0)
        usage_refuse(variable, text, "yes or no");
    return false;
}

int
ours_become_capped(const char *jobwrap, unsigned jobs, const char *style, char **command)
{
    char name[] = "jobwrap", end[] = "--", *jobs_word, *style_word;
    size_t count = 0;

    while (command[count])
        count++;
    char **argv = calloc(count + 5, sizeof(*argv));
    int result = -ENOMEM;
    if (asprintf(&jobs_word, "-j%u", jobs) < 0)
        jobs_word = NULL;
    if (asprintf(&style_word, "--style=%s", style) < 0)
        style_word = NULL;
    if (argv && jobs_word && style_word) {
        argv[0] = name;
        argv[1] = jobs_word;
        argv[2] = style_word;
        argv[3] = end;
        memcpy(argv + 4, command, count * sizeof(*argv));
        execv(jobwrap, argv);
        result = -errno;
    }
    free(argv);
    free(jobs_word);
    free(style_word);
    return result;
}
