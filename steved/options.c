/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/pool/pool.h"
#include "steved/report.h"

#define EXIT_USAGE 2

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
    "  -g, --group=GROUP            who may use it (default: " DEFAULT_GROUP ")\n"
    "  -u, --user=USER              become USER once the file is served\n"
    "  -b, --daemon                 return when the file can be used; log to syslog\n"
    "  -v, --verbose                say each grant, return and reclaim\n"
    "  -h, --help                   show this\n"
    "  -V, --version                show the version\n"
    "\n"
    "stevectl(1) shows and sets what can be changed while it runs.\n";

static const struct option long_options[] = {
    {"device", required_argument, NULL, 'd'},
    {"mount", required_argument, NULL, 'm'},
    {"jobs", required_argument, NULL, 'j'},
    {"min-jobs", required_argument, NULL, 'k'},
    {"per-process-limit", required_argument, NULL, 'l'},
    {"group", required_argument, NULL, 'g'},
    {"user", required_argument, NULL, 'u'},
    {"daemon", no_argument, NULL, 'b'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static unsigned
usable_cpus(void)
{
    cpu_set_t *cpus = CPU_ALLOC(POOL_CAPACITY_MAX);
    size_t size = CPU_ALLOC_SIZE(POOL_CAPACITY_MAX);
    int count = 0;

    if (cpus && sched_getaffinity(0, size, cpus) == 0)
        count = CPU_COUNT_S(size, cpus);
    CPU_FREE(cpus);
    return count > 0 ? (unsigned)count : 1;
}

/* strtoul() alone would take "-1", " 1" and "1x". */
static bool
parse_number(const char *name, const char *text, unsigned min, unsigned max, unsigned *number)
{
    char *end;

    errno = 0;
    unsigned long value = isdigit((unsigned char)text[0]) ? strtoul(text, &end, 10) : 0;
    if (!isdigit((unsigned char)text[0]) || *end || errno || value < min || value > max) {
        report("--%s takes a number from %u to %u, not '%s'", name, min, max, text);
        return false;
    }
    *number = (unsigned)value;
    return true;
}

static bool
parse_device(const char *text, const char **device)
{
    const char *name = strncmp(text, "/dev/", 5) == 0 ? text + 5 : text;
    size_t length = strlen(name);

    if (length == 0 || length > DEVICE_NAME_MAX || name[0] == '.') {
        report("--device takes a name below /dev, not '%s'", text);
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (isalnum((unsigned char)name[i]) || strchr("._-", name[i]))
            continue;
        report("--device takes letters, digits, '.', '_' and '-', not '%s'", text);
        return false;
    }
    *device = name;
    return true;
}

static bool
parse_text(const char *name, const char *text, const char **value)
{
    if (!text[0]) {
        report("--%s takes a name, not ''", name);
        return false;
    }
    *value = text;
    return true;
}

static bool
parse_option(int option, struct options *options)
{
    switch (option) {
    case 'd':
        return parse_device(optarg, &options->device);
    case 'm':
        return parse_text("mount", optarg, &options->mount_dir);
    case 'j':
        return parse_number("jobs", optarg, 1, POOL_CAPACITY_MAX, &options->jobs);
    case 'k':
        return parse_number("min-jobs", optarg, 1, POOL_CAPACITY_MAX, &options->min_jobs);
    case 'l':
        return parse_number("per-process-limit", optarg, 0, POOL_CAPACITY_MAX,
                            &options->per_process_limit);
    case 'g':
        options->group_is_named = true;
        return parse_text("group", optarg, &options->group);
    case 'u':
        return parse_text("user", optarg, &options->user);
    case 'b':
        return options->daemon = true;
    case 'v':
        return options->verbose = true;
    default: /* getopt_long() has said what */
        return false;
    }
}

/* What no single option can tell. */
static bool
check_together(struct options *options, char *const *rest)
{
    if (*rest) {
        report("there is no argument '%s' to be given", *rest);
        return false;
    }
    if (options->device && options->mount_dir) {
        report("--device '%s' and --mount '%s': there can be only one of them", options->device,
               options->mount_dir);
        return false;
    }
    if (options->min_jobs > options->jobs) {
        report("--min-jobs '%u' is more than --jobs '%u'", options->min_jobs, options->jobs);
        return false;
    }
    if (!options->device && !options->mount_dir)
        options->device = DEFAULT_DEVICE;
    return true;
}

bool
options_parse(int argc, char **argv, struct options *options, int *exit_status)
{
    int option;

    *options = (struct options){.group = DEFAULT_GROUP, .jobs = usable_cpus(), .min_jobs = 1};
    *exit_status = EXIT_USAGE;
    argv[0] = program_invocation_short_name; /* how getopt_long() begins its messages */
    while ((option = getopt_long(argc, argv, "d:m:j:k:l:g:u:bvhV", long_options, NULL)) != -1) {
        if (option == 'h' || option == 'V') {
            fputs(option == 'h' ? usage : "steved " PROJECT_VERSION "\n", stdout);
            *exit_status = fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
            return false;
        }
        if (!parse_option(option, options))
            return false;
    }
    return check_together(options, argv + optind);
}
