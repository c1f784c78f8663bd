/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The command lines of what stands before ninja, make, cargo and cmake, which pass on whatever they do
 * not understand. */

#include "libjobserver/auth.h"
#include "ninja-shim/shims/cargo_options.h"
#include "ninja-shim/shims/cmake_build.h"
#include "ninja-shim/shims/ninja_options.h"
#include "tests/fuzz/input.h"

#define WORDS_MAX 64

/* No word is lost or made, but for the one that is put in. */
static void
check_ninja(int count, char **words, const char *flags)
{
    struct ninja_options options;

    ALWAYS(ninja_options_read(&options, count, words, flags) == 0);
    ALWAYS(options.jobs_end >= 1 && options.jobs_end <= count);
    char **longer = ninja_options_insert_jobs(&options, count, words, "-j1");
    ALWAYS(longer && !longer[count + 1] && strcmp(longer[options.jobs_end], "-j1") == 0);
    for (int i = 0; i < count; i++)
        ALWAYS(longer[i < options.jobs_end ? i : i + 1] == words[i]);
    free(longer);
}

/* Without its -j, make reads the same but for them. */
static void
check_make(char **words)
{
    struct auth_command command, without;

    ALWAYS(auth_read_command(words, &command) == 0);
    char **dropped = auth_drop_jobs(words);
    ALWAYS(dropped && auth_read_command(dropped, &without) == 0);
    ALWAYS(!without.has_jobs && without.builds == command.builds);
    ALWAYS(without.names_jobserver == command.names_jobserver);
    free(dropped);
}

static void
check_cmake(int count, char **words, const char *level)
{
    struct cmake_build build;

    ALWAYS(cmake_build_read(&build, count, words, level) == 0);
    ALWAYS(build.native >= 0 && build.native <= count);
    ALWAYS(!build.directory || strlen(build.directory) < SIZE_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct cargo_options cargo;
    char *text;
    int count;

    char **words = input_words(&input, WORDS_MAX, &count, &text);
    if (count > 0) {
        check_ninja(count, words, NULL);
        check_ninja(count, words, words[count - 1]);
        check_make(words);
        check_cmake(count, words, NULL);
        check_cmake(count, words, words[count - 1]);
        cargo_options_read(&cargo, words);
    }
    free(words);
    free(text);
    return 0;
}
