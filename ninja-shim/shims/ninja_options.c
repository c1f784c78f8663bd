/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of ninja and samurai, read as they read it. */
#include "ninja-shim/shims/ninja_options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_QUIET = 256, OPT_STATUS, OPT_VERSION };

/* Those that do not matter are here for their arguments, and for what may be abbreviated. */
static const struct option long_options[] = {
    {"help", no_argument, NULL, 'h'},
    {"quiet", no_argument, NULL, OPT_QUIET},
    {"status", required_argument, NULL, OPT_STATUS},
    {"verbose", no_argument, NULL, 'v'},
    {"version", no_argument, NULL, OPT_VERSION},
    {0},
};

/* In ninja's way: an empty word is 0. False if it refuses the number; *number stays then. */
static bool
read_number(const char *text, long min, unsigned *number)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (*end || value < min)
        return false;
    *number = value > 0 && value < INT_MAX ? (unsigned)value : 0;
    return true;
}

/* In ninja's way: what follows the number does not matter. */
static void
read_load(const char *text, double *load_max)
{
    char *end;
    double value = strtod(text, &end);

    if (end != text)
        *load_max = value > 0 ? value : 0;
}

static void
take_option(struct ninja_options *options, int option)
{
    switch (option) {
    case 'j':
        if (read_number(optarg, 0, &options->jobs))
            options->has_jobs = true;
        break;
    case 'k':
        read_number(optarg, LONG_MIN, &options->failures_allowed);
        break;
    case 'l':
        read_load(optarg, &options->load_max);
        break;
    }
}

static bool
runs_no_job(int option)
{
    switch (option) {
    case 'h':
    case 'n':
    case 't':
    case OPT_VERSION:
        return true;
    case 'd':
    case 'w':
        return strcmp(optarg, "list") == 0;
    default:
        return false;
    }
}

/* ninja finds its options between the operands too. '-' has getopt hand these out one by one where
 * it would else move them to the end: argv stays as it is, and optind is where we are in it. */
static const char *
option_letters(bool is_samurai)
{
    bool ends_at_operand = is_samurai || getenv("POSIXLY_CORRECT");

    return ends_at_operand ? "+d:f:j:k:l:nt:vw:C:h" : "-d:f:j:k:l:nt:vw:C:h";
}

static void
read_arguments(struct ninja_options *options, int argc, char *const *argv, bool is_samurai)
{
    const char *letters = option_letters(is_samurai);
    /* What follows an option that we do not know may be its argument, so "-X -n" may build. */
    bool unknown = false;
    int option;

    optind = 0; /* glibc starts afresh */
    opterr = 0;
    while ((option = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
        take_option(options, option);
        if (option == '?')
            unknown = true;
        if (option == 'j')
            options->jobs_end = optind;
        if (runs_no_job(option) && !unknown)
            options->is_build = false;
        if (option == 't') /* the rest is the tool's */
            break;
    }
}

/* samurai takes three options from the environment, and no operand. */
static int
read_flags(struct ninja_options *options, const char *flags)
{
    char *text = strdup(flags), *rest = text;
    /* Every second character is a word at most; the first is the program's name. */
    char **words = calloc(strlen(flags) / 2 + 3, sizeof(*words));
    int count = 1, option;

    if (text && words) {
        words[0] = text;
        for (char *word; (word = strsep(&rest, " "));)
            if (*word)
                words[count++] = word;
        optind = 0;
        opterr = 0;
        while ((option = getopt(count, words, "+j:l:v")) != -1)
            take_option(options, option);
    }
    int r = text && words ? 0 : -ENOMEM;
    free(words);
    free(text);
    return r;
}

int
ninja_options_read(struct ninja_options *options, int argc, char *const *argv, const char *flags)
{
    *options = (struct ninja_options){.is_build = true, .failures_allowed = 1, .jobs_end = 1};
    int r = flags ? read_flags(options, flags) : 0;
    if (r < 0)
        return r;
    read_arguments(options, argc, argv, flags != NULL);
    return 0;
}

char **
ninja_options_insert_jobs(const struct ninja_options *options, int argc, char *const *argv,
                          const char *word)
{
    size_t before = (size_t)options->jobs_end, count = (size_t)argc, size = strlen(word) + 1;
    size_t room = count + 2 + size / sizeof(char *) + 1;
    char **words = calloc(room, sizeof(*words));

    if (!words)
        return NULL;
    memcpy(words, argv, before * sizeof(*words));
    words[before] = memcpy(words + count + 2, word, size);
    memcpy(words + before + 1, argv + before, (count - before) * sizeof(*words));
    words[count + 1] = NULL;
    return words;
}
