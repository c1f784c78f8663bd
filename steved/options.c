/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/pool/pool.h"
#include "libjobserver/program/cpus.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "libjobserver/throttle/settings.h"
#include "steved/config.h"

#define DEFAULT_DEVICE "steve"
#define DEFAULT_GROUP "jobserver"
#define MACHINE_CONFIG "/etc/steved.conf"
#define IDLE_TIMEOUT_MIN_MS 100u
#define IDLE_TIMEOUT_MAX_MS 86400000u
/* In the environment of servers that root has started, though they may be another user by now. */
#define IS_ROOTS "STEVED_IS_ROOTS"

static const char usage[] =
    "Usage: steved [OPTION]...\n"
    "Serve one pool of job tokens to all builds of this machine.\n"
    "\n"
    "  -d, --device=NAME     serve /dev/NAME by CUSE (default: " DEFAULT_DEVICE ")\n"
    "  -m, --mount=DIR       serve DIR/jobserver by FUSE instead\n"
    "  -j, --jobs=N          tokens in the pool (default: the CPUs that it may use)\n"
    "  -k, --min-jobs=N      neither settings nor limits go below this (default: 1)\n"
    "  -l, --per-process-limit=N\n"
    "                        tokens that one client may hold (default: 0, no limit)\n"
    "      --per-user-limit=N\n"
    "                        tokens that one user may hold (default: 0, no limit)\n"
    "      --min-memory-avail=N[%]\n"
    "                        grant no more while less memory is available: MiB, or\n"
    "                        per cent\n"
    "      --load-average=N  grant no more while the load average is N or more\n"
    "      --load-recheck-timeout=S\n"
    "                        believe a load average for S seconds (default: 5)\n"
    "      --class=NAME=N    also serve N tokens of a class, at /dev/steve-NAME or\n"
    "                        DIR/NAME\n"
    "  -g, --group=GROUP     the group that may use it (default: " DEFAULT_GROUP ")\n"
    "  -u, --user=USER       become USER once the file is served\n"
    "      --idle-timeout=S  end when nobody has used it for S seconds; with --mount\n"
    "                        only\n"
    "      --config=FILE     read FILE instead of " MACHINE_CONFIG " and the\n"
    "                        user's file\n"
    "  -b, --daemon          return when the file can be used; log to syslog\n"
    "      --check           tell whether this version could take over from the\n"
    "                        server\n"
    "  -v, --verbose         log each grant, return and reclaim\n"
    "  -h, --help            show this\n"
    "  -V, --version         show the version\n"
    "\n"
    "You can also put options into a file: steved.conf(5). stevectl(1) shows and\n"
    "changes what can be changed while steved runs. See steved(8).\n";

/* Options without a letter. */
enum { CONFIG = 256, CHECK, IDLE_TIMEOUT, PER_USER_LIMIT, CLASS, LIMIT };

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
    {"class", required_argument, NULL, CLASS},
    {"group", required_argument, NULL, 'g'},
    {"user", required_argument, NULL, 'u'},
    {"idle-timeout", required_argument, NULL, IDLE_TIMEOUT},
    {"config", required_argument, NULL, CONFIG},
    {"daemon", no_argument, NULL, 'b'},
    {"check", no_argument, NULL, CHECK},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

/* A configuration file. */
struct source {
    const char *path;
    bool is_machines; /* and we are not the machine's server, but a user's */
    bool may_lack;
    bool may_be_hidden; /* by a HOME that is another user's */
};

/* --- one option --- */

/* Each returns NULL, or what the text should have been. */

static const char *
set_number(unsigned *number, const char *text, unsigned min)
{
    static_assert(POOL_CAPACITY_MAX == 65536, "what is wanted");
    if (usage_parse_number(text, min, POOL_CAPACITY_MAX, number))
        return NULL;
    return min > 0 ? "a number from 1 to 65536" : "a number from 0 to 65536";
}

/* With a class behind it, it fits into a directory entry of devtmpfs and a kernel object's name. */
bool
options_is_device(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const size_t length = strlen(name);

    return length > 0 && length <= OPTIONS_DEVICE_MAX && name[0] != '.' &&
           strspn(name, allowed) == length;
}

static const char *
set_device(const char **device, const char *text)
{
    const char *name = strncmp(text, "/dev/", 5) == 0 ? text + 5 : text;

    *device = name;
    return options_is_device(name) ? NULL
                                   : "a name below /dev of letters, digits, '.', '_' and '-'";
}

static const char *
set_text(const char **to, const char *text)
{
    *to = text;
    return text[0] ? NULL : "a name";
}

static const char *
set_idle_timeout(unsigned *timeout_ms, const char *text)
{
    if (usage_parse_decimal(text, 3, IDLE_TIMEOUT_MIN_MS, IDLE_TIMEOUT_MAX_MS, timeout_ms))
        return NULL;
    return "a number of seconds from 0.1 to 86400";
}

static const char *
set_limit(struct steved_limits *limits, int setting, const char *text)
{
    return throttle_settings[setting].parse(text, limits) ? NULL
                                                          : throttle_settings[setting].wanted;
}

static const char *
set_option(struct options *options, int option, const char *text)
{
    switch (option) {
    case 'd':
        return set_device(&options->device, text);
    case 'm':
        return set_text(&options->mount_dir, text);
    case 'j':
        return set_number(&options->jobs, text, 1);
    case 'k':
        return set_number(&options->min_jobs, text, 1);
    case 'l':
        return set_number(&options->per_process_limit, text, 0);
    case PER_USER_LIMIT:
        return set_number(&options->per_user_limit, text, 0);
    case LIMIT + THROTTLE_MEMORY:
    case LIMIT + THROTTLE_LOAD:
    case LIMIT + THROTTLE_RECHECK:
        return set_limit(&options->limits, option - LIMIT, text);
    case CLASS:
        return class_specs_add(&options->classes, text);
    case IDLE_TIMEOUT:
        return set_idle_timeout(&options->idle_timeout_ms, text);
    case 'g':
        options->is_group_named = true;
        return set_text(&options->group, text);
    case 'u':
        return set_text(&options->user, text);
    case 'b':
        options->is_daemon = true;
        break;
    case CHECK:
        options->only_checks = true;
        break;
    case 'v':
        options->is_verbose = true;
        break;
    }
    return NULL;
}

/* --- files --- */

/* The machine's file says it of the machine's server. */
static bool
is_about_the_machines(int option)
{
    return option == 'd' || option == 'm' || option == 'g' || option == 'u' || option == 'b';
}

static _Noreturn void
refuse_line(const struct source *source, const struct config_line *line, const char *why)
{
    message("%s:%u: '%s': %s", source->path, line->number, line->text, why);
    exit(EXIT_USAGE);
}

static const struct option *
find_option(const char *name)
{
    for (const struct option *option = long_options; option->name; option++)
        if (strcmp(option->name, name) == 0 && option->val != CONFIG && option->val != CHECK &&
            option->val != 'h' && option->val != 'V')
            return option;
    return NULL;
}

static void
set_line(struct options *options, const struct source *source, const struct config_line *line)
{
    const struct option *option = find_option(line->name);

    if (option && source->is_machines && is_about_the_machines(option->val))
        return;
    if (!option)
        refuse_line(source, line, "there is no such option");
    if (option->has_arg && !line->value)
        refuse_line(source, line, "it needs a value");
    if (!option->has_arg && line->value)
        refuse_line(source, line, "it takes no value");
    const char *wanted = set_option(options, option->val, line->value);
    if (!wanted)
        return;
    message("%s:%u: '%s': '%s' is not %s", source->path, line->number, line->text, line->value,
            wanted);
    exit(EXIT_USAGE);
}

static _Noreturn void
refuse_file(const struct source *source, int error)
{
    if (error == -ESPIPE)
        message("read %s: a pipe or a terminal cannot be read again by a server that takes over",
                source->path);
    else
        message_errno(error, "read %s", source->path);
    exit(EXIT_USAGE);
}

static void
read_file(struct options *options, const struct source *source)
{
    char *text, *rest, *words, **kept = &options->files[options->files[0] != NULL];
    struct config_line line = {0};
    int result = config_read(source->path, &text);

    if ((source->may_lack && (result == -ENOENT || result == -ENOTDIR)) ||
        (source->may_be_hidden && result == -EACCES))
        return;
    if (result == 0 && !(*kept = malloc(strlen(text) + 1)))
        result = -ENOMEM;
    if (result < 0)
        refuse_file(source, result);
    rest = text;
    words = *kept;
    while (config_next(&rest, &words, &line))
        set_line(options, source, &line);
    free(text);
}

/* --- the command line --- */

static const char short_options[] = ":d:m:j:k:l:g:u:bvhV";

/* Refuses what is no option, too. NULL: no --config. */
static const char *
find_config(int argc, char **argv)
{
    const char *config = NULL;
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
        if (option == 'h')
            usage_show(usage, EXIT_FAILURE);
        else if (option == 'V')
            usage_show("steved " PROJECT_VERSION "\n", EXIT_FAILURE);
        else if (option == '?' || option == ':')
            usage_refuse_option(option, argv);
        else if (option == CONFIG && !*optarg)
            usage_refuse("--config", optarg, "a name");
        else if (option == CONFIG)
            config = optarg;
    }
    return config;
}

/* A name of what a descriptor of this process is open for (/dev/stdin) becomes its own name. To be freed; NULL: the path
 * stays as it is. */
static char *
absolute_of(const char *path)
{
    if (strncmp(path, "/dev/", 5) == 0)
        return realpath(path, NULL);
    char *directory = path[0] == '/' ? NULL : getcwd(NULL, 0), *absolute = NULL;
    if (directory && asprintf(&absolute, "%s/%s", directory, path) < 0)
        absolute = NULL;
    free(directory);
    return absolute;
}

/* Argument `*word` names a file, `path`, which another process in another directory must find by that name. */
static void
make_absolute(char **word, const char *path)
{
    char *absolute = absolute_of(path), *changed;

    if (absolute && asprintf(&changed, "%.*s%s", (int)(path - *word), *word, absolute) >= 0)
        *word = changed;
    free(absolute);
}

static void
set_from_command_line(struct options *options, int argc, char **argv)
{
    char label[64];
    int kind;

    optind = 1;
    while ((kind = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
        const struct option *option = long_options;
        while (option->val != kind)
            option++;
        const char *wanted = set_option(options, kind, optarg);
        snprintf(label, sizeof(label), "--%s", option->name);
        if (wanted)
            usage_refuse(label, optarg, wanted);
        if (kind == CONFIG)
            make_absolute(&argv[optind - 1], optarg);
    }
    if (!argv[optind])
        return;
    message("unexpected argument '%s' (see --help)", argv[optind]);
    exit(EXIT_USAGE);
}

/* --- all of them --- */

/* Where a source says where to serve, that takes the place of what was said before. */
static void
set_place(struct options *options, const struct options *before, const char *path)
{
    if (options->device && options->mount_dir) {
        message("%s%s--device '%s' and --mount '%s': there can be only one of them", path,
                path[0] ? ": " : "", options->device, options->mount_dir);
        exit(EXIT_USAGE);
    }
    if (options->device || options->mount_dir)
        return;
    options->device = before->device;
    options->mount_dir = before->mount_dir;
}

static void
set_from_file(struct options *options, const struct source *source)
{
    const struct options before = *options;

    options->device = options->mount_dir = NULL;
    read_file(options, source);
    set_place(options, &before, source->path);
}

static void
set_from_files(struct options *options, const char *config)
{
    const bool is_root = geteuid() == 0 || getenv(IS_ROOTS);
    struct source file = {.path = config};

    if (is_root && setenv(IS_ROOTS, "1", 1) < 0) {
        message("start: out of memory");
        exit(EXIT_FAILURE);
    }
    if (config) {
        set_from_file(options, &file);
        options->config = config;
        return;
    }
    file = (struct source){.path = MACHINE_CONFIG, .is_machines = !is_root, .may_lack = true};
    set_from_file(options, &file);
    options->config = options->files[0] ? file.path : NULL;
    char *users = is_root ? NULL : config_user_path();
    if (!users)
        return;
    file = (struct source){.path = users, .may_lack = true, .may_be_hidden = true};
    set_from_file(options, &file);
    free(users);
}

/* What no single option can tell. */
static void
check_together(const struct options *options)
{
    if (options->min_jobs > options->jobs)
        message("--min-jobs '%u' is more than --jobs '%u'", options->min_jobs, options->jobs);
    else if (options->idle_timeout_ms > 0 && !options->mount_dir)
        message("--idle-timeout '%g': that is for --mount only", options->idle_timeout_ms / 1000.0);
    else
        return;
    exit(EXIT_USAGE);
}

void
options_parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){.group = DEFAULT_GROUP,
                                .min_jobs = 1,
                                .limits.load_recheck_ms = STEVED_LOAD_RECHECK_DEFAULT_MS};
    set_from_files(options, find_config(argc, argv));
    const struct options before = *options;
    options->device = options->mount_dir = NULL;
    set_from_command_line(options, argc, argv);
    set_place(options, &before, "");
    if (options->jobs == 0)
        options->jobs = cpus_count();
    check_together(options);
    if (!options->device && !options->mount_dir)
        options->device = DEFAULT_DEVICE;
}
