/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * icecc, distcc, recc, sccache: what stands before the real ones on PATH where a build has tokens of a compile farm; and
 * cc, c++, gcc, g++, clang, clang++ where the real ones are links to one of these. What runs it, a job of make or cargo,
 * has a token of the cpu already. The shim takes one of the farm, lends the first to the build while it waits and while
 * the real program runs, and in the end waits until it has one again, holding none of the farm. So farm and machine are
 * both busy, and no more jobs run here than there are tokens. Whoever is killed, the servers see to what it held.
 *
 * For calls that compile nothing, and where nobody has tokens of the farm, it becomes the real program at once.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/classes/rules_file.h"
#include "libjobserver/client.h"
#include "libjobserver/environment.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/ending.h"
#include "libjobserver/program/program.h"
#include "ninja-shim/shims/launcher_command.h"
#include "ninja-shim/shims/launcher_path.h"
#include "ninja-shim/shims/launcher_tell.h"

/* Of a class that has lost all its jobs, its file does not always tell. */
#define LOOK_MS 1000

struct held {
    struct client *client;
    char token;
    char name[STEVED_CLASS_NAME_SIZE];
};

/* The state of the program. */
struct shim {
    char **argv;
    char *real; /* the path of what it runs or becomes */
    struct held held[CLASS_RULES_CLASSES_MAX];
    unsigned held_count;
    struct jobserver jobserver;
    bool may_have_lent;
    sigset_t original; /* the signals that were blocked when we began */
    bool is_child_ignored;
    bool is_interrupted; /* somebody wants us to end */
};

/* Who was called by the path of a shim would look for itself in its directory. */
static _Noreturn void
become_real(const struct shim *shim)
{
    if (shim->argv[0] && strchr(shim->argv[0], '/'))
        shim->argv[0] = shim->real;
    launcher_path_leave();
    program_become_real(shim->real, shim->argv);
}

static void
find_jobserver(struct shim *shim)
{
    char *error = NULL;

    environment_find_inherited(&shim->jobserver, &error);
    free(error);
}

/* --- which classes --- */

/* The command line, behind the path of what really runs. To be freed; NULL: no memory. */
static char **
command_of(const struct shim *shim, char *path)
{
    size_t count = 0;

    while (shim->argv[count])
        count++;
    char **command = calloc(count + 3, sizeof(*command));
    if (!command)
        return NULL;
    command[0] = path;
    command[1] = strdup(program_executed_name());
    for (size_t i = 1; i < count; i++)
        command[i + 1] = shim->argv[i];
    return command;
}

/* Either our name is a launcher's, or that of a compiler which is a link to one. */
static unsigned
classes_of(const struct shim *shim, const struct class_rules *rules)
{
    char *path = realpath(shim->real, NULL), **command = command_of(shim, path);
    unsigned classes = 0;

    if (command && command[1])
        classes = class_rules_needs(rules, command + 1, NULL, NULL).instead;
    if (command && command[1] && classes == 0 && path)
        classes = class_rules_needs(rules, command, NULL, NULL).instead;
    if (command)
        free(command[1]);
    free(command);
    free(path);
    return classes;
}

/* --- the token of the cpu --- */

/* By client_lend() or client_spare(). */
static void
lend(struct shim *shim, int (*how)(struct client *client))
{
    if (shim->jobserver.client && how(shim->jobserver.client) == 1)
        shim->may_have_lent = true;
}

/* false: it is not there yet. Nobody waits for it who holds a token of a class. */
static bool
take_back(struct shim *shim, int timeout_ms)
{
    if (!shim->may_have_lent)
        return true;
    int result = client_take_back(shim->jobserver.client, timeout_ms);
    return result != 0 && result != -EINTR;
}

static void
wait_for_cpu(struct shim *shim)
{
    while (!take_back(shim, -1))
        continue;
}

/* --- those of the classes --- */

static bool
has_jobs(struct held *held)
{
    struct steved_status status;

    return client_get_status(held->client, &status) == 0 && status.jobs > 0;
}

/* false: it has no jobs, or no server any more. */
static bool
acquire(struct shim *shim, struct held *held)
{
    int got = client_try_acquire(held->client, &held->token);

    while (got == 0 || got == -EINTR) {
        if (!has_jobs(held))
            return false;
        lend(shim, client_spare);
        got = client_acquire(held->client, LOOK_MS, &held->token);
    }
    return got == 1;
}

static void
give_back_classes(struct shim *shim)
{
    while (shim->held_count > 0) {
        struct held *held = &shim->held[--shim->held_count];
        client_release(held->client, held->token);
        client_close(held->client);
    }
}

/* false: it cannot be had, and the job is one of the cpu. A class that does not exist is not needed. */
static bool
take_class(struct shim *shim, const char *prefix, const char *name)
{
    struct held *held = &shim->held[shim->held_count];
    char *error = NULL;
    int result = client_open_class(prefix, name, &held->client, &error);

    free(error);
    if (result < 0)
        return true;
    if (acquire(shim, held)) {
        snprintf(held->name, sizeof(held->name), "%s", name);
        shim->held_count++;
        return true;
    }
    client_close(held->client);
    return false;
}

/* In the same order everywhere. */
static bool
take_all(struct shim *shim, const char *prefix, const struct class_rules *rules, unsigned classes)
{
    for (unsigned i = 0; i < class_rules_count(rules); i++)
        if (classes & 1u << i && !take_class(shim, prefix, class_rules_name(rules, i)))
            return false;
    return true;
}

/* Until it has all of them, or they cannot be had and it has its token of the cpu. */
static void
take_classes(struct shim *shim)
{
    char *prefix = environment_classes_around(shim->jobserver.client, false);
    struct class_rules *rules = class_rules_inherit(false);
    unsigned classes = classes_of(shim, rules);

    while (prefix && !take_all(shim, prefix, rules, classes)) {
        give_back_classes(shim);
        if (take_back(shim, LOOK_MS))
            break;
    }
    class_rules_free(rules);
    free(prefix);
}

/* Who is to end does not wait: then the server is owed one. */
static void
end_loan(struct shim *shim, int wait_status)
{
    if (!shim->is_interrupted && WIFEXITED(wait_status))
        wait_for_cpu(shim);
    environment_close(&shim->jobserver);
}

/* --- the real program --- */

static const int forwarded[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM};

static void
take_signals(struct shim *shim, sigset_t *taken)
{
    sigemptyset(taken);
    sigaddset(taken, SIGCHLD);
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
        if (!ending_is_ignored(forwarded[i]))
            sigaddset(taken, forwarded[i]);
    shim->is_child_ignored = ending_is_ignored(SIGCHLD);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_BLOCK, taken, &shim->original);
}

static void
give_back_signals(const struct shim *shim)
{
    if (shim->is_child_ignored)
        signal(SIGCHLD, SIG_IGN);
    sigprocmask(SIG_SETMASK, &shim->original, NULL);
}

/* If we are killed it would go on, on tokens that others have by then. */
static _Noreturn void
become_child(const struct shim *shim, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        raise(SIGKILL);
    give_back_signals(shim);
    /* It may run a compiler on PATH, before which we stand, too. */
    environment_set_class_gate(true);
    become_real(shim);
}

/* What comes from the terminal comes to the child as well. */
static int
wait_for(struct shim *shim, pid_t child, const sigset_t *taken)
{
    siginfo_t signal_info;
    int status;

    while (waitpid(child, &status, WNOHANG) != child) {
        int number = sigwaitinfo(taken, &signal_info);
        if (number <= 0 || number == SIGCHLD)
            continue;
        shim->is_interrupted = shim->is_interrupted || number == SIGHUP || number == SIGINT ||
                               number == SIGQUIT || number == SIGTERM;
        if (signal_info.si_code <= 0)
            kill(child, number);
    }
    return status;
}

static int
run(struct shim *shim)
{
    const pid_t self = getpid();
    sigset_t taken;

    take_signals(shim, &taken);
    pid_t child = fork();
    if (child == 0)
        become_child(shim, self);
    if (child < 0) { /* then it runs as a job of the cpu */
        give_back_signals(shim);
        give_back_classes(shim);
        end_loan(shim, 0);
        become_real(shim);
    }
    struct client *server = shim->jobserver.client;
    const pid_t job = launcher_tell_moved(server, shim->held[0].client, shim->held[0].name);
    int status = wait_for(shim, child, &taken);
    launcher_tell_back(server, job);
    give_back_signals(shim);
    return status;
}

int
main(int argc, char **argv)
{
    struct shim shim = {.argv = argv};

    program_invocation_short_name = (char[]){"launcher-shim"};
    descriptors_guard_standard();
    shim.real = program_need_real(program_executed_name(), NULL);
    if (program_shim_hops() > 0 || program_is_asked() || !environment_classes() ||
        environment_has_class_gate() || !launcher_compiles(argv))
        become_real(&shim);
    find_jobserver(&shim);
    take_classes(&shim);
    if (shim.held_count == 0) {
        wait_for_cpu(&shim);
        become_real(&shim);
    }
    lend(&shim, client_lend);
    int status = run(&shim);
    give_back_classes(&shim);
    end_loan(&shim, status);
    free(shim.real);
    return ending_like(status);
}
