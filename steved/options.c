/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/pool/pool.h"
#include "libjobserver/program/cpus.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "libjobserver/throttle/settings.h"

#define DEFAULT_DEVICE "steve"
#define DEFAULT_GROUP "jobserver"
/* As much as fits into a directory entry of devtmpfs and a kernel object's name. */
#define DEVICE_NAME_MAX 64

static const char usage[] =
    "Usage: steved [OPTION]...\n"
    "Serve one pool of job tokens to all builds of this machine.\n"
    "\n"
    "  -d, --device=NAME            serve /dev/NAME by CUSE (default: " DEFAULT_DEVICE ")\n"
    "  -m, --mount=DIR              serve DIR/jobserver by FUSE instead\n"
    "  -j, --jobs=N                 tokens in the pool (default: the CPUs it may run on)\n"
    "  -k, --min-jobs=N             never set or limited below this (default: 1)\n"
    "  -l, --per-process-limit=N    tokens that one client may hold (default: 0, no limit)\n"
    "      --per-user-limit=N       tokens that one user may hold (default: 0, no limit)\n"
    "      --min-memory-avail=N     grant no more while less is available: MiB, or N%\n"
    "      --load-average=N         grant no more while the load average is as high\n"
    "      --load-recheck-timeout=S seconds for which a load average is believed (default: 5)\n"
    "  -g, --group=GROUP            who may use it (default: " DEFAULT_GROUP ")\n"
    "  -u, --user=USER              become USER once the file is served\n"
    "  -b, --daemon                 return when the file can be used; log to syslog\n"
    "      --check                  tell whether this version can go on after the one that serves\n"
    "  -v, --verbose                say each grant, return and reclaim\n"
    "  -h, --help                   show this\n"
    "  -V, --version                show the version\n"
    "\n"
    "stevectl(1) shows and sets what can be changed while it runs.\n";

/* Options without a letter. */
enum { PER_USER_LIMIT = 256, LIMIT, CHECK = 512 };

static const struct option long_options[] = {
    {"device", required_argument, NULL, 'd'},
    {"mount", required_argument, NULL, 'm'},
    {"jobs", required_argument, NULL, 'j'},
    {"min-jobs", required_argument, NULL, 'k'},
    {"per-process-limit", required_argument, NULL, 'l'},
    {"per-user-limit", required_argument, NULL, PER_USER_LIMIT},
    {"min-memory-avail", required_argument, NULL, LIMIT + THROTTLE_MEMORY},
    {"load-average", required_argument, NULL, LIMIT + THROTTLE_LOAD},
    {"load-recheck-timeout", required_argument, NULL, LIMIT + THROTTLE_RECHECK},
    {"group", required_argument, NULL, 'g'},
    {"user", required_argument, NULL, 'u'},
    {"daemon", no_argument, NULL, 'b'},
    {"check", no_argument, NULL, CHECK},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static unsigned
parse_number(const char *option, const char *text, unsigned min)
{
    char wanted[64];
    unsigned number;

    if (usage_parse_number(text, min, POOL_CAPACITY_MAX, &number))
        return number;
    snprintf(wanted, sizeof(wanted), "a number from %u to %u", min, POOL_CAPACITY_MAX);
    usage_refuse(option, text, wanted);
}

static const char *
parse_device(const char *text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *name = strncmp(text, "/dev/", 5) == 0 ? text + 5 : text;
    size_t length = strlen(name);

    if (length == 0 || length > DEVICE_NAME_MAX || name[0] == '.')
        usage_refuse("--device", text, "a name below /dev");
    if (name[strspn(name, allowed)])
        usage_refuse("--device", text, "a name of letters, digits, '.', '_' and '-'");
    return name;
}

static const char *
parse_text(const char *option, const char *text)
{
    if (!text[0])
        usage_refuse(option, text, "a name");
    return text;
}

static void
parse_option(struct options *options, int option, char *const *argv)
{
    switch (option) {
    case 'd':
        options->device = parse_device(optarg);
        break;
    case 'm':
        options->mount_dir = parse_text("--mount", optarg);
        break;
    case 'j':
        options->jobs = parse_number("--jobs", optarg, 1);
        break;
    case 'k':
        options->min_jobs = parse_number("--min-jobs", optarg, 1);
        break;
    case 'l':
        options->per_process_limit = parse_number("--per-process-limit", optarg, 0);
        break;
    case PER_USER_LIMIT:
        options->per_user_limit = parse_number("--per-user-limit", optarg, 0);
        break;
    case LIMIT + THROTTLE_MEMORY:
    case LIMIT + THROTTLE_LOAD:
    case LIMIT + THROTTLE_RECHECK:
        throttle_parse_option(option - LIMIT, optarg, &options->limits);
        break;
    case 'g':
        options->is_group_named = true;
        options->group = parse_text("--group", optarg);
        break;
    case 'u':
        options->user = parse_text("--user", optarg);
        break;
    case 'b':
        options->is_daemon = true;
        break;
    case CHECK:
        options->only_checks = true;
        break;
    case 'v':
        options->is_verbose = true;
        break;
    case 'h':
        usage_show(usage, EXIT_FAILURE);
    case 'V':
        usage_show("steved " PROJECT_VERSION "\n", EXIT_FAILURE);
    default:
        usage_refuse_option(option, argv);
    }
}

/* What no single option can tell. */
static void
check_together(struct options *options, char *const *rest)
{
    if (*rest)
        message("there is no argument '%s' to be given", *rest);
    else if (options->device && options->mount_dir)
        message("--device '%s' and --mount '%s': there can be only one of them", options->device,
                options->mount_dir);
    else if (options->min_jobs > options->jobs)
        message("--min-jobs '%u' is more than --jobs '%u'", options->min_jobs, options->jobs);
    else
        return;
    exit(EXIT_USAGE);
}

void
options_parse(struct options *options, int argc, char **argv)
{
    int option;

    *options = (struct options){.group = DEFAULT_GROUP,
                                .jobs = cpus_count(),
                                .min_jobs = 1,
                                .limits.load_recheck_ms = STEVED_LOAD_RECHECK_DEFAULT_MS};
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":d:m:j:k:l:g:u:bvhV", long_options, NULL)) != -1)
        parse_option(options, option, argv);
    check_together(options, argv + optind);
    if (!options->device && !options->mount_dir)
        options->device = DEFAULT_DEVICE;
}
