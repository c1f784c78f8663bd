/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/history.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"

#define NAME "jobwrap-memory-history"

/* In a build tree it lies beside us. Returns an errno if it is not there. */
static int
run_beside(char **argv)
{
    char *directory = program_directory(), *path = NULL;

    if (directory && asprintf(&path, "%s/" NAME, directory) < 0)
        path = NULL;
    free(directory);
    if (!path)
        return ENOMEM;
    execv(path, argv);
    int error = errno;
    free(path);
    return error;
}

_Noreturn void
history_run(char **words)
{
    char **argv = words - 1; /* the option, or what ends the options */
    char name[] = NAME;

    argv[0] = name;
    int error = run_beside(argv);
    if (error == ENOENT) {
        execv(HISTORY_DIRECTORY "/" NAME, argv);
        error = errno;
    }
    message("run %s: %s", name, strerror(error));
    exit(EXIT_OURS);
}
