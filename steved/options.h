/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

#include "libjobserver/protocol.h"

/* The strings are the command line's, or constants. */
struct options {
    const char *device;    /* the name below /dev, without a slash; NULL: a mount */
    const char *mount_dir; /* NULL: a device */
    const char *group;
    bool is_group_named; /* on the command line: then it has to exist */
    const char *user;    /* NULL: stay who we are */
    unsigned jobs, min_jobs;
    unsigned per_process_limit, per_user_limit; /* 0: none */
    struct steved_limits limits;
    bool is_daemon;
    bool only_checks;
    bool is_verbose;
};

/* Ends the program for --help, --version and bad usage. */
void options_parse(struct options *options, int argc, char **argv);
