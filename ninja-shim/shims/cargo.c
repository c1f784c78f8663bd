/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cargo: what stands before the real one on PATH. cargo is a client of the jobserver itself; where memory may not
 * suffice for all of its jobs, these wait for it at a gate. Else the shim becomes the real one at once. See
 * ninja-shim(1).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/environment.h"
#include "libjobserver/program/cpus.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"
#include "ninja-shim/shims/cargo_options.h"
#include "ninja-shim/shims/memory_gate.h"

static char *
find_real(void)
{
    char *real, *error;
    int result = program_find_real("cargo", "CARGO_SHIM_REAL", &real, &error);

    if (result == 0)
        return real;
    message("%s", error ? error : strerror(-result));
    exit(usage_exec_status(result));
}

static _Noreturn void
become_real(const char *real, char **argv)
{
    int result = program_exec_real(real, argv);

    message("run %s: %s", real, strerror(-result));
    exit(usage_exec_status(result));
}

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
    return memory_gate_jobs(getenv("CARGO_MAKEFLAGS"), jobs);
}

/* Returns if its jobs need not wait for memory, or cannot. */
static void
become_gated(const struct cargo_options *options, const char *real, char **argv)
{
    int result = memory_gate_become(jobs_of(options), real, real, argv);

    if (result == 0)
        return;
    message("run jobgate: %s", strerror(-result));
    exit(EXIT_OURS);
}

int
main(int argc, char **argv)
{
    struct cargo_options options;

    program_invocation_short_name = (char[]){"cargo-shim"};
    descriptors_guard_standard();
    char *real = find_real();
    if (program_shim_hops() > 0 || program_is_asked())
        become_real(real, argv);
    cargo_options_read(&options, argv);
    /* The gate below which it is knows nothing of its jobs. */
    environment_set_class_gate(false);
    if (options.builds)
        become_gated(&options, real, argv);
    become_real(real, argv);
}
