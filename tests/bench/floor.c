/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * floor DIR: the least that a FUSE server can do: DIR/jobserver answers each read with one byte and
 * each write with its size, at once. What steved's accounting costs is measured against it.
 */
#define FUSE_USE_VERSION 31
#include <fuse_lowlevel.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_INODE 2

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

    (void)file;
    describe(inode, &stat);
    fuse_reply_attr(request, &stat, 1e6);
}

static void
floor_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    (void)inode;
    file->direct_io = 1;
    file->nonseekable = 1;
    fuse_reply_open(request, file);
}

static void
floor_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
           struct fuse_file_info *file)
{
    (void)inode;
    (void)size;
    (void)offset;
    (void)file;
    fuse_reply_buf(request, "+", 1);
}

static void
floor_write(fuse_req_t request, fuse_ino_t inode, const char *bytes, size_t size, off_t offset,
            struct fuse_file_info *file)
{
    (void)inode;
    (void)bytes;
    (void)offset;
    (void)file;
    fuse_reply_write(request, size);
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
    };
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);

    if (argc != 2) {
        fprintf(stderr, "usage: floor DIR\n");
        return 2;
    }
    struct fuse_session *session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
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
