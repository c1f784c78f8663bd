/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The command line of jobgate. */

#include <stdbool.h>
#include <stddef.h>

#include "libjobserver/implicit.h"
#include "libjobserver/memory/mode.h"
#include "ninja-shim/gate/kind.h"

struct jobgate_options {
    const char **names; /* --jobs-of, one at least, then NULL. Lives as long as the program */
    size_t name_count;
    const char *server; /* a path, "fifo:PATH" or "R,W"; NULL: find one */
    enum implicit_policy implicit;
    const struct gate_kind *gate; /* NULL: the first that is allowed here */
    enum memory_mode memory;
    const char *class_rules; /* a file; NULL: not given */
    bool needs_no_tokens;    /* jobs wait for memory alone */
    const char *program; /* what is executed, whatever the command's first word is; NULL: that */
    char **command;
};

/* Ends the program for --help, --version and bad usage. */
void jobgate_options_parse(struct jobgate_options *options, int argc, char **argv);
