/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <getopt.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#include "jobwrap/options.h"
#include "libjobserver/classes/rules_file.h"
#include "libjobserver/memory/mode.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "libjobserver/protocol.h"
#include "libjobserver/throttle/settings.h"

#define PARENT_VARIABLE "JOBWRAP_PARENT"

static const char help[] =
    "Usage: jobwrap [OPTION]... [--] COMMAND [ARGUMENT]...\n"
    "       jobwrap --memory-history [list | forget [PACKAGE]]\n"
    "\n"
    "Run COMMAND with a jobserver of its own, which borrows its tokens from the\n"
    "jobserver around it.\n"
    "\n"
    "  -j, --jobs=N          run at most N jobs at once; without a parent, N tokens\n"
    "                        (default: the CPUs that may be used)\n"
    "      --parent=auto|none|SERVER\n"
    "                        where tokens come from: a path, fifo:PATH or R,W\n"
    "                        (default: auto, which starts a steved if there is none)\n"
    "      --weight=N        this build's share while others want tokens too:\n"
    "                        1 to 10000 (default: 100)\n"
    "      --min-memory-avail=N[%]\n"
    "                        run only one job while less is available: MiB, or\n"
    "                        per cent\n"
    "      --load-average=N  run only one job while the load average is N or more\n"
    "      --load-recheck-timeout=S\n"
    "                        believe a load average for S seconds (default: 5)\n"
    "      --class=NAME=N    without a parent: also lend N tokens of a class\n"
    "      --class-rules=FILE\n"
    "                        read from FILE which jobs need tokens of classes\n"
    "      --style=auto|fifo|pipe\n"
    "                        how to tell COMMAND about its jobserver\n"
    "      --implicit=auto|inherit|acquire\n"
    "                        whether COMMAND's first job is already paid for\n"
    "      --memory=auto|on|off\n"
    "                        whether jobs wait until there is memory for them\n"
    "      --report[=FILE]   at the end, report what was used: on stderr, as JSON in\n"
    "                        FILE, or as a page in FILE.html\n"
    "      --trace=FILE      record what ran when, for https://ui.perfetto.dev\n"
    "      --group=GROUP     as root: the group that may use it (default: jobserver)\n"
    "      --no-shims        leave PATH alone\n"
    "  -v, --verbose         say where tokens come from\n"
    "      --memory-history  run nothing; list how much memory jobs needed, or\n"
    "                        forget it\n"
    "  -h, --help            show this\n"
    "  -V, --version         show the version\n"
    "\n"
    "Exits with COMMAND's status, or 2: wrong usage, 125: jobwrap failed,\n"
    "126: COMMAND cannot be run, 127: COMMAND does not exist. See jobwrap(1).\n";

enum {
    OPT_PARENT = 256,
    OPT_WEIGHT,
    OPT_CLASS,
    OPT_CLASS_RULES,
    OPT_STYLE,
    OPT_IMPLICIT,
    OPT_MEMORY,
    OPT_MEMORY_HISTORY,
    OPT_REPORT,
    OPT_TRACE,
    OPT_GROUP,
    OPT_NO_SHIMS,
    OPT_LIMIT, /* and those that follow: THROTTLE_SETTINGS */
};

static const struct option long_options[] = {
    {"jobs", required_argument, NULL, 'j'},
    {"parent", required_argument, NULL, OPT_PARENT},
    {"weight", required_argument, NULL, OPT_WEIGHT},
    {"min-memory-avail", required_argument, NULL, OPT_LIMIT + THROTTLE_MEMORY},
    {"load-average", required_argument, NULL, OPT_LIMIT + THROTTLE_LOAD},
    {"load-recheck-timeout", required_argument, NULL, OPT_LIMIT + THROTTLE_RECHECK},
    {"class", required_argument, NULL, OPT_CLASS},
    {"class-rules", required_argument, NULL, OPT_CLASS_RULES},
    {"style", required_argument, NULL, OPT_STYLE},
    {"implicit", required_argument, NULL, OPT_IMPLICIT},
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"report", optional_argument, NULL, OPT_REPORT},
    {"trace", required_argument, NULL, OPT_TRACE},
    {"group", required_argument, NULL, OPT_GROUP},
    {"no-shims", no_argument, NULL, OPT_NO_SHIMS},
    {"verbose", no_argument, NULL, 'v'},
    {"memory-history", no_argument, NULL, OPT_MEMORY_HISTORY},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

static void
parse_parent(struct options *options, const char *text)
{
    if (!*text)
        usage_refuse("--parent", text, "auto, none or a jobserver");
    options->is_parent_given = true;
    options->is_root = strcmp(text, "none") == 0;
    options->parent = options->is_root || strcmp(text, "auto") == 0 ? NULL : text;
}

/* Not a second --parent: builds inherit it, and inside of one there is a jobserver to borrow from. */
static bool
parse_variable(const char *text)
{
    if (!text || !*text || strcmp(text, "auto") == 0)
        return false;
    if (strcmp(text, "none") != 0)
        usage_refuse(PARENT_VARIABLE, text, "auto or none");
    return true;
}

static enum style
parse_style(const char *text)
{
    if (strcmp(text, "auto") == 0)
        return STYLE_AUTO;
    if (strcmp(text, "fifo") == 0)
        return STYLE_FIFO;
    if (strcmp(text, "pipe") == 0)
        return STYLE_PIPE;
    usage_refuse("--style", text, "auto, fifo or pipe");
}

static void
parse_report(struct options *options, const char *file)
{
    static const char page[] = ".html";
    const size_t length = file ? strlen(file) : 0, end = strlen(page);

    options->wants_report = true;
    options->report_file = file;
    options->wants_page = length > end && strcmp(file + length - end, page) == 0;
    if (file && !*file)
        usage_refuse("--report", file, "a file");
}

static void
parse_class(struct options *options, const char *text)
{
    const char *wanted = class_specs_add(&options->classes, text);

    if (wanted)
        usage_refuse("--class", text, wanted);
}

static void
parse_class_rules(struct options *options, const char *file)
{
    options->class_rules = file;
    class_rules_free(class_rules_read(file));
}

static void
parse_memory(struct options *options, const char *mode)
{
    options->memory = mode;
    if (memory_mode_parse(mode, &(enum memory_mode){0}) < 0)
        usage_refuse("--memory", mode, MEMORY_MODES);
}

static void
parse_trace(struct options *options, const char *file)
{
    options->trace_file = file;
    if (!*file)
        usage_refuse("--trace", file, "a file");
}

static void
parse_group(struct options *options, const char *group)
{
    options->group = group;
    options->is_group_named = true;
    if (!getgrnam(group))
        usage_refuse("--group", group, "a group");
}

static void
parse_option(struct options *options, int option)
{
    switch (option) {
    case 'j':
        if (!usage_parse_number(optarg, 1, JOBS_MAX, &options->jobs))
            usage_refuse("-j", optarg, "a number from 1 to 65536");
        break;
    case OPT_PARENT:
        parse_parent(options, optarg);
        break;
    case OPT_WEIGHT:
        if (!usage_parse_number(optarg, 1, STEVED_WEIGHT_MAX, &options->weight))
            usage_refuse("--weight", optarg, "a number from 1 to 10000");
        break;
    case OPT_LIMIT + THROTTLE_MEMORY:
    case OPT_LIMIT + THROTTLE_LOAD:
    case OPT_LIMIT + THROTTLE_RECHECK:
        throttle_parse_option(option - OPT_LIMIT, optarg, &options->limits);
        break;
    case OPT_CLASS_RULES:
        parse_class_rules(options, optarg);
        break;
    case OPT_CLASS:
        parse_class(options, optarg);
        break;
    case OPT_STYLE:
        options->style = parse_style(optarg);
        break;
    case OPT_IMPLICIT:
        if (implicit_parse(optarg, &options->implicit) < 0)
            usage_refuse("--implicit", optarg, "auto, inherit or acquire");
        break;
    case OPT_MEMORY:
        parse_memory(options, optarg);
        break;
    case OPT_REPORT:
        parse_report(options, optarg);
        break;
    case OPT_TRACE:
        parse_trace(options, optarg);
        break;
    case OPT_GROUP:
        parse_group(options, optarg);
        break;
    case OPT_NO_SHIMS:
        options->wants_shims = false;
        break;
    case 'v':
        options->is_verbose = true;
        break;
    case OPT_MEMORY_HISTORY:
        options->wants_history = true;
        break;
    case 'h':
        usage_show(help, EXIT_OURS);
    case 'V':
        usage_show("jobwrap " PROJECT_VERSION "\n", EXIT_OURS);
    }
}

void
options_parse(struct options *options, int argc, char **argv)
{
    int option;

    *options = (struct options){.limits.load_recheck_ms = STEVED_LOAD_RECHECK_DEFAULT_MS,
                                .wants_shims = true,
                                .group = "jobserver"};
    opterr = 0;
    /* '+': what follows the command's name is the command's. */
    while ((option = getopt_long(argc, argv, "+:j:vhV", long_options, NULL)) != -1) {
        if (option == '?' || option == ':')
            usage_refuse_option(option, argv);
        parse_option(options, option);
    }
    if (!options->is_parent_given)
        options->is_alone = parse_variable(getenv(PARENT_VARIABLE));
    options->command = argv + optind;
    if (optind == argc && !options->wants_history) {
        message("no command is given (see --help)");
        exit(EXIT_USAGE);
    }
}
