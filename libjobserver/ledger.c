/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "libjobserver/ledger.h"

/* What an unprivileged process may ask for (fs.pipe-max-size). A spliced byte takes a slot, that is
 * a page, however short it is. */
#define PIPE_BYTES_MAX (1 << 20)

/* Up to Linux 6.5 splice(2) between pipes sends no inotify event, so that the relay of a jobwrap
 * around us would not see that its float is gone. */
static bool
splice_is_silent(void)
{
    struct utsname name;
    int major, minor;

    return uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
           (major < 6 || (major == 6 && minor < 6));
}

static int
add_pipe(struct ledger *ledger)
{
    int *ends = ledger->pipes[ledger->n_pipes];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    ledger->n_pipes++;
    if (client_kind(ledger->client) != CLIENT_FIFO) {
        ledger->capacity += (unsigned)fcntl(ends[0], F_GETPIPE_SZ);
        return 0;
    }
    ledger->capacity += (unsigned)(PIPE_BYTES_MAX / sysconf(_SC_PAGESIZE));
    return 0;
}

/* Only when it is full: a user's pipes share a number of pages (pipe(7), pipe-user-pages-soft), and
 * when twenty jobwraps had reserved all that they might need, no pipe of his would have more than two
 * slots. 0 or a negative errno. */
static int
grow(int fd)
{
    int bytes = fcntl(fd, F_GETPIPE_SZ);

    if (bytes < 0)
        return -errno;
    if (bytes >= PIPE_BYTES_MAX)
        return -ENOSPC;
    return fcntl(fd, F_SETPIPE_SZ, 2 * bytes) < 0 ? -errno : 0;
}

int
ledger_open(struct ledger *ledger, struct client *client, unsigned wanted)
{
    *ledger = (struct ledger){.client = client};
    ledger->announce = client_kind(client) == CLIENT_FIFO && splice_is_silent();
    do {
        int result = add_pipe(ledger);
        if (result < 0)
            return ledger->n_pipes ? 0 : result;
    } while (ledger->capacity < wanted && ledger->n_pipes < LEDGER_PIPES);
    return 0;
}

static unsigned
count_bytes(int fd)
{
    int bytes = 0;

    return ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (unsigned)bytes : 0;
}

unsigned
ledger_borrowed(const struct ledger *ledger)
{
    unsigned borrowed = 0;

    for (unsigned i = 0; i < ledger->n_pipes; i++)
        borrowed += count_bytes(ledger->pipes[i][0]);
    return borrowed;
}

/* An open is an event that inotify does tell. */
static void
announce(const struct ledger *ledger)
{
    char path[sizeof("/proc/self/fd/2147483647")];

    if (!ledger->announce)
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", client_fd(ledger->client));
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
}

/* -ENOSPC: this pipe is full. */
static int
borrow_into(struct ledger *ledger, int write_fd)
{
    char token;

    if (client_kind(ledger->client) == CLIENT_FIFO) {
        int result;
        do
            result = client_splice_to(ledger->client, write_fd);
        while (result == -ENOSPC && grow(write_fd) == 0);
        return result;
    }
    int result = client_try_acquire(ledger->client, &token);
    if (result <= 0)
        return result;
    if (write(write_fd, &token, 1) == 1)
        return 1;
    client_release(ledger->client, token);
    return -ENOSPC;
}

int
ledger_borrow(struct ledger *ledger)
{
    int result = -ENOSPC;

    for (unsigned i = 0; i < ledger->n_pipes && result == -ENOSPC; i++)
        result = borrow_into(ledger, ledger->pipes[i][1]);
    if (result == 1)
        announce(ledger);
    return result;
}

static int
repay_from(struct ledger *ledger, int read_fd)
{
    char token;

    if (client_kind(ledger->client) == CLIENT_FIFO)
        return client_splice_from(ledger->client, read_fd);
    if (read(read_fd, &token, 1) != 1)
        return 0;
    int result = client_release(ledger->client, token);
    return result < 0 ? result : 1;
}

int
ledger_repay(struct ledger *ledger)
{
    int result = 0;

    for (unsigned i = 0; i < ledger->n_pipes && result == 0; i++)
        if (count_bytes(ledger->pipes[i][0]) > 0)
            result = repay_from(ledger, ledger->pipes[i][0]);
    if (result == 1)
        announce(ledger);
    return result;
}

void
ledger_repay_all_but(struct ledger *ledger, unsigned keep)
{
    unsigned borrowed = ledger_borrowed(ledger);

    for (; borrowed > keep; borrowed--)
        if (ledger_repay(ledger) <= 0)
            return;
}
