/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/gate/choice.h"

#include <errno.h>
#include <string.h>

int
gate_choice_parse(const char *text, enum gate_choice *choice)
{
    if (strcmp(text, "auto") == 0)
        *choice = GATE_AUTO;
    else if (strcmp(text, "ptrace") == 0)
        *choice = GATE_PTRACE;
    else if (strcmp(text, "seccomp") == 0)
        *choice = GATE_SECCOMP;
    else if (strcmp(text, "none") == 0)
        *choice = GATE_NONE;
    else
        return -EINVAL;
    return 0;
}
