/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What clients are called, remembered for some seconds: to read a command line costs a process. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libjobserver/protocol.h"

struct top_label {
    int32_t pid;
    uint64_t start_ticks;
    int64_t read_ns;
    char *text;
    bool is_used; /* since top_labels_sweep() */
};

/* {0} at first; top_labels_clear() frees what is in it. */
struct top_labels {
    struct top_label *known;
    size_t count;
};

/* "COMMAND in DIRECTORY", printable; valid until the next call. NULL: out of memory. *patience_ms as of
 * process_label(). */
const char *top_labels_text(struct top_labels *labels, const struct steved_client *client,
                            int *patience_ms, int64_t now_ns);
/* Forgets those that nobody has asked for since the last time. */
void top_labels_sweep(struct top_labels *labels);
void top_labels_clear(struct top_labels *labels);
