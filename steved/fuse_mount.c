/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/fuse_mount.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libjobserver/program/message.h"
#include "steved/server.h"

#define DIRECTORY_INO FUSE_ROOT_ID
#define FILE_INO 2
#define FILE_NAME "jobserver"

/* Nothing about a file ever changes: the kernel may keep what it knows. */
#define ATTRIBUTES_VALID_S 3600.0
/* But for which inode the name stands, which depends on who asks. */
#define NAME_VALID_S 0.0

#define OPTIONS_SIZE 128

/* What headers of Linux before 5.16 and 6.2 do not have; such kernels take no notice of it. */
#ifndef FOPEN_NOFLUSH
#define FOPEN_NOFLUSH (1 << 5)
#endif
#ifndef FOPEN_PARALLEL_DIRECT_WRITES
#define FOPEN_PARALLEL_DIRECT_WRITES (1 << 6)
#endif

static struct server *
server_of(fuse_req_t request)
{
    const struct session *session = fuse_req_userdata(request);

    return session->server;
}

/* --- the directory and the files' attributes --- */

/* Where the numbers of a file's inodes begin; they reach as far as there are users. */
#define FILE_INODES_SHIFT 33

/* Each user has an inode of its own: the kernel holds its locks while it waits for a page of the caller's
 * memory, which the caller can have come never, and those of another user must not wait behind it. To everybody it
 * looks like the same file. */
static fuse_ino_t
inode_of(const struct file *file, uid_t uid)
{
    return ((fuse_ino_t)file->number << FILE_INODES_SHIFT) + FILE_INO + uid;
}

/* NULL: the directory. */
static const struct file *
find_file(const struct server *server, fuse_ino_t ino)
{
    const fuse_ino_t number = (ino - FILE_INO) >> FILE_INODES_SHIFT;

    return ino >= FILE_INO && number < server->file_count ? &server->files[number] : NULL;
}

static const char *
name_of(const struct file *file)
{
    return file_is_class(file) ? file->spec.name : FILE_NAME;
}

/* For the same reason nobody else may list the directory: that copies names to the caller's memory. */
static bool
fill_attributes(const struct server *server, fuse_ino_t ino, struct stat *attributes)
{
    const struct file *file = find_file(server, ino);

    *attributes = (struct stat){.st_uid = server->file_uid, .st_gid = server->file_gid};
    if (ino == DIRECTORY_INO) {
        attributes->st_ino = DIRECTORY_INO;
        attributes->st_mode = S_IFDIR | (server->file_uid == 0 ? 0711 : 0700);
        attributes->st_nlink = 2;
    } else if (file) {
        attributes->st_ino = FILE_INO + file->number;
        attributes->st_mode = S_IFREG | server->file_mode;
        attributes->st_nlink = 1;
    }
    return attributes->st_nlink > 0;
}

static void
on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    const struct server *server = server_of(request);
    struct fuse_entry_param entry = {.attr_timeout = ATTRIBUTES_VALID_S,
                                     .entry_timeout = NAME_VALID_S};

    for (unsigned i = 0; i < server->file_count && parent == DIRECTORY_INO; i++)
        if (strcmp(name, name_of(&server->files[i])) == 0)
            entry.ino = inode_of(&server->files[i], fuse_req_ctx(request)->uid);
    if (entry.ino == 0) {
        fuse_reply_err(request, ENOENT);
        return;
    }
    fill_attributes(server, entry.ino, &entry.attr);
    fuse_reply_entry(request, &entry);
}

static void
on_getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat attributes;

    if (fill_attributes(server_of(request), ino, &attributes))
        fuse_reply_attr(request, &attributes, ATTRIBUTES_VALID_S);
    else
        fuse_reply_err(request, ENOENT);
}

/* A shell's `> jobserver` truncates, as it may a FIFO; the times come with that. */
static void
on_setattr(fuse_req_t request, fuse_ino_t ino, struct stat *wanted, int to_set,
           struct fuse_file_info *fi)
{
    const int refused = FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID;

    if (!(to_set & FUSE_SET_ATTR_SIZE) || to_set & refused)
        fuse_reply_err(request, EPERM);
    else
        on_getattr(request, ino, fi);
}

/* The entries of the directory: itself, what is above, and the files. */
static const char *
entry_of(const struct server *server, off_t number, fuse_ino_t *ino)
{
    *ino = DIRECTORY_INO;
    if (number < 2)
        return number == 0 ? "." : "..";
    const struct file *file = &server->files[number - 2];
    *ino = inode_of(file, 0);
    return name_of(file);
}

/* All names fit into whatever the kernel asks for at least. */
static void
on_readdir(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    const struct server *server = server_of(request);
    const off_t count = 2 + (off_t)server->file_count;
    char names[1024];
    size_t used = 0;

    if (size > sizeof(names))
        size = sizeof(names);
    for (off_t i = offset < 0 ? count : offset; i < count; i++) {
        struct stat attributes;
        fuse_ino_t entry;
        const char *name = entry_of(server, i, &entry);
        fill_attributes(server, entry, &attributes);
        size_t length =
            fuse_add_direntry(request, names + used, size - used, name, &attributes, i + 1);
        if (length > size - used)
            break;
        used += length;
    }
    fuse_reply_buf(request, names, used);
}

/* --- what would change the directory: without these it were "Function not implemented" --- */

static void
on_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    fuse_reply_err(request, EPERM);
}

static void
on_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode)
{
    on_mknod(request, parent, name, mode, 0);
}

static void
on_unlink(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    on_mknod(request, parent, name, 0, 0);
}

static void
on_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name)
{
    on_mknod(request, parent, name, 0, 0);
}

static void
on_link(fuse_req_t request, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    on_mknod(request, parent, name, 0, 0);
}

static void
on_rename(fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
          const char *new_name, unsigned flags)
{
    on_mknod(request, parent, name, 0, 0);
}

/* --- the open file --- */

/* Without FOPEN_STREAM the kernel takes the lock of the file position, and the second reader or
 * writer of a shared description sleeps unkillably. libfuse has no name for it before 3.17, so the
 * answer is made by hand. */
static void
on_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct session *session = fuse_req_userdata(request);

    const struct file *file = find_file(session->server, ino);

    if (!file) {
        fuse_reply_err(request, EISDIR);
        return;
    }
    struct fuse_open_out answer = {
        .open_flags = FOPEN_DIRECT_IO | FOPEN_NONSEEKABLE | FOPEN_STREAM | FOPEN_NOFLUSH |
                      FOPEN_PARALLEL_DIRECT_WRITES,
    };
    int error = session_open(request, file->number, &answer.fh);
    if (error < 0)
        fuse_reply_err(request, -error);
    else if (channel_give(&session->channel,
                          fuse_reply_buf(request, (const char *)&answer, sizeof(answer))) != 0)
        session_close(session, answer.fh);
}

static void
on_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
    session_release(request, fi);
}

/* A page fault, readahead and splice(2) read for the page cache. Until they are answered the page
 * is locked, and whoever else opens the file or writes to it sleeps unkillably: they must not wait
 * for a token. Only read(2) and its like have a lock owner, scrambled, so as good as never 0. */
static void
on_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    if (fi->lock_owner == 0)
        fuse_reply_err(request, EIO);
    else
        session_read(request, size, fi);
}

static void
on_write(fuse_req_t request, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
         struct fuse_file_info *fi)
{
    session_write(request, size, fi);
}

static void
on_poll(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi,
        struct fuse_pollhandle *pollhandle)
{
    session_poll(request, fi, pollhandle);
}

static void
on_ioctl(fuse_req_t request, fuse_ino_t ino, int command, void *argument, struct fuse_file_info *fi,
         unsigned flags, const void *in, size_t in_size, size_t out_size)
{
    /* A directory has no description that we know of. */
    if (ino == DIRECTORY_INO)
        fuse_reply_err(request, ENOTTY);
    else
        session_ioctl(request, command, argument, fi, flags, in, in_size, out_size);
}

/* --- the session --- */

/* Tokens are bytes: nothing is gained by splicing pages, and the least buffer will do. No signal
 * would end an asynchronous read (aio), and a dozen that wait would keep back whatever else the
 * kernel sends in the background: releases, and the reads of locked pages. */
static void
on_init(void *userdata, struct fuse_conn_info *connection)
{
    struct session *session = userdata;

    connection->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
                                    FUSE_CAP_SPLICE_MOVE | FUSE_CAP_ASYNC_DIO);
    connection->max_write = 4096;
    connection->max_readahead = 0;
    session->is_initialised = true;
}

static const struct fuse_lowlevel_ops operations = {
    .init = on_init,
    .lookup = on_lookup,
    .getattr = on_getattr,
    .setattr = on_setattr,
    .readdir = on_readdir,
    .mknod = on_mknod,
    .mkdir = on_mkdir,
    .unlink = on_unlink,
    .rmdir = on_unlink,
    .symlink = on_symlink,
    .link = on_link,
    .rename = on_rename,
    .open = on_open,
    .release = on_release,
    .read = on_read,
    .write = on_write,
    .poll = on_poll,
    .ioctl = on_ioctl,
};

static int
create_session(struct session *session)
{
    struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);
    char mount_options[OPTIONS_SIZE];

    /* For one user there is nobody else to be let in, and it takes a line in /etc/fuse.conf. */
    snprintf(mount_options, sizeof(mount_options),
             "-ofsname=steved,subtype=steved,default_permissions,noexec,noatime%s",
             geteuid() == 0 ? ",allow_other" : "");
    if (fuse_opt_add_arg(&arguments, "steved") == 0 &&
        fuse_opt_add_arg(&arguments, mount_options) == 0)
        session->fuse = fuse_session_new(&arguments, &operations, sizeof(operations), session);
    fuse_opt_free_args(&arguments);
    if (session->fuse)
        return 0;
    message("serve: out of memory");
    return -ENOMEM;
}

int
fuse_mount_open(struct session *session, const char *directory)
{
    if (create_session(session) < 0)
        return -ENOMEM;
    if (fuse_session_mount(session->fuse, directory) < 0) {
        message("mount %s: failed", directory);
        return -EIO;
    }
    return session_attach(session, fuse_session_fd(session->fuse));
}

int
fuse_mount_serve(struct session *session, int fd)
{
    return create_session(session) < 0 ? -ENOMEM : session_attach(session, fd);
}
