/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blocking-client: a client of a jobserver that blocks whoever reads its memory, its command line in
 * /proc for instance, for as long as it likes; or only what it does that by.
 *
 *     blocking-client DIR              serves a file system (FUSE) on DIR, with one file, `file`: what is
 *                                      asked about that, or read from it, has no answer
 *     blocking-client DIR JOBSERVER    likewise, and starts a client that takes a token, and keeps it
 *
 * One thread of the client reads its own memory where that is the file, and the kernel keeps the memory's
 * lock meanwhile; another waits to map something, and those that come later have to wait behind it.
 * All ends with the process that was started; DIR is to be unmounted then.
 */

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_INODE 2
#define FILE_SIZE 4096
#define TIMEOUT_S 1.0
/* A test that is killed does not leave it behind. */
#define LIFE_S 60

/* --- the file system --- */

static struct stat
attributes_of(fuse_ino_t inode)
{
    bool is_root = inode == FUSE_ROOT_ID;

    return (struct stat){.st_ino = inode,
                         .st_mode = is_root ? S_IFDIR | 0755 : S_IFREG | 0444,
                         .st_nlink = 1,
                         .st_size = is_root ? 0 : FILE_SIZE};
}

static void
on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    const struct fuse_entry_param entry = {
        .ino = FILE_INODE, .attr = attributes_of(FILE_INODE), .entry_timeout = TIMEOUT_S};

    fuse_reply_entry(request, &entry);
}

static void
on_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    const struct stat attributes = attributes_of(inode);

    if (inode == FILE_INODE)
        fuse_reply_none(request);
    else
        fuse_reply_attr(request, &attributes, TIMEOUT_S);
}

static void
on_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    fuse_reply_open(request, file);
}

/* The user data is the pipe by which the client hears of it. */
static void
on_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
        struct fuse_file_info *file)
{
    const int *told_fd = fuse_req_userdata(request);

    fuse_reply_none(request);
    if (write(*told_fd, "", 1) < 0)
        abort();
}

static const struct fuse_lowlevel_ops operations = {
    .lookup = on_lookup, .getattr = on_getattr, .open = on_open, .read = on_read};

/* --- the client --- */

static _Noreturn void
die(const char *what)
{
    fprintf(stderr, "blocking-client: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static void *
read_memory(void *address)
{
    char byte;
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);

    if (memory < 0 || pread(memory, &byte, 1, (off_t)(uintptr_t)address) < 0)
        die("read /proc/self/mem");
    return NULL;
}

static void *
map_something(void *unused)
{
    (void)mmap(NULL, FILE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return NULL;
}

static _Noreturn void
be_client(const char *dir, const char *jobserver, int told_fd)
{
    pthread_t reader, mapper;
    char byte, path[4096];
    int fd = open(jobserver, O_RDWR | O_CLOEXEC);

    prctl(PR_SET_NAME, "blocking");
    if (fd < 0 || read(fd, &byte, 1) != 1)
        die(jobserver);
    snprintf(path, sizeof(path), "%s/file", dir);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    void *address = mmap(NULL, FILE_SIZE, PROT_READ, MAP_PRIVATE, file, 0);
    if (file < 0 || address == MAP_FAILED)
        die(path);
    if (pthread_create(&reader, NULL, read_memory, address) != 0 || read(told_fd, &byte, 1) != 1 ||
        pthread_create(&mapper, NULL, map_something, NULL) != 0)
        die("start a thread");
    for (;;)
        pause();
}

static void
start_client(struct fuse_session *session, const char *dir, const char *jobserver, int told_fd)
{
    pid_t server = getpid(), client = fork();

    if (client < 0)
        die("fork");
    if (client > 0)
        return;
    /* It would keep its own file system alive. */
    close(fuse_session_fd(session));
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != server)
        _exit(1);
    be_client(dir, jobserver, told_fd);
}

int
main(int argc, char **argv)
{
    char name[] = "blocking-client";
    char *arguments[] = {name, NULL};
    struct fuse_args options = FUSE_ARGS_INIT(1, arguments);
    int told[2];

    if (argc < 2 || argc > 3 || pipe2(told, O_CLOEXEC) < 0)
        return 2;
    struct fuse_session *session =
        fuse_session_new(&options, &operations, sizeof(operations), &told[1]);
    if (!session || fuse_session_mount(session, argv[1]) < 0)
        return 1;
    if (argc == 3)
        start_client(session, argv[1], argv[2], told[0]);
    alarm(LIFE_S);
    return fuse_session_loop(session) != 0;
}
