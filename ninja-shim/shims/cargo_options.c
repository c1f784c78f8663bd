/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/shims/cargo_options.h"

#include <string.h>

#include "libjobserver/program/usage.h"

#define JOBS_MAX 65536u

/* Options before the command whose value is a word of its own. */
static bool
has_value(const char *option)
{
    static const char *const options[] = {"--color", "--config", "-Z", "-C"};

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (strcmp(option, options[i]) == 0)
            return true;
    return false;
}

static bool
runs_compilers(const char *command)
{
    static const char *const commands[] = {"b",       "build",   "c",       "check",   "t",
                                           "test",    "bench",   "r",       "run",     "d",
                                           "doc",     "rustc",   "rustdoc", "clippy",  "fix",
                                           "install", "package", "publish", "nextest", "miri"};

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(command, commands[i]) == 0)
            return true;
    return false;
}

/* -jN, -j N, --jobs=N, --jobs N. NULL: it is none of these. */
static const char *
jobs_text(char *const *word)
{
    if (strcmp(*word, "-j") == 0 || strcmp(*word, "--jobs") == 0)
        return word[1];
    if (strncmp(*word, "-j", 2) == 0)
        return *word + 2 + ((*word)[2] == '=');
    if (strncmp(*word, "--jobs=", 7) == 0)
        return *word + 7;
    return NULL;
}

void
cargo_options_read(struct cargo_options *options, char *const *argv)
{
    bool has_command = false;

    *options = (struct cargo_options){.builds = false};
    for (char *const *word = argv[0] ? argv + 1 : argv; *word && strcmp(*word, "--") != 0; word++) {
        const char *jobs = jobs_text(word);
        if (jobs && !usage_parse_number(jobs, 1, JOBS_MAX, &options->jobs))
            options->jobs = 0;
        if (has_command || **word == '+')
            continue;
        if (has_value(*word) && word[1]) {
            word++;
        } else if (**word != '-') {
            has_command = true;
            options->builds = runs_compilers(*word);
        }
    }
}
