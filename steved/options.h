/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

#include "libjobserver/classes/spec.h"
#include "libjobserver/protocol.h"

/* The strings live as long as the program. */
struct options {
    const char *device;    /* the name below /dev, without a slash; NULL: a mount */
    const char *mount_dir; /* NULL: a device */
    const char *group;
    bool is_group_named; /* by the user: then it has to exist */
    const char *user;    /* NULL: stay who we are */
    unsigned jobs, min_jobs;
    unsigned per_process_limit, per_user_limit; /* 0: none */
    unsigned idle_timeout_ms;                   /* 0: it serves until it is told to end */
    struct steved_limits limits;
    struct class_specs classes;
    const char *config; /* the file of --config, or the machine's, that was read; NULL: none */
    char *files[2];     /* what the strings of configuration files are part of */
    bool is_daemon;
    bool only_checks;
    bool is_verbose;
};

/* As a name below /dev: of letters, digits, '.', '_' and '-', at most OPTIONS_DEVICE_MAX of them. */
#define OPTIONS_DEVICE_MAX 64
bool options_is_device(const char *name);

/* From the command line, and from the configuration files that it overrides: --config, or the machine's and
 * the user's. Ends the program for --help, --version and bad usage. A program that is executed later with the same argv
 * and environment reads the same, whoever we are and wherever we work by then. */
void options_parse(struct options *options, int argc, char **argv);
