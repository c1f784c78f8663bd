/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The limits on grants (rule 10) as users write them: in options of servers and settings of stevectl. */

#include <stdbool.h>
#include <stddef.h>

#include "libjobserver/protocol.h"

#define THROTTLE_TEXT_SIZE 32

enum { THROTTLE_MEMORY, THROTTLE_LOAD, THROTTLE_RECHECK, THROTTLE_SETTINGS };

struct throttle_setting {
    const char *option; /* of a server, "--min-memory-avail" */
    const char *name;   /* of stevectl */
    unsigned named;     /* STEVED_SET_* */
    const char *wanted; /* what may be written: "a number from ..." */
    /* false: it makes no sense, and nothing has changed. */
    bool (*parse)(const char *text, struct steved_limits *limits);
    /* As it could be parsed again. */
    void (*write)(const struct steved_limits *limits, char text[THROTTLE_TEXT_SIZE]);
};
extern const struct throttle_setting throttle_settings[THROTTLE_SETTINGS];

/* THROTTLE_MEMORY and so on, for a command line: refuses what makes no sense, and ends the program. */
void throttle_parse_option(int setting, const char *text, struct steved_limits *limits);

/* Replaces what is named. 0, or -EINVAL: what is named is out of its range; then nothing has changed. */
int throttle_change(struct steved_limits *limits, const struct steved_settings *settings);
