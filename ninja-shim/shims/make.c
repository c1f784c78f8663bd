/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * make, gmake, remake: what stands before the real one on PATH. To a make older than 4.4 a `fifo:` in
 * MAKEFLAGS is a fatal error: the shim opens that jobserver, and names it by two descriptors instead. It
 * does so as well where MAKEFLAGS names descriptors that are closed here, and JOBWRAP_FIFO a path. With
 * a -jN on its command line a make leaves the jobserver: the shim becomes `jobwrap -jN make` without it.
 * Then, or where there is nothing to mend, it becomes the real one; by way of jobgate, where its jobs may have to wait
 * for memory. See ninja-shim(1).
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/auth.h"
#include "libjobserver/environment.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"
#include "ninja-shim/shims/client_gate.h"
#include "ninja-shim/shims/make_jobserver.h"
#include "ninja-shim/shims/ours.h"

#define REAL_VARIABLE (strcmp(SHIM_NAME, "remake") == 0 ? "REMAKE_SHIM_REAL" : "MAKE_SHIM_REAL")

/* The state of the program. */
struct shim {
    char *real; /* the path of what it becomes */
    struct make_jobserver jobserver;
};

/* --- what there is --- */

/* Who looks for a gmake before a make finds the shim, even where no gmake is installed. A GNU make
 * does not mind the name. */
static bool
find_make_for_gmake(struct shim *shim)
{
    char answer[64], *error;

    if (program_find_real("make", REAL_VARIABLE, &shim->real, &error) < 0) {
        free(error);
        return false;
    }
    /* Who is asked asks nobody. */
    if (program_is_asked() ||
        (program_ask_version(shim->real, "make", answer, sizeof(answer)) == 0 &&
         strncmp(answer, "GNU Make", strlen("GNU Make")) == 0))
        return true;
    free(shim->real);
    return false;
}

static void
find_real(struct shim *shim)
{
    if (strcmp(SHIM_NAME, "gmake") == 0) {
        char *error;
        int result = program_find_real(SHIM_NAME, REAL_VARIABLE, &shim->real, &error);

        if (result == 0)
            return;
        free(error);
        if (result == -ENOENT && find_make_for_gmake(shim))
            return;
    }
    shim->real = program_need_real(SHIM_NAME, REAL_VARIABLE);
}

/* What configure scripts ask for; a make says it before it looks at its jobserver. */
static bool
only_informs(int argc, char **argv)
{
    static const char *const options[] = {"--version", "-v", "--help", "-h"};

    for (size_t i = 0; argc == 2 && i < sizeof(options) / sizeof(*options); i++)
        if (strcmp(argv[1], options[i]) == 0)
            return true;
    return false;
}

/* --- an explicit -jN, with which make would leave the jobserver --- */

static _Noreturn void
fail(int error)
{
    message_errno(error, "start");
    exit(EXIT_OURS);
}

/* false: nothing to cap. */
static bool
wants_cap(char **argv, struct auth_command *command)
{
    int result = auth_read_command(argv, command);

    if (result < 0)
        fail(result);
    return command->has_jobs && command->jobs != 1 && command->builds && command->makes_sense &&
           !command->names_jobserver;
}

/* Returns the command line that is left. -j1 serialises a makefile that is broken, in the slot that is
 * paid for. */
static char **
cap(struct make_jobserver *jobserver, char **argv)
{
    struct auth_command command;

    if (!wants_cap(argv, &command) || !ours_caps("MAKE_SHIM_CAP") ||
        !make_jobserver_can_open(jobserver))
        return argv;
    char **rest = auth_drop_jobs(argv);
    if (!rest)
        fail(ENOMEM);
    if (command.jobs == 0) {
        make_jobserver_rejoin(jobserver);
        return rest;
    }
    make_jobserver_become_capped(jobserver, command.jobs, rest);
    free(rest);
    return argv;
}

/* --- memory --- */

/* With one job after the other none waits for another's memory. */
static unsigned
jobs_at_once(const struct auth_command *command)
{
    if (command->has_jobs)
        return command->jobs > 0 ? command->jobs : CLIENT_GATE_JOBS_UNLIMITED;
    return client_gate_jobs(NULL, 1);
}

/* Jobs wait for memory, if that may be short. Returns if they need not, or cannot. */
static void
become_gated(const struct shim *shim, char **argv)
{
    struct auth_command command;

    if (auth_read_command(argv, &command) < 0 || !command.builds || !command.makes_sense)
        return;
    client_gate_become(jobs_at_once(&command), shim->real, shim->real, argv);
}

int
main(int argc, char **argv)
{
    struct shim shim = {.real = NULL};

    program_invocation_short_name = (char[]){"make-shim"};
    descriptors_guard_standard();
    find_real(&shim);
    if (program_shim_hops() > 0 || program_is_asked() || only_informs(argc, argv))
        program_become_real(shim.real, argv);
    /* The gate below which it is knows nothing of its jobs. */
    environment_set_class_gate(false);
    if (make_jobserver_find(&shim.jobserver)) {
        argv = cap(&shim.jobserver, argv);
        make_jobserver_adapt(&shim.jobserver, shim.real);
    }
    become_gated(&shim, argv);
    program_become_real(shim.real, argv);
}
