/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/options.h"

#include <getopt.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>

#include "libjobserver/pool/pool.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"

static const char usage[] =
    "Usage: farm-sim [OPTION]... LOG\n"
    "Simulate builds that share a machine and a compile farm, with the real pool and the real\n"
    "queue of the gate. LOG tells what the jobs of a build took; see tests/sim/jobs.txt.\n"
    "\n"
    "  --nodes N           nodes of the farm (default: 100)\n"
    "  --slots N           slots of each node (default: 4)\n"
    "  --clients N         builds at the same time (default: 10)\n"
    "  --makes N           so many of them are makes, the others ninjas (default: half)\n"
    "  --jobs N            jobs of all builds, taken from LOG by chance (default: 20000)\n"
    "  --cpus N            processors at home, and tokens for them (default: 64)\n"
    "  --links N           tokens of the class link (default: 4)\n"
    "  --preprocessors N   preprocessors at once (default: as many as processors)\n"
    "  --lag SECONDS       how late a node is seen to leave or return (default: 4)\n"
    "  --stay SECONDS      how long a node stays, on average; 0: for ever (default: 300)\n"
    "  --kill SECONDS      between launchers that are killed, on average, while the farm is\n"
    "                      full; 0: none is killed (default: 1)\n"
    "  --latency US        how long an answer of the server takes to be noticed, in\n"
    "                      microseconds (default: 200)\n"
    "  --seed N            the same seed gives the same run (default: 1)\n"
    "  --check             check the whole pool after each request\n"
    "  --idle-max N        fail if the pool leaves more than N thousandths of the farm's slots\n"
    "                      idle while somebody waits\n"
    "  --help              show this\n"
    "\n"
    "The exit status is 1 if the accounts of the pool are wrong or a job waits for ever.\n";

enum {
    NODES = 256,
    SLOTS,
    CLIENTS,
    MAKES,
    JOBS,
    CPUS,
    LINKS,
    PREPROCESSORS,
    LAG,
    STAY,
    KILL,
    LATENCY,
    SEED,
    CHECK,
    IDLE_MAX,
    HELP
};

struct number_option {
    const char *name, *wanted;
    unsigned *number;
    unsigned min, max, decimals;
};

static void
read_number(const struct number_option *option)
{
    if (!usage_parse_decimal(optarg, option->decimals, option->min, option->max, option->number))
        usage_refuse(option->name, optarg, option->wanted);
}

#define COUNT(field, from, to)                                                                     \
    {                                                                                              \
        .name = "--" #field, .wanted = "a number from " #from " to " #to,                          \
        .number = &options->field, .min = (from), .max = (to)                                      \
    }

static void
set_number(struct options *options, int option)
{
    const char *seconds = "a number of seconds up to 100000";
    const struct number_option numbers[] = {
        [0] = COUNT(nodes, 0, 1000),
        [SLOTS - NODES] = COUNT(slots, 1, 60),
        [CLIENTS - NODES] = COUNT(clients, 1, 100),
        [MAKES - NODES] = COUNT(makes, 0, 100),
        [JOBS - NODES] = COUNT(jobs, 1, 1000000),
        [CPUS - NODES] = COUNT(cpus, 1, 1000),
        [LINKS - NODES] = COUNT(links, 0, 1000),
        [PREPROCESSORS - NODES] = COUNT(preprocessors, 1, 1000),
        [LAG - NODES] = {"--lag", seconds, &options->lag_ms, 0, 100000000, 3},
        [STAY - NODES] = {"--stay", seconds, &options->stay_s, 0, 100000, 0},
        [KILL - NODES] = {"--kill", seconds, &options->kill_ms, 0, 100000000, 3},
        [LATENCY - NODES] = {"--latency", "a number of microseconds up to 1000000",
                             &options->latency_us, 0, 1000000, 0},
        [SEED - NODES] = {"--seed", "a number", &options->seed, 0, UINT32_MAX, 0},
    };

    if (option == IDLE_MAX)
        read_number(&(struct number_option){"--idle-max", "a number from 0 to 1000",
                                            &options->idle_max_permille, 0, 1000, 0});
    else
        read_number(&numbers[option - NODES]);
}

static _Noreturn void
refuse(const char *what)
{
    message("%s (see --help)", what);
    exit(EXIT_USAGE);
}

static void
set_option(struct options *options, int option, char **argv)
{
    if (option == HELP)
        usage_show(usage, EXIT_FAILURE);
    if (option == '?' || option == ':')
        usage_refuse_option(option, argv);
    if (option == CHECK)
        options->checks_all = true;
    else
        set_number(options, option);
}

/* What is not an option, and what follows from others where nothing is said. */
static void
set_rest(struct options *options, int argc, char **argv)
{
    if (optind + 1 != argc)
        refuse("one log of jobs is wanted");
    options->log = argv[optind];
    if (options->makes == UINT_MAX)
        options->makes = options->clients / 2;
    if (options->makes > options->clients)
        refuse("--makes: there are fewer clients");
    if (options->jobs < options->clients)
        refuse("--jobs: each client has one at least");
    if (options->preprocessors == 0)
        options->preprocessors = options->cpus;
}

void
options_parse(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {{"nodes", required_argument, NULL, NODES},
                                          {"slots", required_argument, NULL, SLOTS},
                                          {"clients", required_argument, NULL, CLIENTS},
                                          {"makes", required_argument, NULL, MAKES},
                                          {"jobs", required_argument, NULL, JOBS},
                                          {"cpus", required_argument, NULL, CPUS},
                                          {"links", required_argument, NULL, LINKS},
                                          {"preprocessors", required_argument, NULL, PREPROCESSORS},
                                          {"lag", required_argument, NULL, LAG},
                                          {"stay", required_argument, NULL, STAY},
                                          {"kill", required_argument, NULL, KILL},
                                          {"latency", required_argument, NULL, LATENCY},
                                          {"seed", required_argument, NULL, SEED},
                                          {"check", no_argument, NULL, CHECK},
                                          {"idle-max", required_argument, NULL, IDLE_MAX},
                                          {"help", no_argument, NULL, HELP},
                                          {NULL, 0, NULL, 0}};
    int option;

    *options = (struct options){.nodes = 100,
                                .slots = 4,
                                .clients = 10,
                                .makes = UINT_MAX,
                                .jobs = 20000,
                                .cpus = 64,
                                .links = 4,
                                .lag_ms = 4000,
                                .stay_s = 300,
                                .kill_ms = 1000,
                                .latency_us = 200,
                                .seed = 1,
                                .idle_max_permille = 1000};
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", known, NULL)) != -1)
        set_option(options, option, argv);
    set_rest(options, argc, argv);
}
