/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jobwrap/events.h"
#include "jobwrap/keeper_link.h"
#include "jobwrap/tree.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/packet.h"
#include "libjobserver/program/usage.h"

/* --- children --- */

static void
end_command(struct jobwrap *jobwrap, int status, bool tree_empty)
{
    jobwrap->command.has_ended = true;
    jobwrap->command.status = status;
    jobwrap->is_tree_empty = tree_empty;
}

/* The keeper is dead, and we are what it was. */
static void
reap_tree(struct jobwrap *jobwrap)
{
    struct command *command = &jobwrap->command;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        bool is_command = pid == command->pid && !command->has_ended;
        if (!is_command && !WIFSTOPPED(status))
            relay_orphan_ended(&jobwrap->relay);
        else if (is_command && WIFSTOPPED(status))
            command_stopped(command);
        else if (is_command)
            end_command(jobwrap, status, false);
    }
    if (pid < 0 && errno == ECHILD)
        jobwrap->is_tree_empty = true;
}

/* Who stops the keeper alone stops what it knows of the command and its end, and not the build. */
static void
look_at_keeper(struct jobwrap *jobwrap)
{
    const pid_t keeper = jobwrap->keeper.pid;
    int status;

    if (waitpid(keeper, &status, WNOHANG | WUNTRACED) != keeper || !WIFSTOPPED(status))
        return;
    kill(keeper, SIGCONT);
    if (!jobwrap->has_continued_keeper && WSTOPSIG(status) == SIGSTOP)
        message("the keeper (pid %d) was stopped; continuing it", keeper);
    jobwrap->has_continued_keeper |= WSTOPSIG(status) == SIGSTOP;
}

/* While the keeper lives it is our only child. */
static void
on_child(struct jobwrap *jobwrap)
{
    if (jobwrap->is_keeper_alive)
        look_at_keeper(jobwrap);
    else
        reap_tree(jobwrap);
}

/* --- the keeper --- */

static void
on_keeper_gone(struct jobwrap *jobwrap)
{
    jobwrap->is_keeper_alive = false;
    event_free(jobwrap->keeper_event);
    jobwrap->keeper_event = NULL;
    close(jobwrap->keeper.socket);
    if (jobwrap->command.pid && !jobwrap->command.has_ended)
        message("the keeper (pid %d) was killed; going on without it", jobwrap->keeper.pid);
    next_parent_joined(&jobwrap->next_parent, 0);
    reap_tree(jobwrap);
}

static void
on_launched(struct jobwrap *jobwrap, pid_t pid, int pidfd)
{
    jobwrap->command.pid = pid;
    jobwrap->command.pidfd = pidfd;
    relay_command(&jobwrap->relay, pid, jobwrap->launch.uses_descriptors);
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&jobwrap->early, number) == 1)
            command_signal(&jobwrap->command, number);
}

static void
on_message(struct jobwrap *jobwrap, const struct keeper_message *message, int pidfd)
{
    switch (message->type) {
    case KEEPER_READY:
        jobwrap->is_keeper_ready = true;
        jobwrap->keeper_joined = message->value;
        break;
    case KEEPER_LAUNCHED:
        on_launched(jobwrap, message->pid, pidfd);
        return;
    case KEEPER_LAUNCH_FAILED:
        jobwrap->launch_error = message->value;
        end_command(jobwrap, 0, true);
        break;
    case KEEPER_ORPHAN_ENDED:
        relay_orphan_ended(&jobwrap->relay);
        break;
    case KEEPER_STOPPED:
        command_stopped(&jobwrap->command);
        break;
    case KEEPER_ENDED:
        end_command(jobwrap, message->value, message->is_empty);
        break;
    case KEEPER_FINISHED:
        jobwrap->keeper_holds = (unsigned)message->value;
        break;
    case KEEPER_JOINED:
        next_parent_joined(&jobwrap->next_parent, message->value);
        break;
    case KEEPER_LAUNCH:
    case KEEPER_FINISH:
    case KEEPER_PARENT:
        break;
    }
    if (pidfd >= 0)
        close(pidfd);
}

static void
on_keeper(evutil_socket_t fd, short what, void *argument)
{
    struct jobwrap *jobwrap = argument;
    struct keeper_message message;
    int pidfd, result;

    while ((result = packet_receive(fd, &message, sizeof(message), &pidfd)) == 1)
        on_message(jobwrap, &message, pidfd);
    if (result == 0)
        on_keeper_gone(jobwrap);
}

/* --- signals --- */

/* Who stops the process group and then continues jobwrap alone means all of it; a keeper that stays
 * stopped could not tell of the command's end. */
static void
continue_all(struct jobwrap *jobwrap)
{
    if (jobwrap->command.pid)
        command_continue(&jobwrap->command);
    else if (jobwrap->is_launching)
        sigaddset(&jobwrap->early, SIGCONT);
    if (jobwrap->is_keeper_alive)
        kill(jobwrap->keeper.pid, SIGCONT);
}

/* What the command has left behind is waited for: it gets what would have ended the command. */
static void
end_left_jobs(const struct jobwrap *jobwrap, const struct signalfd_siginfo *info)
{
    int number = (int)info->ssi_signo;

    if (info->ssi_code != SI_KERNEL &&
        (number == SIGHUP || number == SIGINT || number == SIGQUIT || number == SIGTERM))
        tree_end(jobwrap->is_keeper_alive ? jobwrap->keeper.pid : getpid(), number);
}

static void
on_signal_for_command(struct jobwrap *jobwrap, const struct signalfd_siginfo *info)
{
    int number = (int)info->ssi_signo;

    if (number == SIGCONT) {
        continue_all(jobwrap);
    } else if (!jobwrap->is_launching) {
        if (number == SIGWINCH)
            return;
        jobwrap->has_ended = true;
        jobwrap->end_signal = number;
    } else if (jobwrap->command.has_ended) {
        end_left_jobs(jobwrap, info);
    } else if (!jobwrap->command.pid) {
        sigaddset(&jobwrap->early, number);
    } else if (info->ssi_code != SI_KERNEL) {
        /* What the terminal sends, the command has got too. */
        command_signal(&jobwrap->command, number);
    }
}

static void
on_signal(evutil_socket_t fd, short what, void *argument)
{
    struct jobwrap *jobwrap = argument;
    struct signalfd_siginfo info;

    while (read(fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            on_child(jobwrap);
        else
            on_signal_for_command(jobwrap, &info);
    }
}

/* --- the loop --- */

/* libevent gives up by exit(1) where it cannot get a descriptor. The keeper cleans up after us. */
static void
on_fatal(int error)
{
    message("start the event loop: %s", strerror(errno));
    _exit(EXIT_OURS);
}

static void
on_log(int severity, const char *text)
{
}

static bool
listen_to(struct jobwrap *jobwrap, struct event_base *base)
{
    jobwrap->signal_event =
        event_new(base, jobwrap->signals.fd, EV_READ | EV_PERSIST, on_signal, jobwrap);
    jobwrap->keeper_event =
        event_new(base, jobwrap->keeper.socket, EV_READ | EV_PERSIST, on_keeper, jobwrap);
    return jobwrap->signal_event && jobwrap->keeper_event &&
           event_add(jobwrap->signal_event, NULL) == 0 &&
           event_add(jobwrap->keeper_event, NULL) == 0;
}

int
events_open(struct jobwrap *jobwrap)
{
    event_set_fatal_callback(on_fatal);
    event_set_log_callback(on_log);
    sigemptyset(&jobwrap->early);
    jobwrap->base = event_base_new();
    if (jobwrap->base && listen_to(jobwrap, jobwrap->base))
        return 0;
    /* A loop that hears nothing would not wait. */
    events_close(jobwrap);
    return -ENOMEM;
}

void
events_close(struct jobwrap *jobwrap)
{
    if (jobwrap->signal_event)
        event_free(jobwrap->signal_event);
    if (jobwrap->keeper_event)
        event_free(jobwrap->keeper_event);
    if (jobwrap->base)
        event_base_free(jobwrap->base);
    jobwrap->signal_event = jobwrap->keeper_event = NULL;
    jobwrap->base = NULL;
}

void
events_serve(struct jobwrap *jobwrap)
{
    event_base_loop(jobwrap->base, EVLOOP_ONCE);
}
