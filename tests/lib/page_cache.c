/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * page-cache: reads a server's file in one of the many ways that there are beside read(2).
 *
 *     page-cache WAY FILE      prints 0, or the errno that the way ends with, and stays until it is
 *                              killed, with all that it has begun
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* So many requests the kernel sends in the background at once; others wait for these. */
#define BACKGROUND_MAX 12

/* Linux 5.14, glibc 2.35 */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

static int
error_of(long result)
{
    return result < 0 ? errno : 0;
}

static _Noreturn void
finish(int error)
{
    printf("%d\n", error);
    fflush(stdout);
    for (;;)
        pause();
}

/* --- through a mapping --- */

static char *
map(int fd, int flags)
{
    char *mapping = mmap(NULL, 1, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (mapping == MAP_FAILED)
        finish(errno);
    return mapping;
}

static int
map_only(int fd, int flags)
{
    map(fd, flags);
    return 0;
}

static int
map_advised(int fd, int advice)
{
    return error_of(madvise(map(fd, MAP_PRIVATE), 1, advice));
}

/* Not every kernel knows each advice. */
static int
touch(int fd, int advice)
{
    volatile char *mapping = map(fd, MAP_PRIVATE);

    madvise((void *)(uintptr_t)mapping, 1, advice);
    return *mapping ? 0 : ENODATA;
}

static int
touch_by_writing(int fd, int byte)
{
    volatile char *mapping = map(fd, MAP_PRIVATE);

    *mapping = (char)byte;
    return 0;
}

/* The kernel touches the page itself, and holds what a write to this file locks. */
static int
write_from_map(int fd, int unused)
{
    return error_of(write(fd, map(fd, MAP_PRIVATE), 1));
}

static int
read_into_map(int fd, int unused)
{
    return error_of(read(fd, map(fd, MAP_PRIVATE), 1));
}

/* As a debugger does. */
static int
read_process(int fd, int unused)
{
    char byte;
    const struct iovec there = {.iov_base = map(fd, MAP_PRIVATE), .iov_len = 1};
    const struct iovec here = {.iov_base = &byte, .iov_len = 1};

    return error_of(process_vm_readv(getpid(), &here, 1, &there, 1, 0));
}

/* --- without one --- */

static int
open_pipe(void)
{
    int ends[2];

    return pipe2(ends, O_CLOEXEC) < 0 ? -1 : ends[1];
}

static int
splice_out(int fd, int flags)
{
    if (fcntl(fd, F_SETFL, flags) < 0)
        return errno;
    return error_of(splice(fd, NULL, open_pipe(), NULL, 1, 0));
}

static int
send_file(int fd, int unused)
{
    return error_of(sendfile(open_pipe(), fd, NULL, 1));
}

static int
copy_range(int fd, int unused)
{
    int copy = memfd_create("copy", MFD_CLOEXEC);

    return error_of(copy_file_range(fd, NULL, copy, NULL, 1, 0));
}

static int
read_ahead(int fd, int unused)
{
    return error_of(readahead(fd, 0, 1));
}

static int
advise_file(int fd, int advice)
{
    return posix_fadvise(fd, 0, 1, advice);
}

static int
list_extents(int fd, int flags)
{
    struct fiemap extents = {.fm_length = 1, .fm_flags = (unsigned)flags};

    return error_of(ioctl(fd, FS_IOC_FIEMAP, &extents));
}

static int
execute(int fd, int unused)
{
    char name[] = "x", *arguments[] = {name, NULL};

    return error_of(fexecve(fd, arguments, environ));
}

/* --- what changes or locks the file --- */

static int
allocate(int fd, int mode)
{
    return error_of(fallocate(fd, mode, 0, 1));
}

static int
truncate_to(int fd, int size)
{
    return error_of(ftruncate(fd, size));
}

static int
append(int fd, int flags)
{
    if (fcntl(fd, F_SETFL, flags) < 0)
        return errno;
    return error_of(write(fd, "x", 1));
}

static int
lock_whole(int fd, int operation)
{
    return error_of(flock(fd, operation));
}

static int
lock_range(int fd, int type)
{
    struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET};

    return error_of(fcntl(fd, F_SETLK, &lock));
}

static int
lease(int fd, int type)
{
    return error_of(fcntl(fd, F_SETLEASE, type));
}

static int
watch(int fd, int events)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return error_of(inotify_add_watch(inotify_init1(IN_CLOEXEC), path, (uint32_t)events));
}

/* --- as read(2) does --- */

static int
read_one(int fd, int flags)
{
    char byte;

    return fcntl(fd, F_SETFL, flags) < 0 ? errno : error_of(read(fd, &byte, 1));
}

static int
read_vector(int fd, int flags)
{
    char byte;
    const struct iovec vector = {.iov_base = &byte, .iov_len = 1};

    return error_of(preadv2(fd, &vector, 1, -1, flags));
}

static int
read_ahead_behind_aio(int fd, int unused)
{
    static char bytes[BACKGROUND_MAX];
    struct iocb reads[BACKGROUND_MAX], *submitted[BACKGROUND_MAX];
    aio_context_t context = 0;

    for (int i = 0; i < BACKGROUND_MAX; i++) {
        reads[i] = (struct iocb){.aio_lio_opcode = IOCB_CMD_PREAD,
                                 .aio_fildes = (unsigned)fd,
                                 .aio_buf = (uintptr_t)&bytes[i],
                                 .aio_nbytes = 1};
        submitted[i] = &reads[i];
    }
    if (syscall(SYS_io_setup, BACKGROUND_MAX, &context) < 0 ||
        syscall(SYS_io_submit, context, BACKGROUND_MAX, submitted) < 0)
        return errno;
    return read_ahead(fd, 0);
}

static void *
map_ring(int ring, size_t size, uint64_t offset)
{
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, (off_t)offset);
}

static int
read_by_io_uring(int fd, int unused)
{
    static char bytes[BACKGROUND_MAX];
    struct io_uring_params ring = {0};
    int ring_fd = (int)syscall(SYS_io_uring_setup, BACKGROUND_MAX, &ring);

    if (ring_fd < 0)
        return errno;
    struct io_uring_sqe *reads =
        map_ring(ring_fd, ring.sq_entries * sizeof(*reads), IORING_OFF_SQES);
    uint32_t *queue =
        map_ring(ring_fd, ring.sq_off.array + ring.sq_entries * sizeof(*queue), IORING_OFF_SQ_RING);
    if ((void *)reads == MAP_FAILED || (void *)queue == MAP_FAILED)
        return errno;
    for (uint32_t i = 0; i < BACKGROUND_MAX; i++) {
        reads[i] = (struct io_uring_sqe){
            .opcode = IORING_OP_READ, .fd = fd, .addr = (uintptr_t)&bytes[i], .len = 1};
        queue[ring.sq_off.array / sizeof(*queue) + i] = i;
    }
    queue[ring.sq_off.tail / sizeof(*queue)] = BACKGROUND_MAX;
    return error_of(syscall(SYS_io_uring_enter, ring_fd, BACKGROUND_MAX, 0, 0, NULL, 0));
}

/* --- which --- */

static const struct way {
    const char *name;
    int (*function)(int fd, int argument);
    int argument;
} ways[] = {
    {"map-shared", map_only, MAP_SHARED},
    {"map-populated", map_only, MAP_PRIVATE | MAP_POPULATE},
    {"map-locked", map_only, MAP_PRIVATE | MAP_LOCKED},
    {"map-read-ahead", map_advised, MADV_WILLNEED},
    {"map-to-read", map_advised, MADV_POPULATE_READ},
    {"map-to-write", map_advised, MADV_POPULATE_WRITE},
    {"touch", touch, MADV_NORMAL},
    {"touch-read-ahead", touch, MADV_WILLNEED},
    {"touch-huge-page", touch, MADV_HUGEPAGE},
    {"touch-by-writing", touch_by_writing, 'x'},
    {"write-from-map", write_from_map, 0},
    {"read-into-map", read_into_map, 0},
    {"read-process", read_process, 0},
    {"splice", splice_out, 0},
    {"sendfile", send_file, 0},
    {"copy-range", copy_range, 0},
    {"read-ahead", read_ahead, 0},
    {"advise", advise_file, POSIX_FADV_WILLNEED},
    {"extents", list_extents, FIEMAP_FLAG_SYNC},
    {"execute", execute, 0},
    {"allocate", allocate, 0},
    {"punch-hole", allocate, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
    {"truncate", truncate_to, 0},
    {"extend", truncate_to, 1 << 20},
    {"append", append, O_APPEND},
    {"flock", lock_whole, LOCK_EX},
    {"lock", lock_range, F_WRLCK},
    {"lease", lease, F_WRLCK},
    {"watch", watch, IN_ALL_EVENTS},
    {"read", read_one, 0},
    {"read-direct", read_one, O_DIRECT},
    {"read-vector", read_vector, 0},
    {"splice-direct", splice_out, O_DIRECT},
    {"aio", read_ahead_behind_aio, 0},
    {"io-uring", read_by_io_uring, 0},
};

static int
try(const struct way *way, const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    /* The kernel reads no page of a file of no size, and takes it for as long as it was written. */
    if (fd < 0 || write(fd, "x", 1) != 1) {
        fprintf(stderr, "page-cache: write to %s: %s\n", path, strerror(errno));
        return 1;
    }
    /* No report of a sanitizer. */
    signal(SIGBUS, SIG_DFL);
    finish(way->function(fd, way->argument));
}

int
main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < sizeof(ways) / sizeof(ways[0]); i++)
        if (strcmp(argv[1], ways[i].name) == 0)
            return try(&ways[i], argv[2]);
    fputs("usage: page-cache WAY FILE\n", stderr);
    return 2;
}
