/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stevefarm/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/classes/spec.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "stevefarm/answers.h"

static const char usage[] =
    "Usage: stevefarm [OPTION]... --class NAME ENGINE\n"
    "Give a class of steved as many tokens as a compile farm has slots.\n"
    "\n"
    "ENGINE is one of\n"
    "  icecc:HOST[:PORT]         the scheduler of icecc (default: port 8766)\n"
    "  distcc[:HOST[:PORT],...]  distccd --stats\n"
    "                            (default: the hosts of DISTCC_HOSTS, port 3633)\n"
    "  sccache[:http://HOST[:PORT]]\n"
    "                            the scheduler of sccache-dist\n"
    "                            (default: 127.0.0.1, port 10600)\n"
    "  fixed:N                   N slots, for as long as stevefarm runs\n"
    "\n"
    "  -c, --class=NAME      the class\n"
    "  -m, --max=N           never more jobs than N (default: 65536)\n"
    "  -n, --name=NAME       the name under which the scheduler knows this machine\n"
    "                        (default: its host name)\n"
    "  -r, --reserve=N       leave N slots to others (default: 0)\n"
    "  -s, --server=PATH     the file of steved\n"
    "                        (default: the user's steved, or /dev/steve)\n"
    "  -h, --help            show this\n"
    "  -V, --version         show the version\n"
    "\n"
    "While the farm does not answer, and after stevefarm has ended, the class has no\n"
    "jobs. See stevefarm(8).\n";

static unsigned
number_of(const char *option, const char *text)
{
    unsigned number;

    if (!usage_parse_number(text, 0, SLOTS_MAX, &number))
        usage_refuse(option, text, "a number from 0 to 65536");
    return number;
}

static void
set_option(struct options *options, int option, char **argv)
{
    switch (option) {
    case 'c':
        if (!class_name_is_valid(optarg))
            usage_refuse("--class", optarg, "the name of a class");
        options->class_name = optarg;
        break;
    case 'm':
        options->max = number_of("--max", optarg);
        break;
    case 'n':
        if (!optarg[0] || strlen(optarg) >= sizeof(options->name) || strpbrk(optarg, " \n"))
            usage_refuse("--name", optarg, "the name of a machine");
        snprintf(options->name, sizeof(options->name), "%s", optarg);
        break;
    case 'r':
        options->reserve = number_of("--reserve", optarg);
        break;
    case 's':
        options->server = optarg;
        break;
    case 'h':
        usage_show(usage, EXIT_FAILURE);
    case 'V':
        usage_show("stevefarm " PROJECT_VERSION "\n", EXIT_FAILURE);
    default:
        usage_refuse_option(option, argv);
    }
}

static _Noreturn void
refuse(const char *what)
{
    message("%s (see --help)", what);
    exit(EXIT_USAGE);
}

void
options_parse(struct options *options, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"class", required_argument, NULL, 'c'},  {"max", required_argument, NULL, 'm'},
        {"name", required_argument, NULL, 'n'},   {"reserve", required_argument, NULL, 'r'},
        {"server", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},      {NULL, 0, NULL, 0}};
    int option;

    *options = (struct options){.max = SLOTS_MAX};
    gethostname(options->name, sizeof(options->name) - 1);
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":c:m:n:r:s:hV", long_options, NULL)) != -1)
        set_option(options, option, argv);
    if (optind == argc)
        refuse("an engine is missing");
    const char *wanted = engine_parse(&options->engine, argv[optind], getenv("DISTCC_HOSTS"));
    if (wanted)
        usage_refuse("ENGINE", argv[optind], wanted);
    if (optind + 1 < argc) {
        message("'%s': only one engine can be followed (see --help)", argv[optind + 1]);
        exit(EXIT_USAGE);
    }
    if (!options->class_name)
        refuse("--class is missing");
}
