/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The classes that a server is told to have: --class NAME=N. Pure. */

#include <stdbool.h>

#include "libjobserver/protocol.h"

struct class_spec {
    char name[STEVED_CLASS_NAME_SIZE];
    unsigned jobs; /* may be 0 */
};

struct class_specs {
    unsigned count;
    struct class_spec specs[STEVED_CLASSES_MAX];
};

/* A lower-case letter, and then a-z, 0-9, '_' and '-', 31 in all at most; and none of the names that a server's
 * directory has for something else. */
bool class_name_is_valid(const char *name);
/* Adds "NAME=N", or sets what NAME had before. NULL, or what the text is not. */
const char *class_specs_add(struct class_specs *specs, const char *text);
