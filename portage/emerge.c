/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * emerge: what stands before the real one on PATH, and jobserver-emerge, which is the same with options
 * of its own. It becomes the real emerge, whatever wrappers that has, and leaves on PYTHONPATH what
 * adapts a Portage that knows no jobserver. See jobserver-emerge(1).
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/auth.h"
#include "libjobserver/implicit.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"
#include "portage/script.h"

#define PYTHON_PATH "PYTHONPATH"
#define STRICT "EMERGE_SHIM_STRICT"
#define STATUS_STRICT 1

static void
set(const char *name, const char *value)
{
    if (setenv(name, value, 1) < 0) {
        message("start: %s", strerror(errno));
        exit(EXIT_OURS);
    }
}

/* --- what jobserver-emerge is told, before the first word that it does not know --- */

static bool
take_option(const char *word)
{
    static const char implicit[] = "--implicit=";
    enum implicit_policy policy;

    if (strcmp(word, "--strict") == 0) {
        set(STRICT, "1");
        return true;
    }
    if (strncmp(word, implicit, strlen(implicit)) != 0)
        return false;
    const char *value = word + strlen(implicit);
    if (implicit_parse(value, &policy) < 0)
        usage_refuse("--implicit", value, "auto, inherit or acquire");
    set("EMERGE_SHIM_IMPLICIT", value);
    return true;
}

/* Returns the arguments that are emerge's, with its name before them. */
static char **
take_options(int argc, char **argv)
{
    static char name[] = "emerge";

    if (argc == 0)
        return argv;
    while (argv[1] && take_option(argv[1]))
        argv++;
    if (argv[1] && strcmp(argv[1], "--") == 0)
        argv++;
    argv[0] = name;
    return argv;
}

/* --- the adapter --- */

/* That of the build tree lies beside us. To be freed. */
static char *
adapter_directory(void)
{
    char *beside = program_directory(), *module = NULL;
    bool is_beside = beside && asprintf(&module, "%s/sitecustomize.py", beside) >= 0 &&
                     access(module, R_OK) == 0;

    free(module);
    if (is_beside)
        return beside;
    free(beside);
    return strdup(ADAPTER_DIRECTORY);
}

static void
prepend_python_path(void)
{
    const char *old = getenv(PYTHON_PATH);
    char *directory = adapter_directory(), *path = NULL;

    if (!directory ||
        asprintf(&path, "%s%s%s", directory, old && *old ? ":" : "", old ? old : "") < 0) {
        message("start: %s", strerror(ENOMEM));
        exit(EXIT_OURS);
    }
    set(PYTHON_PATH, path);
    free(path);
    free(directory);
}

/* --- where it cannot get in --- */

/* As far as we can see, who do not read make.conf: jobserver-emerge is called for a jobserver there. */
static bool
has_jobserver(void)
{
    struct auth auth;
    char *error;

    if (HAS_OPTIONS)
        return true;
    int result = auth_parse(getenv("MAKEFLAGS"), &auth, &error);
    if (result < 0) {
        free(error);
        return true;
    }
    bool is_named = auth.kind != AUTH_NONE;
    auth_clear(&auth);
    return is_named;
}

/* Only asked where the adapter cannot be: it takes a second. */
static bool
portage_acquires_tokens(const char *real)
{
    char answer[256];
    unsigned major, minor, patch = 0;

    return program_ask_version(real, "emerge", answer, sizeof(answer)) == 0 &&
           sscanf(answer, "Portage %u.%u.%u", &major, &minor, &patch) >= 2 &&
           (major > 3 || (major == 3 && (minor > 0 || patch >= 74)));
}

/* The same words as those of the adapter. */
static void
do_without(const char *script)
{
    const char *strict = getenv(STRICT);
    bool stops = strict && *strict;

    message("the first line of %s makes Python ignore PYTHONPATH (-I, -E or -S), and so our "
            "adapter; %s",
            script, stops ? "stopping, because of --strict" : "continuing without a jobserver");
    if (stops)
        exit(STATUS_STRICT);
}

static void
adapt(const char *real)
{
    char *script = script_that_ignores_path(real);

    if (!script)
        prepend_python_path();
    else if (has_jobserver() && !portage_acquires_tokens(real))
        do_without(script);
    free(script);
}

int
main(int argc, char **argv)
{
    program_invocation_short_name = (char[]){"emerge-shim"};
    descriptors_guard_standard();
    if (HAS_OPTIONS)
        argv = take_options(argc, argv);
    char *real = program_need_real("emerge", "EMERGE_SHIM_REAL");
    if (program_shim_hops() == 0 && !program_is_asked())
        adapt(real);
    program_become_real(real, argv);
}
