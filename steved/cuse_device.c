/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/cuse_device.h"

#include <cuse_lowlevel.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libjobserver/program/message.h"
#include "steved/server.h"

#define PATH_SIZE 128

static void
on_open(fuse_req_t request, struct fuse_file_info *fi)
{
    struct session *session = fuse_req_userdata(request);
    int error = session_open(request, session->number, &fi->fh);

    if (error < 0) {
        fuse_reply_err(request, -error);
        return;
    }
    fi->direct_io = 1;
    fi->nonseekable = 1;
    if (channel_give(&session->channel, fuse_reply_open(request, fi)) != 0)
        session_close(session, fi->fh);
}

static void
on_read(fuse_req_t request, size_t size, off_t offset, struct fuse_file_info *fi)
{
    session_read(request, size, fi);
}

static void
on_write(fuse_req_t request, const char *bytes, size_t size, off_t offset,
         struct fuse_file_info *fi)
{
    session_write(request, size, fi);
}

/* As on a mount. */
static void
on_init(void *userdata, struct fuse_conn_info *connection)
{
    connection->max_write = 4096;
    connection->want &=
        ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

static void
on_init_done(void *userdata)
{
    struct session *session = userdata;

    session->is_initialised = true;
}

static const struct cuse_lowlevel_ops operations = {
    .init = on_init,
    .init_done = on_init_done,
    .open = on_open,
    .read = on_read,
    .write = on_write,
    .release = session_release,
    .poll = session_poll,
    .ioctl = session_ioctl,
};

/* Of its device, below /dev. */
static void
name_of(const struct file *file, char name[PATH_SIZE])
{
    const bool is_class = file_is_class(file);

    snprintf(name, PATH_SIZE, "%s%s%s", file->server->options.device, is_class ? "-" : "",
             is_class ? file->spec.name : "");
}

static void
node_path(const struct file *file, char path[PATH_SIZE])
{
    char name[PATH_SIZE];

    name_of(file, name);
    snprintf(path, PATH_SIZE, "/dev/%.*s", PATH_SIZE - 6, name);
}

static const struct file *
file_of(const struct session *session)
{
    return &session->server->files[session->number];
}

static int
open_cuse(void)
{
    int fd = open("/dev/cuse", O_RDWR | O_CLOEXEC);

    if (fd >= 0)
        return fd;
    if (errno == EACCES || errno == EPERM)
        message_errno(errno,
                      "open /dev/cuse (serve a device as root, or a directory: --mount DIR)");
    else
        message_errno(errno, "open /dev/cuse (load it: modprobe cuse, or serve a directory: "
                             "--mount DIR)");
    return -errno;
}

static int
create_session(struct session *session)
{
    char device[PATH_SIZE], name[sizeof("DEVNAME=") + PATH_SIZE];
    const char *arguments[] = {name};
    const struct cuse_info info = {
        .dev_info_argc = 1, .dev_info_argv = arguments, .flags = CUSE_UNRESTRICTED_IOCTL};
    char program[] = "steved", *argv[] = {program, NULL};
    struct fuse_args fuse_arguments = FUSE_ARGS_INIT(1, argv);

    name_of(file_of(session), device);
    snprintf(name, sizeof(name), "DEVNAME=%s", device);
    session->fuse = cuse_lowlevel_new(&fuse_arguments, &info, &operations, session);
    if (session->fuse)
        return 0;
    message("serve /dev/%s: libfuse refuses", device);
    return -EIO;
}

int
cuse_device_serve(struct session *session, int fd)
{
    int error = create_session(session);

    return error < 0 ? error : session_attach(session, fd);
}

int
cuse_device_check(const struct file *file)
{
    char path[PATH_SIZE];
    struct stat attributes;

    node_path(file, path);
    if (lstat(path, &attributes) < 0)
        return 0;
    message("serve %s: it exists already, another server may own it", path);
    return -EEXIST;
}

int
cuse_device_open(struct session *session)
{
    int cuse_fd = open_cuse();

    if (cuse_fd < 0)
        return cuse_fd;
    int error = cuse_device_serve(session, cuse_fd);
    if (error < 0)
        close(cuse_fd);
    return error;
}

/* devtmpfs makes the node before the kernel's greeting ends; udev, if there is one, may have rules of
 * its own and comes later. */
int
cuse_device_give(const struct session *session)
{
    const struct server *server = session->server;
    char path[PATH_SIZE];
    struct stat attributes;

    node_path(file_of(session), path);
    if (lstat(path, &attributes) < 0 || !S_ISCHR(attributes.st_mode)) {
        message("serve %s: the node has not appeared", path);
        return -ENODEV;
    }
    if (geteuid() != 0) {
        message("%s keeps the owner and group that the system gave it: only root can change them",
                path);
        return 0;
    }
    if (chown(path, server->file_uid, server->file_gid) < 0 || chmod(path, server->file_mode) < 0) {
        message_errno(errno, "give %s to its group", path);
        return -errno;
    }
    return 0;
}
