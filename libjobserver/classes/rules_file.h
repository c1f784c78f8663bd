/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Where rules of classes come from: --class-rules FILE. */

#include "libjobserver/classes/rules.h"

#define CLASS_RULES_FILE_SIZE_MAX (64 << 10)

/* What is built in, and what the file says. If it cannot be read or is wrong, a line says so and the program ends with
 * EXIT_USAGE. Never NULL; to be freed by class_rules_free(). */
struct class_rules *class_rules_read(const char *path);
/* The same of the file in JOBWRAP_CLASS_RULES, if it is set. It was read when the build began; if it has vanished, or was
 * changed for the worse since, no job fails for it: what is built in is enough. `tells`: a line says so. */
struct class_rules *class_rules_inherit(bool tells);
