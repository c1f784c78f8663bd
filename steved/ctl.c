/* SPDX-License-Identifier: GPL-2.0-or-later */

/* stevectl: shows and sets what a running steved does. */
#include "steved/ctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/environment.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"

static const struct {
    const char *name;
    int (*run)(struct ctl_server *server, int argc, char **argv);
    const char *arguments, *description;
} commands[] = {
    {"status", ctl_status, "[--json] [-w[SECONDS]]", "show the pool and who uses it"},
    {"watch", ctl_watch, "[--json]", "show what happens, one line for each event"},
    {"get", ctl_get, "NAME", "print one number; CLASS.NAME: of a class"},
    {"set", ctl_set, "NAME=VALUE...", "change settings, all or none; CLASS.jobs=N"},
    {"top", ctl_top, "", "show and change builds on a full screen"},
    {"metrics", ctl_metrics, "", "print all numbers for Prometheus"},
    {"pause", ctl_pause, "PID", "pause the build of this process"},
    {"continue", ctl_continue, "PID", "continue it"},
    {"weight", ctl_weight, "PID WEIGHT", "change a build's share (at first 100)"},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void
print_usage(void)
{
    puts("Usage: stevectl [--server PATH] COMMAND\n"
         "Show and change what a running steved or jobwrap does.\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-8s %-22s %s\n", commands[i].name, commands[i].arguments,
               commands[i].description);
    puts("\n"
         "  -s, --server=PATH     the file of the server (default: the jobwrap around it,\n"
         "                        the user's steved, or /dev/steve)\n"
         "  -h, --help            show this\n"
         "  -V, --version         show the version\n"
         "\n"
         "See stevectl(1).");
}

static int
check_kind(const struct ctl_server *server)
{
    if (client_kind(server->client) == CLIENT_SERVER)
        return EXIT_SUCCESS;
    message("open %s: not a steved", client_name(server->client));
    return EXIT_FAILURE;
}

static int
connect_path(struct ctl_server *server, const char *path)
{
    char *error = NULL;

    if (client_open_path(path, &server->client, &error) < 0) {
        message("%s", error ? error : "out of memory");
        free(error);
        return EXIT_FAILURE;
    }
    return check_kind(server);
}

/* The jobwrap around us, or what it, or a make, has named; else the user's steved, or the system's. */
static struct client *
find_server(void)
{
    struct jobserver found;
    struct client *client = NULL;
    char *error = NULL;

    if (environment_find_inherited(&found, &error) == 1 &&
        client_kind(found.client) == CLIENT_SERVER) {
        client = found.client;
        found.client = NULL;
    }
    free(error);
    environment_close(&found);
    return client ? client : environment_find_server();
}

int
ctl_connect(struct ctl_server *server)
{
    if (server->path)
        return connect_path(server, server->path);
    server->client = find_server();
    if (server->client)
        return check_kind(server);
    message("find a server: none is running; name its file with --server PATH");
    return EXIT_FAILURE;
}

int
ctl_connect_class(struct ctl_server *server, const char *name)
{
    struct client *client = NULL;
    char *error = NULL;

    if (ctl_connect(server) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    char *prefix = environment_classes_around(server->client, server->path != NULL);
    int result = prefix ? client_open_class(prefix, name, &client, &error) : -ENOENT;
    free(prefix);
    if (result == 0)
        client_replace(server->client, client);
    else if (result == -ENOENT)
        message("%s: there is no class '%s'", client_name(server->client), name);
    else
        message("%s", error ? error : strerror(-result));
    free(error);
    return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

void
ctl_find_classes_around(const struct ctl_server *server, struct steved_classes *classes)
{
    char *prefix = classes->count == 0
                       ? environment_classes_around(server->client, server->path != NULL)
                       : NULL;

    if (prefix)
        environment_list_classes(prefix, classes);
    free(prefix);
}

static int
run_command(struct ctl_server *server, int argc, char **argv)
{
    if (argc == 0) {
        message("a command is missing: --help lists them");
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(argv[0], commands[i].name) == 0)
            return commands[i].run(server, argc - 1, argv + 1);
    message("there is no command '%s': --help lists them", argv[0]);
    return EXIT_USAGE;
}

static int
close_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    message("write the output: %s", strerror(errno));
    return EXIT_FAILURE;
}

/* '+' keeps the options of the commands for them. */
static int
parse_options(int argc, char **argv, struct ctl_server *server)
{
    static const struct option options[] = {{"server", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "+:s:hV", options, NULL)) != -1) {
        switch (option) {
        case 's':
            server->path = optarg;
            break;
        case 'h':
            print_usage();
            return close_output(EXIT_SUCCESS);
        case 'V':
            puts("stevectl " PROJECT_VERSION);
            return close_output(EXIT_SUCCESS);
        default:
            usage_refuse_option(option, argv);
        }
    }
    return -1;
}

int
main(int argc, char **argv)
{
    struct ctl_server server = {0};

    descriptors_guard_standard();
    int status = parse_options(argc, argv, &server);

    if (status >= 0)
        return status;
    status = close_output(run_command(&server, argc - optind, argv + optind));
    if (server.client)
        client_close(server.client);
    return status;
}
