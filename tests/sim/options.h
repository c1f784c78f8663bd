/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

struct options {
    const char *log; /* of the jobs of a build */
    unsigned nodes, slots, clients, makes, jobs, cpus, links, preprocessors;
    unsigned lag_ms, stay_s, kill_ms, latency_us, seed;
    unsigned idle_max_permille; /* of the farm's slots, because of the pool; 1000: any */
    bool checks_all;
};

/* Ends the program where the user wants help, or something else is wanted than what there is. */
void options_parse(struct options *options, int argc, char **argv);
