/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of kinds of gates: whoever adds one adds it here, and nothing else changes. */
#include "ninja-shim/gate/kinds.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ninja-shim/gate/ptrace/gate.h"
#include "ninja-shim/gate/seccomp/gate.h"

const struct gate_kind *const gate_kinds[] = {&ptrace_gate_kind, &seccomp_gate_kind, NULL};

int
gate_kinds_parse(const char *text, const struct gate_kind **kind)
{
    if (strcmp(text, "auto") == 0) {
        *kind = NULL;
        return 0;
    }
    for (unsigned i = 0; gate_kinds[i]; i++) {
        if (strcmp(text, gate_kinds[i]->name) == 0) {
            *kind = gate_kinds[i];
            return 0;
        }
    }
    return -EINVAL;
}

void
gate_kinds_list(char list[GATE_KINDS_LIST_SIZE], const char *between, const char *last,
                const char *more)
{
    int length = snprintf(list, GATE_KINDS_LIST_SIZE, "auto");

    for (unsigned i = 0; gate_kinds[i]; i++) {
        bool is_last = !gate_kinds[i + 1] && !more;
        length += snprintf(list + length, GATE_KINDS_LIST_SIZE - (size_t)length, "%s%s",
                           is_last ? last : between, gate_kinds[i]->name);
    }
    if (more)
        snprintf(list + length, GATE_KINDS_LIST_SIZE - (size_t)length, "%s%s", last, more);
}
