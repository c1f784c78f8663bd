/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process executes: the file, the place in it, and the memory that it lies in. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/process/private.h"

/* --- the file --- */

bool
process_has_set_id_program(pid_t pid)
{
    char path[PROCESS_PATH_SIZE];
    struct stat status;
    struct statvfs mount;

    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    if (stat(path, &status) < 0 || statvfs(path, &mount) < 0 || (mount.f_flag & ST_NOSUID))
        return false;
    return ((status.st_mode & S_ISUID) && status.st_uid != geteuid()) ||
           ((status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
            status.st_gid != getegid()) ||
           getxattr(path, "security.capability", NULL, 0) > 0;
}

ssize_t
process_read_program(pid_t pid, void *bytes, size_t size)
{
    int fd = process_open_file(pid, "exe", O_RDONLY);

    if (fd < 0)
        return fd;
    ssize_t length = read(fd, bytes, size);
    int error = errno;
    close(fd);
    return length < 0 ? -error : length;
}

/* --- the memory --- */

/* The last field of /proc/PID/syscall (proc(5)). */
int
process_program_counter(pid_t pid, uint64_t *address)
{
    char text[256];
    ssize_t length = process_read_file(pid, "syscall", text, sizeof(text));
    const char *last = length > 0 ? strrchr(text, ' ') : NULL;

    if (length < 0)
        return (int)length;
    if (!last)
        return -EBUSY;
    *address = strtoull(last + 1, NULL, 16);
    return 0;
}

int
process_read_memory(pid_t pid, uint64_t address, void *bytes, size_t size)
{
    const struct iovec local = {.iov_base = bytes, .iov_len = size};
    const struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};
    ssize_t got = process_vm_readv(pid, &local, 1, &remote, 1, 0);

    if (got < 0)
        return -errno;
    return (size_t)got == size ? 0 : -EFAULT;
}

int
process_write_memory(pid_t pid, uint64_t address, const void *bytes, size_t size)
{
    int fd = process_open_file(pid, "mem", O_WRONLY);

    if (fd < 0)
        return fd;
    ssize_t written = pwrite(fd, bytes, size, (off_t)address);
    int error = errno;
    close(fd);
    if (written < 0)
        return -error;
    return (size_t)written == size ? 0 : -EIO;
}
