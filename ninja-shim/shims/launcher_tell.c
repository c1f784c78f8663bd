/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/shims/launcher_tell.h"

#include <stdbool.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "ninja-shim/shims/client_gate.h"

#define ANCESTORS_MAX 64

static bool
is_read(struct client *server)
{
    struct steved_told told = {0};

    return server && client_tell(server, &told) == 0 && told.is_read;
}

/* What the gate takes for the job's first process: the child of the nearest make or cargo. 0: there is none. */
static pid_t
find_job(void)
{
    static const char *const starters[] = {CLIENT_GATE_STARTERS, NULL};
    struct process_info ancestors[ANCESTORS_MAX];
    const size_t count = process_ancestors(getpid(), ancestors, ANCESTORS_MAX);
    pid_t job = getpid();

    for (size_t i = 0; i < count; i++) {
        if (process_is_called(ancestors[i].pid, starters))
            return job;
        job = ancestors[i].pid;
    }
    return 0;
}

static void
tell(struct client *server, pid_t process, unsigned job_class)
{
    struct steved_told told = {.count = 1};

    told.events[0] = (struct steved_event){
        .kind = STEVED_EVENT_JOB_MOVED, .process = process, .job_class = job_class};
    (void)client_tell(server, &told);
}

pid_t
launcher_tell_moved(struct client *server, struct client *of_class, const char *class_name)
{
    const unsigned job_class = is_read(server) ? client_class_number(of_class, class_name) : 0;
    const pid_t process = job_class > 0 ? find_job() : 0;

    if (process > 0)
        tell(server, process, job_class);
    return process;
}

void
launcher_tell_back(struct client *server, pid_t process)
{
    if (process > 0)
        tell(server, process, 0);
}
