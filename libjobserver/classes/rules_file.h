/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Where rules of classes come from: --class-rules FILE. */

#include "libjobserver/classes/rules.h"

#define CLASS_RULES_FILE_SIZE_MAX (64 << 10)

/* What is built in, and what the file says: `path`, where that is NULL the one in JOBWRAP_CLASS_RULES, if it is set. If the
 * file cannot be read or is wrong, a line says so and the program ends with EXIT_USAGE. Never NULL; to be freed by
 * class_rules_free(). */
struct class_rules *class_rules_read(const char *path);
