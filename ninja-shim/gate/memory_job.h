/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the gate knows of a job's memory: see memory.h. */

#include <stdbool.h>
#include <stdint.h>

#include "libjobserver/memory/admission.h"
#include "libjobserver/memory/command.h"
#include "libjobserver/memory/expectation.h"

/* Of one job at the gate. */
struct gate_job_memory {
    struct memory_job job;
    struct memory_key key;
    bool is_looked_up; /* what it runs has been: then these are known, as far as they can be */
    bool has_key;
    bool may_run_twice; /* which job.may_run_twice says only while there is a copy to be killed */
    enum memory_source source; /* of what is expected */
    int64_t started_ns;
    bool has_failed;      /* or nobody knows how it ended */
    bool was_told_to_end; /* by a signal that the user, or a build that ends, sends */
};
