/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "portage/script.h"

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t"
#define LINE_SIZE 256 /* what the kernel reads of it */
#define WRAPPER "python-exec"

static bool
begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static const char *
base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* -sE, say. What follows -W, -X and the like is their value. */
static bool
options_ignore_path(const char *word)
{
    for (word++; *word && !strchr("WXcm-", *word); word++)
        if (strchr("IES", *word))
            return true;
    return false;
}

/* A line without its #!. What env(1) has before its program are options and variables. */
static bool
line_ignores_path(char *line)
{
    char *rest, *word = strtok_r(line, BLANKS, &rest);

    if (word && strcmp(base_name(word), "env") == 0)
        do
            word = strtok_r(NULL, BLANKS, &rest);
        while (word && (word[0] == '-' || strchr(word, '=')));
    if (!word || !(begins_with(base_name(word), "python") || begins_with(base_name(word), "pypy")))
        return false;
    while ((word = strtok_r(NULL, BLANKS, &rest)) && word[0] == '-')
        if (options_ignore_path(word))
            return true;
    return false;
}

static bool
ignores_path(const char *path)
{
    char line[LINE_SIZE];
    FILE *script = fopen(path, "re");

    if (!script)
        return false;
    bool is_script = fgets(line, sizeof(line), script) && begins_with(line, "#!");
    fclose(script);
    if (!is_script)
        return false;
    line[strcspn(line, "\n")] = '\0';
    return line_ignores_path(line + strlen("#!"));
}

/* /usr/bin/NAME is a link to /usr/lib/python-exec/python-exec2, which runs one of
 * /usr/lib/python-exec/PYTHON/NAME, all of them made alike by one package. */
static char *
wrapped_that_ignores_path(const char *wrapper, const char *name)
{
    int directory_length = (int)(base_name(wrapper) - wrapper);
    char *pattern, *found = NULL;
    glob_t scripts;

    if (asprintf(&pattern, "%.*s*/%s", directory_length, wrapper, name) < 0)
        return NULL;
    if (glob(pattern, 0, NULL, &scripts) == 0) {
        for (size_t i = 0; i < scripts.gl_pathc && !found; i++)
            if (ignores_path(scripts.gl_pathv[i]))
                found = strdup(scripts.gl_pathv[i]);
        globfree(&scripts);
    }
    free(pattern);
    return found;
}

char *
script_that_ignores_path(const char *path)
{
    char *resolved = realpath(path, NULL), *found = NULL;

    if (!resolved)
        return NULL;
    if (begins_with(base_name(resolved), WRAPPER))
        found = wrapped_that_ignores_path(resolved, base_name(path));
    else if (ignores_path(resolved))
        found = strdup(resolved);
    free(resolved);
    return found;
}
