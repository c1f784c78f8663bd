/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "jobwrap/command.h"
#include "libjobserver/process.h"

void
command_signal(const struct command *command, int signal_number)
{
    if (command->pid && !command->has_ended)
        process_signal(command->pid, command->pidfd, signal_number);
}

/* The process group in the terminal's foreground, and the terminal; -1: there is none. */
static pid_t
open_terminal(int *terminal)
{
    *terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    return *terminal < 0 ? -1 : tcgetpgrp(*terminal);
}

void
command_stopped(struct command *command)
{
    struct process_info info;
    int terminal;

    /* After ^Z and fg the news of the stop may come when all is running again. */
    if (process_info(command->pid, &info) < 0 || (info.state != 'T' && info.state != 't'))
        return;
    pid_t foreground = open_terminal(&terminal);
    command->has_given_terminal = foreground == info.process_group && foreground != getpgrp();
    if (terminal >= 0)
        close(terminal);
    /* Not SIGSTOP: where no shell is that could continue us, the kernel ignores this one. */
    kill(getpid(), SIGTSTP);
}

/* An interactive shell below us has a process group of its own, which the shell above us cannot
 * know; SIGTTOU is blocked. true: it has the terminal again, and is continued. */
static bool
return_terminal(struct command *command)
{
    struct process_info info;
    bool is_continued = false;
    int terminal;

    if (open_terminal(&terminal) == getpgrp() && process_info(command->pid, &info) == 0) {
        tcsetpgrp(terminal, info.process_group);
        is_continued = kill(-info.process_group, SIGCONT) == 0;
    }
    if (terminal >= 0)
        close(terminal);
    command->has_given_terminal = false;
    return is_continued;
}

void
command_continue(struct command *command)
{
    /* Once only: a second SIGCONT would be late, and undo the next stop. */
    if (command->has_given_terminal && return_terminal(command))
        return;
    command_signal(command, SIGCONT);
}
