/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a compiler that is killed cannot tidy up: g++ and its like have files between their passes, cc??????.s and
 * others, where temporary files are. */

#include <sys/types.h>

/* Removes those that the process, which stands still and will never run again, has open. */
void temporaries_remove(pid_t pid);
