/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * refuse: runs a command whose system calls are refused, as an older kernel or a container would.
 *
 *     refuse EPERM|ENOSYS CALL[,CALL]... COMMAND [ARGUMENT]...
 */

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int
add_rules(scmp_filter_ctx filter, int error, char *names)
{
    int result = 0;
    char *name;

    while (result == 0 && (name = strsep(&names, ","))) {
        int call = seccomp_syscall_resolve_name(name);
        if (call == __NR_SCMP_ERROR)
            return -EINVAL;
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO((unsigned)error), call, 0);
    }
    return result;
}

int
main(int argc, char **argv)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (argc < 4 || !filter)
        return 2;
    int result = add_rules(filter, strcmp(argv[1], "EPERM") == 0 ? EPERM : ENOSYS, argv[2]);
    if (result == 0)
        result = seccomp_load(filter);
    if (result < 0) {
        fprintf(stderr, "refuse: %s: %s\n", argv[2], strerror(-result));
        return 2;
    }
    execvp(argv[3], argv + 3);
    return 127;
}
