/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NINJA_SHIM_GATE_CHOICE_H
#define NINJA_SHIM_GATE_CHOICE_H

/* What jobs are made to wait by: --gate of jobgate, NINJA_SHIM_GATE. */
enum gate_choice {
    GATE_AUTO, /* the first of the next two that is allowed here */
    GATE_PTRACE,
    GATE_SECCOMP,
    GATE_NONE, /* nothing */
};

/* "auto", "ptrace", "seccomp", "none": 0, else -EINVAL and *choice stays. */
int gate_choice_parse(const char *text, enum gate_choice *choice);

#endif
