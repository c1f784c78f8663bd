/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/shims/ninja_gate.h"

#include <stdlib.h>
#include <string.h>

#include "libjobserver/environment.h"
#include "libjobserver/program/cpus.h"
#include "libjobserver/program/limits.h"
#include "libjobserver/program/usage.h"
#include "ninja-shim/gate/classes.h"
#include "ninja-shim/gate/kinds.h"

static _Noreturn void
refuse_gate(const char *text)
{
    char known[GATE_KINDS_LIST_SIZE];

    gate_kinds_list(known, ", ", " or ", "none");
    usage_refuse("NINJA_SHIM_GATE", text, known);
}

void
ninja_gate_read_environment(const struct gate_kind **gate, bool *is_off,
                            enum implicit_policy *implicit)
{
    const char *gate_text = getenv("NINJA_SHIM_GATE");
    const char *implicit_text = getenv("NINJA_SHIM_IMPLICIT");

    if (gate_text && strcmp(gate_text, "none") == 0)
        *is_off = true;
    else if (gate_text && *gate_text && gate_kinds_parse(gate_text, gate) < 0)
        refuse_gate(gate_text);
    if (implicit_text && *implicit_text && implicit_parse(implicit_text, implicit) < 0)
        usage_refuse("NINJA_SHIM_IMPLICIT", implicit_text, "auto, inherit or acquire");
}

void
ninja_gate_measure(const struct gate_plan *plan, struct ninja_jobs *jobs)
{
    *jobs = (struct ninja_jobs){
        .cpus = cpus_count(),
        .pool = environment_total_jobs(plan->client, getenv("MAKEFLAGS"), getenv("JOBWRAP_JOBS")),
        .descriptors = limits_descriptors(),
        .wait_for_memory = plan->memory != MEMORY_MODE_OFF,
    };
    /* Of a FIFO nobody says more than what lies in it now. */
    if (jobs->pool == 0 && client_count_free(plan->client, &jobs->pool) == 0)
        jobs->pool += plan->rules.is_implicit_paid ? 1 : 0;
    jobs->pool += gate_classes_jobs(plan);
    jobs->processes_left = limits_processes_left(ninja_jobs_processes_wanted(jobs));
}

unsigned
ninja_gate_jobs(const struct gate_plan *plan)
{
    struct ninja_jobs jobs;

    ninja_gate_measure(plan, &jobs);
    return ninja_jobs_narrow(&jobs);
}
