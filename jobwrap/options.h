/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The command line of jobwrap. */

#include <stdbool.h>

#include "libjobserver/classes/spec.h"
#include "libjobserver/implicit.h"
#include "libjobserver/protocol.h"

#define JOBS_MAX 65536u

enum style { STYLE_AUTO, STYLE_FIFO, STYLE_PIPE };

struct options {
    unsigned jobs;      /* 0: not given */
    bool is_root;       /* --parent=none */
    const char *parent; /* NULL: find one */
    bool is_parent_given;
    bool is_alone;   /* JOBWRAP_PARENT=none: there is none but the one around us */
    unsigned weight; /* 0: not given */
    struct steved_limits limits;
    struct class_specs classes;
    const char *class_rules; /* a file that can be read; NULL: not given */
    enum style style;
    enum implicit_policy implicit;
    const char *memory; /* as JOBWRAP_MEMORY has it; NULL: not given */
    bool wants_report;
    const char *report_file; /* NULL: stderr */
    bool wants_page;         /* the report is one of HTML */
    const char *trace_file;  /* NULL: none is wanted */
    bool wants_shims;
    const char *group;
    bool is_group_named; /* by the user, who wants to hear if there is none */
    bool is_verbose;
    bool wants_history; /* no command is run, and these are the words of --memory-history */
    char **command;
};

/* Are they wanted one by one? */
static inline bool
options_shows_jobs(const struct options *options)
{
    return options->trace_file || options->wants_page;
}

/* Ends the program for --help, --version and bad usage. */
void options_parse(struct options *options, int argc, char **argv);
