/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* For a program that stands around another one, and ends as that has ended. */

#include <stdbool.h>

/* Is the signal ignored, as by nohup(1)? Then nobody ends by it, and it must stay out of what is blocked: the kernel
 * queues a blocked signal even if it is ignored. */
bool ending_is_ignored(int signal_number);
/* Ends this process by the signal, without a core dump of its own. */
_Noreturn void ending_by_signal(int signal_number);
/* `wait_status`, as waitpid(2) tells it: returns what to exit with, or ends this process by the same signal. */
int ending_like(int wait_status);
