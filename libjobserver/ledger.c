/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libjobserver/ledger.h"

#define PIPE_BYTES_MAX (1 << 20) /* what an unprivileged process may ask for (fs.pipe-max-size) */

static int
add_pipe(struct ledger *ledger)
{
    if (pipe2(ledger->pipes[ledger->n_pipes], O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    ledger->n_pipes++;
    ledger->capacity += client_tokens_in_pipe(ledger->client, PIPE_BYTES_MAX);
    return 0;
}

/* Only when it is full: a user's pipes share a number of pages (pipe(7), pipe-user-pages-soft), and
 * when twenty jobwraps had reserved all that they might need, no pipe of his would have more than two
 * slots. 0 or a negative errno. */
static int
grow(int fd)
{
    int bytes = fcntl(fd, F_GETPIPE_SZ);

    if (bytes < 0 || bytes >= PIPE_BYTES_MAX)
        return -ENOSPC;
    return fcntl(fd, F_SETPIPE_SZ, 2 * bytes) < 0 ? -errno : 0;
}

int
ledger_open(struct ledger *ledger, struct client *client, unsigned wanted)
{
    *ledger = (struct ledger){.client = client};
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

/* -ENOSPC: this pipe is full, and cannot be made larger. */
static int
borrow_into(struct ledger *ledger, int write_fd)
{
    int result;

    do
        result = client_move_to(ledger->client, write_fd);
    while (result == -ENOSPC && grow(write_fd) == 0);
    return result;
}

int
ledger_borrow(struct ledger *ledger)
{
    int result = -ENOSPC;

    for (unsigned i = 0; i < ledger->n_pipes && result == -ENOSPC; i++)
        result = borrow_into(ledger, ledger->pipes[i][1]);
    return result;
}

int
ledger_repay(struct ledger *ledger)
{
    int result = 0;

    for (unsigned i = 0; i < ledger->n_pipes && result == 0; i++)
        if (count_bytes(ledger->pipes[i][0]) > 0)
            result = client_move_from(ledger->client, ledger->pipes[i][0]);
    return result;
}

bool
ledger_forget(struct ledger *ledger)
{
    char token;

    for (unsigned i = 0; i < ledger->n_pipes; i++)
        if (count_bytes(ledger->pipes[i][0]) > 0 && read(ledger->pipes[i][0], &token, 1) == 1)
            return true;
    return false;
}

int
ledger_renew(struct ledger *ledger)
{
    unsigned noted = ledger_borrowed(ledger), acquired = 0;
    int result = 1;
    char token;

    while (acquired < noted && (result = client_try_acquire(ledger->client, &token)) == 1)
        acquired++;
    if (result < 0)
        return result;
    while (noted > acquired && ledger_forget(ledger))
        noted--;
    return (int)noted;
}

void
ledger_repay_all_but(struct ledger *ledger, unsigned keep)
{
    unsigned borrowed = ledger_borrowed(ledger);

    for (; borrowed > keep; borrowed--)
        if (ledger_repay(ledger) <= 0)
            return;
}
