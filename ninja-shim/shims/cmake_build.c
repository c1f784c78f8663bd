/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of `cmake --build`, read as cmake reads it, and its CMakeCache.txt. */
#include "ninja-shim/shims/cmake_build.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/auth.h"
#include "libjobserver/program/usage.h"

#define FIRST_OPTION 3 /* behind --build DIR */

/* --- the command line --- */

static bool
begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* How many words a -j at that place takes; 0: there is none. *value: its number; NULL: it has none. A
 * word that begins with a dash is no number. */
static int
jobs_words(const struct cmake_build *build, char **argv, int at, const char **value)
{
    const char *word = argv[at];

    *value = NULL;
    if (strcmp(word, "-j") == 0 || strcmp(word, "--parallel") == 0) {
        if (at + 1 >= build->native || argv[at + 1][0] == '-')
            return 1;
        *value = argv[at + 1];
        return 2;
    }
    if (begins_with(word, "--parallel="))
        *value = word + strlen("--parallel=");
    else if (begins_with(word, "-j"))
        *value = word + strlen(word[2] == '=' ? "-j=" : "-j");
    return *value ? 1 : 0;
}

static void
note_jobs(struct cmake_build *build, const char *value)
{
    build->has_jobs = true;
    build->jobs = 0;
    if (value && !usage_parse_number(value, 1, INT_MAX, &build->jobs))
        build->makes_sense = false;
}

/* The words behind "--", as a command line of their own. NULL: out of memory. */
static char **
native_command(const struct cmake_build *build, int argc, char **argv)
{
    char **command = calloc((size_t)(argc - build->native) + 2, sizeof(*command));

    if (!command)
        return NULL;
    command[0] = argv[0];
    for (int i = build->native + 1; i < argc; i++)
        command[i - build->native] = argv[i];
    return command;
}

static int
read_native(struct cmake_build *build, int argc, char **argv)
{
    struct auth_command read;
    char **command = native_command(build, argc, argv);
    int result = command ? auth_read_command(command, &read) : -ENOMEM;

    free(command);
    if (result < 0)
        return result;
    build->makes_sense &= read.makes_sense;
    if (read.has_jobs) {
        build->has_jobs = true;
        build->jobs = read.jobs;
    }
    return 0;
}

int
cmake_build_read(struct cmake_build *build, int argc, char **argv, const char *level)
{
    const char *value;

    *build = (struct cmake_build){.makes_sense = true, .native = argc};
    if (argc < FIRST_OPTION || strcmp(argv[1], "--build") != 0 || argv[2][0] == '-')
        return 0;
    build->directory = argv[2];
    for (int i = argc - 1; i >= FIRST_OPTION; i--)
        if (strcmp(argv[i], "--") == 0)
            build->native = i;
    if (level)
        note_jobs(build, *level ? level : NULL);
    for (int i = FIRST_OPTION, words; i < build->native; i += words ? words : 1)
        if ((words = jobs_words(build, argv, i, &value)) > 0)
            note_jobs(build, value);
    return read_native(build, argc, argv);
}

char **
cmake_build_with_jobs(const struct cmake_build *build, int argc, char **argv, char *word)
{
    static char dashes[] = "--";
    char **command = native_command(build, argc, argv), **native, **result;
    const char *value;
    int n = 0;

    native = command ? auth_drop_jobs(command) : NULL;
    free(command);
    result = native ? calloc((size_t)argc + 3, sizeof(*result)) : NULL;
    if (!result) {
        free(native);
        return NULL;
    }
    for (int i = 0; i < build->native; i++) {
        int words = i < FIRST_OPTION ? 0 : jobs_words(build, argv, i, &value);
        if (words == 0)
            result[n++] = argv[i];
        else
            i += words - 1;
    }
    if (word || native[1])
        result[n++] = dashes;
    if (word)
        result[n++] = word;
    for (char **rest = native + 1; *rest; rest++)
        result[n++] = *rest;
    return result;
}

/* --- the cache --- */

/* A line is NAME:TYPE=VALUE. NULL: it is of another name. */
static char *
value_of(char *line, const char *name)
{
    if (!begins_with(line, name) || line[strlen(name)] != ':')
        return NULL;
    char *equals = strchr(line, '=');
    if (!equals)
        return NULL;
    equals[strcspn(equals, "\r\n")] = '\0';
    return equals + 1;
}

static void
read_line(char *line, enum cmake_tool *tool, char **path)
{
    const char *generator = value_of(line, "CMAKE_GENERATOR");
    const char *program = value_of(line, "CMAKE_MAKE_PROGRAM");

    if (generator && begins_with(generator, "Ninja"))
        *tool = CMAKE_TOOL_NINJA;
    else if (generator && strstr(generator, "Makefiles"))
        *tool = CMAKE_TOOL_MAKE;
    if (program && !*path)
        *path = strdup(program);
}

enum cmake_tool
cmake_build_tool(const char *directory, char **path)
{
    enum cmake_tool tool = CMAKE_TOOL_OTHER;
    char *name, *line = NULL;
    size_t room = 0;

    *path = NULL;
    if (asprintf(&name, "%s/CMakeCache.txt", directory) < 0)
        return tool;
    FILE *cache = fopen(name, "re");
    free(name);
    if (!cache)
        return tool;
    while (getline(&line, &room, cache) >= 0)
        read_line(line, &tool, path);
    free(line);
    fclose(cache);
    return tool;
}
