/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parts of a test that run in a process of their own, because they give up privileges or may hang.
 */
#pragma once

#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY 65534
#define HANG_S 100 /* a test that hangs has failed */

/* In a child, where cmocka's assertions mean nothing: says what is wrong and returns it. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "# %s:%d: not true: %s\n", __FILE__, __LINE__, #condition);            \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

/* What the function has returned. */
static inline int
run_in_child(int (*function)(void *argument), void *argument)
{
    int status;

    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(HANG_S);
        int result = function(argument);
        fflush(NULL);
        _exit(result);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* From root to this user, who may still look into its own /proc/self; for nobody else a change. */
static inline bool
become_user(uid_t user)
{
    if (geteuid() != 0)
        return true;
    return setgroups(0, NULL) == 0 && setresgid(user, user, user) == 0 &&
           setresuid(user, user, user) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0;
}
