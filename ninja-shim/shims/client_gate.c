/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/shims/client_gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/auth.h"
#include "libjobserver/classes/rules_file.h"
#include "libjobserver/client.h"
#include "libjobserver/environment.h"
#include "libjobserver/memory/admission.h"
#include "libjobserver/memory/limits.h"
#include "libjobserver/memory/mode.h"
#include "libjobserver/process.h"
#include "libjobserver/program/cpus.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"
#include "ninja-shim/shims/ours.h"

#define GATE_VARIABLE "NINJA_SHIM_GATE"

/* --- how many jobs --- */

unsigned
client_gate_jobs(const char *flags, unsigned otherwise)
{
    const char *makeflags = flags ? flags : getenv("MAKEFLAGS");
    unsigned jobs = auth_jobs(makeflags);

    if (jobs > 0)
        return jobs;
    if (auth_kind_of(makeflags) == AUTH_NONE)
        return otherwise;
    jobs = environment_wrapper_jobs(getenv("JOBWRAP_JOBS"));
    return jobs > 0 ? jobs : cpus_count();
}

/* --- is it wanted --- */

/* A gate around us has its jobs, and ours, wait already; and two tracers there cannot be. */
static bool
is_traced(bool *by_gate)
{
    static const char *const names[] = {"jobgate", NULL};
    unsigned tracer = 0;

    process_status_number(getpid(), "TracerPid", &tracer);
    *by_gate = tracer > 0 && process_is_called((pid_t)tracer, names);
    return tracer > 0;
}

static bool
is_short(unsigned jobs)
{
    struct memory_limits *limits;
    struct memory_left left;

    if (memory_limits_open("", &limits) < 0)
        return false;
    bool is_known = memory_limits_read(limits, &left) == 0;
    memory_limits_close(limits);
    return is_known &&
           (jobs == CLIENT_GATE_JOBS_UNLIMITED || left.available_bytes / jobs < MEMORY_AMPLE_BYTES);
}

static bool
is_gate_off(void)
{
    const char *gate = getenv(GATE_VARIABLE);

    return gate && strcmp(gate, "none") == 0;
}

static bool
may_be_put_up(enum memory_mode mode)
{
    bool by_gate;

    if (is_gate_off())
        return false;
    bool traced = is_traced(&by_gate);
    return !by_gate && (!traced || mode == MEMORY_MODE_ON);
}

static bool
is_memory_waited_for(unsigned jobs, enum memory_mode mode)
{
    return mode == MEMORY_MODE_ON || (mode == MEMORY_MODE_AUTO && jobs != 1 && is_short(jobs));
}

static bool
has_class(const char *prefix, const char *name)
{
    struct client *client = NULL;
    char *error = NULL;

    const bool is_there = client_open_class(prefix, name, &client, &error) == 0;
    client_close(client);
    free(error);
    return is_there;
}

/* Who takes a token for a job knows nothing of those that the job needs besides. */
static bool
are_classes_waited_for(void)
{
    const char *prefix = environment_classes();
    struct class_rules *rules = prefix ? class_rules_inherit(false) : NULL;
    bool are_there = false;

    for (unsigned i = 0; rules && !are_there && i < class_rules_count(rules); i++)
        are_there =
            class_rules_is_besides(rules, i) && has_class(prefix, class_rules_name(rules, i));
    class_rules_free(rules);
    return are_there;
}

/* --- becoming --- */

static const char *
base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Where nobody has asked for it, nothing is put up by which set-id programs in jobs lose their privilege. */
static const char *
gate_kind(enum memory_mode mode)
{
    const char *wanted = getenv(GATE_VARIABLE);

    if (wanted && *wanted)
        return wanted;
    return mode == MEMORY_MODE_ON ? "auto" : "ptrace";
}

static const char *
memory_word(enum memory_mode mode, bool for_memory)
{
    if (!for_memory)
        return "off";
    return mode == MEMORY_MODE_ON ? "on" : "auto";
}

/* false: no memory. */
static bool
add(char **words, size_t *count, const char *option, const char *value)
{
    return asprintf(&words[(*count)++], "%s%s", option, value) >= 0;
}

/* Its words and what they stand for; NULL: no memory. The program ends soon, in whatever way. */
static char **
command_of(const char *real, const char *client, enum memory_mode mode, bool for_memory,
           char **argv)
{
    const char *const starters[] = {base_name(client), CLIENT_GATE_STARTERS};
    const size_t starter_count = sizeof(starters) / sizeof(starters[0]);
    size_t count = 0, n = 0;

    while (argv[count])
        count++;
    char **command = calloc(6 + starter_count + count + 1, sizeof(*command));
    bool is_made = command && add(command, &n, "jobgate", "") &&
                   add(command, &n, "--no-tokens", "") &&
                   add(command, &n, "--gate=", gate_kind(mode)) &&
                   add(command, &n, "--memory=", memory_word(mode, for_memory)) &&
                   add(command, &n, "--program=", real);
    for (size_t i = 0; is_made && i < starter_count; i++)
        is_made = add(command, &n, "--jobs-of=", starters[i]);
    if (!is_made || !add(command, &n, "--", ""))
        return NULL;
    memcpy(command + n, argv, count * sizeof(*command));
    return command;
}

void
client_gate_become(unsigned jobs, const char *real, const char *client, char **argv)
{
    enum memory_mode mode = MEMORY_MODE_AUTO;

    memory_mode_read_environment(&mode);
    const bool for_memory = is_memory_waited_for(jobs, mode);
    const bool is_wanted = (for_memory || are_classes_waited_for()) && may_be_put_up(mode);
    char *jobgate = is_wanted ? ours_find("jobgate") : NULL;
    if (!jobgate)
        return;
    char **command = command_of(real, client, mode, for_memory, argv);
    int result = command ? program_note_step(real) : -ENOMEM;
    if (result == 0) {
        execv(jobgate, command);
        result = -errno;
    }
    message("run %s: %s", jobgate, strerror(-result));
    exit(EXIT_OURS);
}
