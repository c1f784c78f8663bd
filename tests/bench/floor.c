/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * floor DIR [TOKENS]: the least that a FUSE server can do: DIR/jobserver answers each read with one
 * byte and each write with its size, at once. With TOKENS it has so many, and is a jobserver that
 * serves whoever comes first and keeps no accounts. What steved's accounting costs, and what it is
 * worth, is measured against it.
 */
#define FUSE_USE_VERSION 31
#include <fuse_lowlevel.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* As in steved/fuse_mount.c. */
#ifndef FOPEN_NOFLUSH
#define FOPEN_NOFLUSH (1 << 5)
#endif
#ifndef FOPEN_PARALLEL_DIRECT_WRITES
#define FOPEN_PARALLEL_DIRECT_WRITES (1 << 6)
#endif

#define FILE_INODE 2
#define QUEUE_SIZE 65536

struct queue {
    bool is_used;
    long tokens;
    fuse_req_t readers[QUEUE_SIZE]; /* a ring; NULL: a signal has come */
    size_t first, count;
    struct fuse_pollhandle *pollers[QUEUE_SIZE];
    size_t poller_count;
};

static void
describe(fuse_ino_t inode, struct stat *stat)
{
    *stat = (struct stat){.st_ino = inode, .st_nlink = 1};
    stat->st_mode = inode == FUSE_ROOT_ID ? S_IFDIR | 0700 : S_IFREG | 0600;
}

static void
floor_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry = {.ino = FILE_INODE, .attr_timeout = 1e6, .entry_timeout = 1e6};

    if (parent != FUSE_ROOT_ID || strcmp(name, "jobserver") != 0) {
        fuse_reply_err(request, ENOENT);
        return;
    }
    describe(FILE_INODE, &entry.attr);
    fuse_reply_entry(request, &entry);
}

static void
floor_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    struct stat stat;

    describe(inode, &stat);
    fuse_reply_attr(request, &stat, 1e6);
}

static void
floor_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    /* FOPEN_STREAM as in steved: a second reader of a shared description would sleep for ever. */
    const struct fuse_open_out answer = {.open_flags = FOPEN_DIRECT_IO | FOPEN_NONSEEKABLE |
                                                       FOPEN_STREAM | FOPEN_NOFLUSH |
                                                       FOPEN_PARALLEL_DIRECT_WRITES};

    fuse_reply_buf(request, (const char *)&answer, sizeof(answer));
}

static void
floor_interrupted(fuse_req_t request, void *data)
{
    struct queue *queue = data;

    for (size_t i = 0; i < queue->count; i++) {
        fuse_req_t *reader = &queue->readers[(queue->first + i) % QUEUE_SIZE];
        if (*reader == request) {
            *reader = NULL;
            fuse_reply_err(request, EINTR);
            return;
        }
    }
}

static void
floor_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
           struct fuse_file_info *file)
{
    struct queue *queue = fuse_req_userdata(request);

    if (queue->is_used && queue->tokens == 0 && (file->flags & O_NONBLOCK)) {
        fuse_reply_err(request, EAGAIN);
    } else if (queue->is_used && queue->tokens == 0) {
        queue->readers[(queue->first + queue->count++) % QUEUE_SIZE] = request;
        fuse_req_interrupt_func(request, floor_interrupted, queue);
    } else {
        queue->tokens--;
        fuse_reply_buf(request, "+", 1);
    }
}

static void
notify_pollers(struct queue *queue)
{
    for (; queue->poller_count > 0; queue->poller_count--) {
        struct fuse_pollhandle *poller = queue->pollers[queue->poller_count - 1];
        fuse_lowlevel_notify_poll(poller);
        fuse_pollhandle_destroy(poller);
    }
}

static void
floor_write(fuse_req_t request, fuse_ino_t inode, const char *bytes, size_t size, off_t offset,
            struct fuse_file_info *file)
{
    struct queue *queue = fuse_req_userdata(request);

    fuse_reply_write(request, size);
    for (queue->tokens += (long)size; queue->tokens > 0 && queue->count > 0; queue->count--) {
        fuse_req_t reader = queue->readers[queue->first];
        queue->first = (queue->first + 1) % QUEUE_SIZE;
        if (reader) {
            fuse_reply_buf(reader, "+", 1);
            queue->tokens--;
        }
    }
    if (queue->tokens > 0)
        notify_pollers(queue);
}

static void
floor_poll(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file,
           struct fuse_pollhandle *handle)
{
    struct queue *queue = fuse_req_userdata(request);
    bool is_empty = queue->is_used && queue->tokens == 0;

    if (handle && is_empty && queue->poller_count < QUEUE_SIZE)
        queue->pollers[queue->poller_count++] = handle;
    else if (handle)
        fuse_pollhandle_destroy(handle);
    fuse_reply_poll(request, POLLOUT | (is_empty ? 0 : POLLIN));
}

int
main(int argc, char **argv)
{
    static const struct fuse_lowlevel_ops operations = {
        .lookup = floor_lookup,
        .getattr = floor_getattr,
        .open = floor_open,
        .read = floor_read,
        .write = floor_write,
        .poll = floor_poll,
    };
    static struct queue queue;
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);

    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: floor DIR [TOKENS]\n");
        return 2;
    }
    queue.is_used = argc == 3;
    queue.tokens = queue.is_used ? atol(argv[2]) : 0;
    struct fuse_session *session = fuse_session_new(&args, &operations, sizeof(operations), &queue);
    if (!session || fuse_session_mount(session, argv[1]) != 0)
        return 1;
    fuse_set_signal_handlers(session);
    int failed = fuse_session_loop(session) < 0;
    fuse_remove_signal_handlers(session);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    fuse_opt_free_args(&args);
    return failed;
}
