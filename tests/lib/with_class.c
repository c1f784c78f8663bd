/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * with-class NAME COMMAND...: waits for a token of this class, as JOBWRAP_CLASSES tells of it, runs the command, and
 * returns the token. Exits with its status; 3: there is no such class. with-class --slots NAME: prints what the class
 * says to who claims an implicit slot and to who pays for one.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/client.h"
#include "libjobserver/environment.h"
#include "libjobserver/program/message.h"

#define NO_CLASS 3

static struct client *
open_class(const char *name)
{
    const char *prefix = environment_classes();
    struct client *client = NULL;
    char *error = NULL;
    int result = prefix ? client_open_class(prefix, name, &client, &error) : -ENOENT;

    if (result == 0)
        return client;
    message("class %s: %s", name, error ? error : strerror(-result));
    exit(result == -ENOENT && !error ? NO_CLASS : EXIT_FAILURE);
}

static int
ask_for_slots(struct client *client)
{
    struct steved_claim claim;
    char token;

    int claimed = client_claim_implicit(client, &claim);
    int taken = client_try_acquire(client, &token);
    printf("claim: %s\n", strerror(-claimed));
    printf("pay, with %d: %s\n", taken, strerror(-client_pay_implicit(client)));
    client_close(client);
    return EXIT_SUCCESS;
}

static int
run(char **command)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        execvp(command[0], command);
        message_errno(errno, "run %s", command[0]);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return EXIT_FAILURE;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
    char token;

    if (argc < 3)
        return 2;
    if (strcmp(argv[1], "--slots") == 0)
        return ask_for_slots(open_class(argv[2]));
    struct client *client = open_class(argv[1]);
    int result = client_acquire(client, -1, &token);
    if (result != 1) {
        message_errno(result, "acquire");
        return EXIT_FAILURE;
    }
    int status = run(argv + 2);
    result = client_release(client, token);
    if (result < 0)
        message_errno(result, "release");
    client_close(client);
    return result < 0 ? EXIT_FAILURE : status;
}
