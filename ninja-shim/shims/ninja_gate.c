/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/shims/ninja_gate.h"

#include <stdlib.h>
#include <string.h>

#include "libjobserver/environment.h"
#include "libjobserver/program/cpus.h"
#include "libjobserver/program/usage.h"
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

/* ninja's own default. */
static unsigned
default_jobs(void)
{
    unsigned n = cpus_count();

    return n < 2 ? 2 : n == 2 ? 3 : n + 2;
}

/* No more than can run, or a failure leaves many that wait; but enough to use all that there is. */
unsigned
ninja_gate_jobs(struct client *client, bool is_implicit_paid)
{
    unsigned own = default_jobs();
    unsigned pool = environment_total_jobs(client, getenv("MAKEFLAGS"), getenv("JOBWRAP_JOBS"));

    /* Of a FIFO nobody says more than what lies in it now. */
    if (pool == 0 && client_count_free(client, &pool) == 0)
        pool += is_implicit_paid ? 1 : 0;
    return pool >= own ? pool + 1 : own;
}
