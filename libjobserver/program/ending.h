/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* For a program that stands around another one, and ends as that has ended. */

/* Ends this process by the signal, without a core dump of its own. */
_Noreturn void ending_by_signal(int signal_number);
/* `wait_status`, as waitpid(2) tells it: returns what to exit with, or ends this process by the same signal. */
int ending_like(int wait_status);
