/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of jobgate. */
#include "ninja-shim/gate/jobgate_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "ninja-shim/gate/kinds.h"

static const char help_format[] =
    "Usage: jobgate --jobs-of=NAME... [OPTION]... [--] COMMAND [ARGUMENT]...\n"
    "\n"
    "Run COMMAND. In it, each child of a process called NAME waits for a token of the\n"
    "jobserver, and for memory, before it runs.\n"
    "\n"
    "      --jobs-of=NAME    whose children are jobs: xargs, parallel, ctest; may be\n"
    "                        given more than once\n"
    "      --jobserver=auto|SERVER\n"
    "                        where tokens come from: a path, fifo:PATH or R,W\n"
    "      --implicit=auto|inherit|acquire\n"
    "                        whether COMMAND's first job is already paid for\n"
    "      --gate=%s\n"
    "                        what makes jobs wait\n"
    "      --memory=auto|on|off\n"
    "                        whether jobs also wait until there is memory for them\n"
    "      --class-rules=FILE\n"
    "                        read from FILE which jobs need tokens of classes\n"
    "      --no-tokens       make jobs wait for memory and classes only: COMMAND\n"
    "                        takes tokens itself\n"
    "      --program=PATH    the program to execute, with COMMAND as its name\n"
    "  -h, --help            show this\n"
    "  -V, --version         show the version\n"
    "\n"
    "Exits with COMMAND's status, or 2: wrong usage, 125: jobgate failed,\n"
    "126: COMMAND cannot be run, 127: COMMAND does not exist. See jobgate(1).\n";

enum {
    OPT_JOBS_OF = 256,
    OPT_JOBSERVER,
    OPT_IMPLICIT,
    OPT_GATE,
    OPT_MEMORY,
    OPT_CLASS_RULES,
    OPT_NO_TOKENS,
    OPT_PROGRAM
};

static const struct option long_options[] = {
    {"jobs-of", required_argument, NULL, OPT_JOBS_OF},
    {"jobserver", required_argument, NULL, OPT_JOBSERVER},
    {"implicit", required_argument, NULL, OPT_IMPLICIT},
    {"gate", required_argument, NULL, OPT_GATE},
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"class-rules", required_argument, NULL, OPT_CLASS_RULES},
    {"no-tokens", no_argument, NULL, OPT_NO_TOKENS},
    {"program", required_argument, NULL, OPT_PROGRAM},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

static void
add_name(struct jobgate_options *options, const char *text)
{
    if (!*text || strchr(text, '/'))
        usage_refuse("--jobs-of", text, "the name of a program without its directory");
    options->names[options->name_count++] = text;
}

static void
parse_server(struct jobgate_options *options, const char *text)
{
    if (!*text || strcmp(text, "fifo:") == 0)
        usage_refuse("--jobserver", text, "auto or a jobserver");
    options->server = strcmp(text, "auto") == 0 ? NULL : text;
}

static void
parse_gate(struct jobgate_options *options, const char *text)
{
    char known[GATE_KINDS_LIST_SIZE];

    if (gate_kinds_parse(text, &options->gate) == 0)
        return;
    gate_kinds_list(known, ", ", " or ", NULL);
    usage_refuse("--gate", text, known);
}

static _Noreturn void
show_help(void)
{
    char known[GATE_KINDS_LIST_SIZE], help[sizeof(help_format) + sizeof(known)];

    gate_kinds_list(known, "|", "|", NULL);
    snprintf(help, sizeof(help), help_format, known);
    usage_show(help, EXIT_OURS);
}

static void
parse_option(struct jobgate_options *options, int option)
{
    switch (option) {
    case OPT_JOBS_OF:
        add_name(options, optarg);
        break;
    case OPT_JOBSERVER:
        parse_server(options, optarg);
        break;
    case OPT_IMPLICIT:
        if (implicit_parse(optarg, &options->implicit) < 0)
            usage_refuse("--implicit", optarg, "auto, inherit or acquire");
        break;
    case OPT_GATE:
        parse_gate(options, optarg);
        break;
    case OPT_MEMORY:
        if (memory_mode_parse(optarg, &options->memory) < 0)
            usage_refuse("--memory", optarg, MEMORY_MODES);
        break;
    case OPT_CLASS_RULES:
        options->class_rules = optarg;
        break;
    case OPT_NO_TOKENS:
        options->needs_no_tokens = true;
        break;
    case OPT_PROGRAM:
        options->program = optarg;
        if (!strchr(optarg, '/'))
            usage_refuse("--program", optarg, "a path");
        break;
    case 'h':
        show_help();
    case 'V':
        usage_show("jobgate " PROJECT_VERSION "\n", EXIT_OURS);
    }
}

void
jobgate_options_parse(struct jobgate_options *options, int argc, char **argv)
{
    int option;

    *options = (struct jobgate_options){.names = calloc((size_t)argc + 1, sizeof(*options->names))};
    if (!options->names) {
        message("%s", strerror(ENOMEM));
        exit(EXIT_OURS);
    }
    memory_mode_read_environment(&options->memory);
    opterr = 0;
    /* '+': what follows the command's name is the command's. */
    while ((option = getopt_long(argc, argv, "+:hV", long_options, NULL)) != -1) {
        if (option == '?' || option == ':')
            usage_refuse_option(option, argv);
        parse_option(options, option);
    }
    if (options->name_count == 0 || optind == argc) {
        message("no %s is given (see --help)", options->name_count == 0 ? "--jobs-of" : "command");
        exit(EXIT_USAGE);
    }
    options->command = argv + optind;
}
