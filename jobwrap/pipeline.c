/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In `jobwrap A | jobwrap B` the slot of the recipe that pays for one of them may be B's, and no token
 * free for A; then each waits for the other. It is seen by their pipes. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "jobwrap/pipeline.h"
#include "libjobserver/process.h"

static bool
reads_what_is_written_by(pid_t reader, pid_t writer)
{
    uint64_t input = process_pipe(reader, STDIN_FILENO);

    return input != 0 && (input == process_pipe(writer, STDOUT_FILENO) ||
                          input == process_pipe(writer, STDERR_FILENO));
}

/* A pipe takes no more when its last page is begun, or nearly: see pipe(7), PIPE_BUF. */
static bool
is_input_full(void)
{
    int bytes, size = fcntl(STDIN_FILENO, F_GETPIPE_SZ);

    return size > 0 && ioctl(STDIN_FILENO, FIONREAD, &bytes) == 0 && bytes + PIPE_BUF > size;
}

static bool
print_if_joined(FILE *out, const struct steved_client *other)
{
    const char *what;

    if (reads_what_is_written_by(other->pid, getpid()))
        what = "reads what is written here";
    else if (reads_what_is_written_by(getpid(), other->pid) && is_input_full())
        what = "has filled the pipe that is read here";
    else
        return false;
    fprintf(out,
            "; %.*s (pid %d) has the slot of this pipeline, and %s: if it waits for that, neither "
            "goes on before a token is free",
            STEVED_COMMAND_SIZE - 1, other->command, other->pid, what);
    return true;
}

void
pipeline_print_deadlock(FILE *out, struct client *client)
{
    struct steved_clients *page = calloc(1, sizeof(*page));
    bool is_found = false;

    while (page && !is_found && client_get_clients(client, page) == 0 && page->count > 0) {
        for (unsigned i = 0; i < page->count && !is_found; i++) {
            const struct steved_client *other = &page->clients[i];
            is_found = other->flags & STEVED_CLIENT_HAS_CLAIMED && print_if_joined(out, other);
        }
    }
    free(page);
}
