/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cargo: what stands before the real one on PATH. cargo is a client of the jobserver itself; where memory may not
 * suffice for all of its jobs, these wait for it at a gate. Else the shim becomes the real one at once. See
 * ninja-shim(1).
 */
#include <errno.h>
#include <stdlib.h>

#include "libjobserver/environment.h"
#include "libjobserver/program/cpus.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"
#include "ninja-shim/shims/cargo_options.h"
#include "ninja-shim/shims/client_gate.h"

/* As cargo does, but that it knows its configuration, too. */
static unsigned
jobs_of(const struct cargo_options *options)
{
    const char *configured = getenv("CARGO_BUILD_JOBS");
    unsigned jobs;

    if (options->jobs > 0)
        return options->jobs;
    if (!configured || !usage_parse_number(configured, 1, 65536, &jobs))
        jobs = cpus_count();
    return client_gate_jobs(getenv("CARGO_MAKEFLAGS"), jobs);
}

int
main(int argc, char **argv)
{
    struct cargo_options options;

    program_invocation_short_name = (char[]){"cargo-shim"};
    descriptors_guard_standard();
    char *real = program_need_real("cargo", "CARGO_SHIM_REAL");
    if (program_shim_hops() > 0 || program_is_asked())
        program_become_real(real, argv);
    cargo_options_read(&options, argv);
    /* The gate below which it is knows nothing of its jobs. */
    environment_set_class_gate(false);
    if (options.builds)
        client_gate_become(jobs_of(&options), real, real, argv);
    program_become_real(real, argv);
}
