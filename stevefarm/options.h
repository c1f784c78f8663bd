/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "stevefarm/engine.h"

struct options {
    const char *class_name, *server; /* server: NULL: the one that is found */
    char name[256];                  /* as which engines know this machine */
    unsigned max, reserve;
    struct engine engine;
};

/* Ends the program after --help, --version and what makes no sense. */
void options_parse(struct options *options, int argc, char **argv);
