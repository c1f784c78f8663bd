/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In `jobwrap A | jobwrap B` the slot of the recipe that pays for one of them may be B's, and no token
 * free for A; then each waits for the other. It is seen by their pipes. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "jobwrap/pipeline.h"
#include "libjobserver/holder.h"

#define COMMAND_MAX 80

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

static void
print(FILE *out, const struct steved_client *other, const char *what, int *patience_ms)
{
    struct process_label label;

    if (holder_label(other, patience_ms, &label) < 0)
        return;
    char *text = process_label_text(&label, COMMAND_MAX);
    if (text)
        fprintf(
            out,
            "; %s (pid %d) uses the slot of this pipeline and %s: if it waits for that, neither "
            "continues until a token is free",
            text, (int)other->pid, what);
    free(text);
    process_label_clear(&label);
}

static const char *
how_it_is_joined(pid_t other)
{
    if (reads_what_is_written_by(other, getpid()))
        return "reads what this command will write";
    if (reads_what_is_written_by(getpid(), other) && is_input_full())
        return "has filled the pipe that this command will read";
    return NULL;
}

void
pipeline_print_deadlock(FILE *out, struct client *client, int *patience_ms)
{
    struct steved_clients *page = calloc(1, sizeof(*page));
    const char *what = NULL;

    while (page && !what && client_get_clients(client, page) == 0 && page->count > 0) {
        for (unsigned i = 0; i < page->count && !what; i++) {
            const struct steved_client *other = &page->clients[i];
            what = other->flags & STEVED_CLIENT_HAS_CLAIMED ? how_it_is_joined(other->pid) : NULL;
            if (what)
                print(out, other, what, patience_ms);
        }
    }
    free(page);
}
