/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What must hold for every value of MAKEFLAGS, whoever wrote it. The oracle is getopt_long() itself
 * with the options of make 4.4.1 (and bmake's J), called as make's decode_env_switches() does.
 * Included by the unit test, with values made at random, and by the fuzzer.
 */

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/auth.h"

#define PROPERTY(condition)                                                                        \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: MAKEFLAGS='%s'\n", __FILE__, __LINE__, #condition, flags); \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { ORACLE_AUTH = 256, ORACLE_FDS, ORACLE_OTHER };

static const struct option oracle_options[] = {
    {"always-make", no_argument, NULL, 'B'},
    {"environment-overrides", no_argument, NULL, 'e'},
    {"eval", required_argument, NULL, 'E'},
    {"help", no_argument, NULL, 'h'},
    {"ignore-errors", no_argument, NULL, 'i'},
    {"keep-going", no_argument, NULL, 'k'},
    {"check-symlink-times", no_argument, NULL, 'L'},
    {"just-print", no_argument, NULL, 'n'},
    {"print-data-base", no_argument, NULL, 'p'},
    {"question", no_argument, NULL, 'q'},
    {"no-builtin-rules", no_argument, NULL, 'r'},
    {"no-builtin-variables", no_argument, NULL, 'R'},
    {"silent", no_argument, NULL, 's'},
    {"no-keep-going", no_argument, NULL, 'S'},
    {"touch", no_argument, NULL, 't'},
    {"version", no_argument, NULL, 'v'},
    {"print-directory", no_argument, NULL, 'w'},
    {"directory", required_argument, NULL, 'C'},
    {"file", required_argument, NULL, 'f'},
    {"include-dir", required_argument, NULL, 'I'},
    {"jobs", optional_argument, NULL, 'j'},
    {"load-average", optional_argument, NULL, 'l'},
    {"old-file", required_argument, NULL, 'o'},
    {"output-sync", optional_argument, NULL, 'O'},
    {"what-if", required_argument, NULL, 'W'},
    {"debug", optional_argument, NULL, ORACLE_OTHER},
    {"jobserver-auth", required_argument, NULL, ORACLE_AUTH},
    {"trace", no_argument, NULL, ORACLE_OTHER + 1},
    {"no-print-directory", no_argument, NULL, ORACLE_OTHER + 2},
    {"warn-undefined-variables", no_argument, NULL, ORACLE_OTHER + 3},
    {"sync-mutex", required_argument, NULL, ORACLE_OTHER + 4},
    {"no-silent", no_argument, NULL, ORACLE_OTHER + 5},
    {"jobserver-fds", required_argument, NULL, ORACLE_FDS},
    {"temp-stdin", required_argument, NULL, ORACLE_OTHER + 6},
    {"shuffle", optional_argument, NULL, ORACLE_OTHER + 7},
    {"jobserver-style", required_argument, NULL, ORACLE_OTHER + 8},
    {"quiet", no_argument, NULL, 's'},
    {"stop", no_argument, NULL, 'S'},
    {"new-file", required_argument, NULL, 'W'},
    {"assume-new", required_argument, NULL, 'W'},
    {"assume-old", required_argument, NULL, 'o'},
    {"max-load", optional_argument, NULL, 'l'},
    {"dry-run", no_argument, NULL, 'n'},
    {"recon", no_argument, NULL, 'n'},
    {"makefile", required_argument, NULL, 'f'},
    {NULL, 0, NULL, 0},
};

/* What the oracle sees in a value: everything that is to be kept, one thing a line, and the last
 * that names a jobserver. */
struct oracle {
    char *kept;
    char *named; /* NULL: none */
};

/* Words are where make has them; "$$" is expanded first. Returns argc. */
static int
oracle_split(const char *flags, char *buffer, char **argv)
{
    int argc = 0;
    char *out = buffer;

    flags += strspn(flags, " \t\n\v\f\r");
    argv[argc++] = (char[]){""};
    while (*flags != '\0') {
        argv[argc++] = out;
        if (argc == 2)
            *out++ = '\0'; /* room for a dash */
        for (; *flags != '\0' && *flags != ' ' && *flags != '\t'; flags++) {
            if (flags[0] == '\\' && flags[1] != '\0')
                flags++;
            if (flags[0] == '$' && flags[1] == '$')
                flags++;
            *out++ = *flags;
        }
        *out++ = '\0';
        flags += strspn(flags, " \t");
        if (argc == 2 && argv[1][1] != '-' && strchr(argv[1] + 1, '=') == NULL)
            argv[1][0] = '-';
        else if (argc == 2)
            argv[1]++;
    }
    argv[argc] = NULL;
    return argc;
}

static void
oracle_note(FILE *kept, struct oracle *oracle, int c, const char *argument)
{
    if (c == ORACLE_AUTH || c == ORACLE_FDS || c == 'J') {
        free(oracle->named);
        oracle->named = strdup(argument);
    } else if (c == '?') {
        /* 'j' is nothing that is kept; getopt has written nothing else down for a bad option. */
        if (optopt != 'J' && optopt != ORACLE_AUTH && optopt != ORACLE_FDS)
            fprintf(kept, "?%d\n", optopt);
        else
            oracle->named = (free(oracle->named), strdup(""));
    } else if (c != 'j' && !(c == 1 && strcmp(argument, "-") == 0)) {
        fprintf(kept, "%d %s\n", c, argument != NULL ? argument : "(none)");
    }
}

static struct oracle
oracle_read(const char *flags)
{
    size_t size = 0, length = strlen(flags);
    struct oracle oracle = {.kept = NULL};
    char *buffer = malloc(length + 3), **argv = calloc(length + 3, sizeof(char *));
    FILE *kept = open_memstream(&oracle.kept, &size);
    int argc, c;

    if (buffer == NULL || argv == NULL || kept == NULL)
        abort();
    argc = oracle_split(flags, buffer, argv);
    opterr = 0;
    optind = 0;
    while (optind < argc) {
        c = getopt_long(argc, argv, "-bBdeE:hikLmnpqrRsStvwC:f:I:j::l::o:O::W:J:", oracle_options,
                        NULL);
        if (c == -1)
            break;
        oracle_note(kept, &oracle, c, optarg);
        if (c == 'j' && optarg == NULL && optind < argc &&
            argv[optind][strspn(argv[optind], "0123456789")] == '\0')
            optind++;
    }
    for (; optind < argc; optind++)
        fprintf(kept, "-- %s\n", argv[optind]);
    if (fclose(kept) != 0)
        abort();
    free(argv);
    free(buffer);
    return oracle;
}

static void
oracle_clear(struct oracle *oracle)
{
    free(oracle->kept);
    free(oracle->named);
}

static bool
auth_equal(const struct auth *a, const struct auth *b)
{
    return a->kind == b->kind && a->read_fd == b->read_fd && a->write_fd == b->write_fd &&
           (a->path == NULL) == (b->path == NULL) &&
           (a->path == NULL || strcmp(a->path, b->path) == 0);
}

/* auth_parse() sees what getopt sees, and can write down what it has read. */
static void
check_parse(const char *flags, const struct oracle *oracle)
{
    struct auth auth, again;
    char *error = NULL, *text;
    int rc = auth_parse(flags, &auth, &error);

    if (rc < 0) {
        PROPERTY(error != NULL && oracle->named != NULL);
        PROPERTY(strlen(error) <= 80 + strlen(": not R,W and not fifo:PATH"));
        PROPERTY(error[strcspn(error, "\n\t\x1b")] == '\0');
        free(error);
        return;
    }
    PROPERTY((auth.kind == AUTH_NONE) == (oracle->named == NULL) && error == NULL);
    if (auth.kind == AUTH_FIFO)
        PROPERTY(strncmp(oracle->named, "fifo:", 5) == 0 &&
                 strcmp(oracle->named + 5, auth.path) == 0);
    text = auth_format(&auth);
    PROPERTY(text != NULL && auth_parse(text, &again, &error) == 0 && auth_equal(&auth, &again));
    free(text);
    auth_clear(&auth);
    auth_clear(&again);
}

/* auth_replace() names `auth`, and keeps all else. */
static void
check_replace(const char *flags, const struct auth *auth, unsigned jobs,
              const struct oracle *oracle)
{
    char *replaced = auth_replace(flags, auth, jobs), *twice, *error = NULL;
    struct oracle after;
    struct auth parsed;

    PROPERTY(replaced != NULL);
    PROPERTY(auth_parse(replaced, &parsed, &error) == 0 && auth_equal(auth, &parsed));
    PROPERTY(auth_jobs(replaced) == jobs);
    after = oracle_read(replaced);
    PROPERTY(strcmp(after.kept, oracle->kept) == 0);
    twice = auth_replace(replaced, auth, jobs);
    PROPERTY(twice != NULL && strlen(twice) <= strlen(replaced)); /* nesting does not lengthen it */
    oracle_clear(&after);
    auth_clear(&parsed);
    free(replaced);
    free(twice);
}

/* `path` names the FIFO that is put in, if it is not empty. */
static void
check_auth_properties(const char *flags, const char *path, unsigned jobs)
{
    struct oracle oracle = oracle_read(flags);
    struct auth fifo = {AUTH_FIFO, strdup(path), -1, -1};
    const struct auth none = {AUTH_NONE, NULL, -1, -1};
    const struct auth pair = {AUTH_PIPE, NULL, 3, 4};
    const struct auth closed = {AUTH_CLOSED, NULL, -2, -2};

    PROPERTY(fifo.path != NULL);
    check_parse(flags, &oracle);
    check_replace(flags, &none, jobs, &oracle);
    check_replace(flags, &pair, jobs, &oracle);
    check_replace(flags, &closed, 0, &oracle);
    if (*path != '\0')
        check_replace(flags, &fifo, jobs, &oracle);
    auth_clear(&fifo);
    oracle_clear(&oracle);
}
