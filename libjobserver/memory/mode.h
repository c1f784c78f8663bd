/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Whether jobs wait for memory, as a user says it: by --memory of jobwrap and jobgate, or by JOBWRAP_MEMORY. */

enum memory_mode {
    MEMORY_MODE_AUTO, /* where it can be had and is of use; nothing is said where it cannot */
    MEMORY_MODE_ON,
    MEMORY_MODE_OFF,
};

#define MEMORY_MODE_VARIABLE "JOBWRAP_MEMORY"
#define MEMORY_MODES "auto, on or off"

/* 0, else -EINVAL, and *mode stays. */
int memory_mode_parse(const char *text, enum memory_mode *mode);
/* What the variable says, if anything. Ends the program for what makes no sense. */
void memory_mode_read_environment(enum memory_mode *mode);
