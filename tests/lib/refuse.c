/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * refuse: runs a command whose system calls are refused, as an older kernel or a container would.
 *
 *     refuse EPERM|ENOSYS|EAGAIN CALL[=ARGUMENT][,CALL]... COMMAND [ARGUMENT]...
 *
 * With an ARGUMENT, a number, those alone whose second one is that: of the first one, 64-bit ARM shows a filter what
 * it was before a tracer changed it.
 */

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
error_of(const char *name)
{
    if (strcmp(name, "EPERM") == 0)
        return EPERM;
    return strcmp(name, "EAGAIN") == 0 ? EAGAIN : ENOSYS;
}

static int
add_rules(scmp_filter_ctx filter, int error, char *names)
{
    int result = 0;
    char *name;

    while (result == 0 && (name = strsep(&names, ","))) {
        int call = seccomp_syscall_resolve_name(strsep(&name, "="));
        if (call == __NR_SCMP_ERROR)
            return -EINVAL;
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO((unsigned)error), call, name ? 1 : 0,
                                  SCMP_A1(SCMP_CMP_EQ, name ? strtoul(name, NULL, 0) : 0));
    }
    return result;
}

int
main(int argc, char **argv)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (argc < 4 || !filter)
        return 2;
    int result = add_rules(filter, error_of(argv[1]), argv[2]);
    if (result == 0)
        result = seccomp_load(filter);
    if (result < 0) {
        fprintf(stderr, "refuse: %s: %s\n", argv[2], strerror(-result));
        return 2;
    }
    execvp(argv[3], argv + 3);
    return 127;
}
