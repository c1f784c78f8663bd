/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "jobwrap/keeper.h"
#include "jobwrap/keeper_link.h"
#include "jobwrap/tree.h"
#include "libjobserver/process.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/packet.h"

#define GRACE_MS 2000
/* When processes come and go while we look at them, nobody tells when it is worth another look. */
#define RESCAN_MS 50

struct state {
    struct keeper *keeper;
    int child_fd;  /* signalfd */
    pid_t command; /* 0: not launched, or reaped */
    pid_t jobwrap;
};

static void
tell(struct state *state, struct keeper_message message, int pidfd)
{
    /* If jobwrap is dead, the next receive says so. */
    packet_send(state->keeper->socket, &message, sizeof(message), pidfd);
}

/* --- the command --- */

static int
open_fifo(const struct state *state, const struct keeper_message *message)
{
    struct private_fifo *fifo = state->keeper->fifo;
    int result = message->is_pipe ? private_fifo_choose_pipe(fifo, state->jobwrap, message->value)
                                  : private_fifo_choose(fifo, message->value);

    if (result == 0)
        fifo->fd = open(fifo->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    return result == 0 && fifo->fd < 0 ? -errno : result;
}

static void
launch(struct state *state, const struct keeper_message *message)
{
    struct keeper *keeper = state->keeper;
    pid_t pid = 0;
    int result = open_fifo(state, message);

    if (result == 0)
        result = launch_command(keeper->launch, keeper->fifo->path, &pid);
    descriptors_drop_inherited();
    message_end();
    if (result != 0) {
        tell(state, (struct keeper_message){.type = KEEPER_LAUNCH_FAILED, .value = result}, -1);
        return;
    }
    state->command = pid;
    int pidfd = process_open_pidfd(pid);
    tell(state, (struct keeper_message){.type = KEEPER_LAUNCHED, .pid = pid}, pidfd);
    if (pidfd >= 0)
        close(pidfd);
    private_fifo_sweep(keeper->fifo);
}

/* If somebody has continued the command alone: jobwrap had stopped with it. After fg it runs already,
 * and a SIGCONT that is late would undo the next ^Z. */
static void
continue_jobwrap(const struct state *state)
{
    struct process_info command, jobwrap;

    if (process_info(state->command, &command) == 0 && command.state != 'T' &&
        process_info(state->jobwrap, &jobwrap) == 0 && jobwrap.state == 'T')
        kill(state->jobwrap, SIGCONT);
}

/* All that have ended but the command; false: there are no children any more. */
static bool
reap_orphans(struct state *state)
{
    unsigned reaped;
    bool has_children = tree_reap(state->command, &reaped);

    if (reaped > 0)
        tell(state, (struct keeper_message){.type = KEEPER_ORPHAN_ENDED}, -1);
    return has_children;
}

/* Looks after the command; its end is told when all others that have ended are reaped. */
static void
watch_command(struct state *state)
{
    int status;
    pid_t pid = waitpid(state->command, &status, WNOHANG | WUNTRACED | WCONTINUED);

    if (pid != state->command)
        return;
    if (WIFSTOPPED(status)) {
        tell(state, (struct keeper_message){.type = KEEPER_STOPPED, .value = WSTOPSIG(status)}, -1);
    } else if (WIFCONTINUED(status)) {
        continue_jobwrap(state);
    } else {
        state->command = 0;
        bool empty = !reap_orphans(state);
        tell(state,
             (struct keeper_message){
                 .type = KEEPER_ENDED, .value = status, .pid = pid, .is_empty = empty},
             -1);
    }
}

static void
on_children(struct state *state)
{
    struct signalfd_siginfo info;

    while (read(state->child_fd, &info, sizeof(info)) > 0)
        continue;
    reap_orphans(state);
    if (state->command)
        watch_command(state);
    reap_orphans(state);
}

/* --- the end --- */

static _Noreturn void
leave(struct state *state)
{
    if (state->keeper->ledger)
        ledger_repay_all_but(state->keeper->ledger, 0);
    private_fifo_remove(state->keeper->fifo);
    _exit(0);
}

/* Until a child of ours has ended, or a token lies in the FIFO (fd -1: nobody asks). */
static void
wait_for_change(int child_fd, int fifo_fd, int timeout_ms)
{
    struct pollfd watched[] = {{.fd = child_fd, .events = POLLIN},
                               {.fd = fifo_fd, .events = POLLIN}};
    struct signalfd_siginfo info;

    poll(watched, 2, timeout_ms);
    while (read(child_fd, &info, sizeof(info)) > 0)
        continue;
}

void
keeper_hold(struct ledger *ledger, struct private_fifo *fifo, pid_t top, unsigned most,
            int child_fd)
{
    pid_t session = getsid(0);
    unsigned hold = most;

    for (;;) {
        bool children = tree_reap(0, NULL);
        int living = children ? tree_count_threads(top, 0, session) : 0;

        /* A make that runs on puts its tokens there; nobody is to take them again. What a killed
         * one held is free when the jobs are gone that it left to us. */
        while (most > 0 && private_fifo_take(fifo))
            most--;
        /* A make alone, whose jobs have just ended, has not put back their tokens yet: those do not count
         * against what is held for its next job. */
        if (living >= 0 && hold > (unsigned)living)
            hold = (unsigned)living;
        if (hold > most)
            hold = most;
        ledger_repay_all_but(ledger, hold);
        if (hold == 0)
            return;
        wait_for_change(child_fd, fifo->fd, living < 0 ? RESCAN_MS : -1);
    }
}

/* ^Z in a shell that goes on is no longer meant for us. */
static void
stay_in_background(void)
{
    signal(SIGTSTP, SIG_IGN);
    signal(SIGTTIN, SIG_IGN);
}

static _Noreturn void
finish(struct state *state, int hold)
{
    struct keeper_message done = {.type = KEEPER_FINISHED, .value = hold};
    struct keeper *keeper = state->keeper;

    if (!keeper->ledger || hold == 0)
        leave(state);
    stay_in_background();
    ledger_repay_all_but(keeper->ledger, (unsigned)hold);
    tell(state, done, -1);
    close(keeper->socket);
    keeper_hold(keeper->ledger, keeper->fifo, getpid(), (unsigned)hold, state->child_fd);
    leave(state);
}

/* jobwrap was killed: so is its build, and nothing is returned before it is gone. */
static _Noreturn void
end_tree(struct state *state)
{
    int64_t deadline_ns = clock_now_ns() + GRACE_MS * NS_PER_MS;

    stay_in_background();
    tree_end(getpid(), SIGTERM);
    while (tree_reap(0, NULL)) {
        int64_t left_ms = (deadline_ns - clock_now_ns()) / NS_PER_MS;
        if (left_ms <= 0)
            tree_end(getpid(), SIGKILL);
        wait_for_change(state->child_fd, -1, left_ms > 0 ? (int)left_ms : RESCAN_MS);
    }
    leave(state);
}

/* --- its life --- */

static void
join_again(struct state *state, int file)
{
    struct client *client = state->keeper->ledger->client;
    int result = client_replace_file(client, file);

    if (result == 0)
        result = client_join_group(client);
    tell(state, (struct keeper_message){.type = KEEPER_JOINED, .value = result}, -1);
}

static void
on_message(struct state *state)
{
    struct keeper_message message;
    int file, result = packet_receive(state->keeper->socket, &message, sizeof(message), &file);

    if (result == 1 && message.type == KEEPER_PARENT && file >= 0) {
        join_again(state, file);
        return;
    }
    if (file >= 0)
        close(file);
    if (result == 0)
        end_tree(state);
    if (result < 0)
        return;
    if (message.type == KEEPER_LAUNCH)
        launch(state, &message);
    else if (message.type == KEEPER_FINISH)
        finish(state, message.value);
}

static _Noreturn void
run(struct keeper *keeper, pid_t jobwrap)
{
    struct state state = {.keeper = keeper, .jobwrap = jobwrap};
    int joined = 0;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_NAME, "jobwrap-keeper");
    /* If somebody has stopped us, jobwrap's death is still seen. */
    prctl(PR_SET_PDEATHSIG, SIGCONT);
    state.child_fd = signals_open_children();
    if (state.child_fd < 0)
        joined = state.child_fd;
    else if (keeper->ledger)
        joined = client_join_group(keeper->ledger->client);
    tell(&state, (struct keeper_message){.type = KEEPER_READY, .value = joined}, -1);
    for (;;) {
        struct pollfd ready[] = {{.fd = state.child_fd, .events = POLLIN},
                                 {.fd = keeper->socket, .events = POLLIN}};
        if (poll(ready, 2, -1) < 0 && errno != EINTR)
            end_tree(&state);
        if (ready[0].revents)
            on_children(&state);
        if (ready[1].revents)
            on_message(&state);
    }
}

int
keeper_start(struct keeper *keeper)
{
    int ends[2];
    pid_t jobwrap = getpid();

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    keeper->pid = fork();
    if (keeper->pid == 0) {
        close(ends[0]);
        close(keeper->launch->signals->fd);
        keeper->socket = ends[1];
        run(keeper, jobwrap);
    }
    int result = keeper->pid < 0 ? -errno : 0;
    close(ends[1]);
    if (result == 0)
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
    keeper->socket = ends[0];
    return result;
}
