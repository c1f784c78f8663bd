/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/client.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "libjobserver/classes/spec.h"
#include "libjobserver/control.h"
#include "libjobserver/events/code.h"
#include "libjobserver/process.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/packet.h"
#include "libjobserver/program/printable.h"

/* How long a token waits for room in a FIFO that somebody has filled: a jobserver's never is, so
 * that something is wrong, and the caller must not hang on it. */
#define ROOM_TIMEOUT_MS 1000

/* /dev/null, /dev/zero, /dev/full, /dev/random: see devices.txt of Linux. */
#define MEM_MAJOR 1
/* O_RDWR opens a FIFO without waiting for another end, and keeps it from ever being at its end. */
#define OPEN_FLAGS (O_RDWR | O_NONBLOCK | O_NOCTTY)

#define NO_DEADLINE INT64_MAX

struct client {
    enum client_kind kind;
    bool own;              /* the description is ours and non-blocking */
    bool is_silent;        /* splice(2) does not tell inotify */
    int read_fd, write_fd; /* one description, if it is our own */
    int control_fd;        /* to the jobwrap whose FIFO it is; or -1 */
    int ready_fd;          /* with it: readable when a token may be there */
    unsigned operations;   /* with it: so many it knows */
    int watch_fd;          /* readable when there are events; or -1 */
    uint64_t cursor;       /* with it: of those that come next */
    int transit[2];        /* a pipe that tokens pass through where read(2) could block; else -1 */
    char *name;
};

/* --- waiting --- */

static int64_t
deadline_in_ms(int timeout_ms)
{
    return timeout_ms < 0 ? NO_DEADLINE : clock_now_ns() + timeout_ms * NS_PER_MS;
}

/* Returns the events that poll(2) tells, 0 after the deadline, or -errno. */
static int
wait_for(int fd, short events, int64_t deadline_ns)
{
    struct pollfd polled = {.fd = fd, .events = events};
    struct timespec left = {0};

    if (deadline_ns != NO_DEADLINE) {
        int64_t left_ns = deadline_ns - clock_now_ns();
        if (left_ns > 0)
            left = (struct timespec){.tv_sec = (time_t)(left_ns / NS_PER_S),
                                     .tv_nsec = (long)(left_ns % NS_PER_S)};
    }
    if (ppoll(&polled, 1, deadline_ns == NO_DEADLINE ? NULL : &left, NULL) < 0)
        return -errno;
    return polled.revents;
}

static bool
is_ready(int fd, short events)
{
    struct pollfd polled = {.fd = fd, .events = events};

    return poll(&polled, 1, 0) > 0 && (polled.revents & events) != 0;
}

/* A signal does not end this one: a token that is being given back must get home. */
static int
wait_for_room(int fd, int64_t deadline_ns)
{
    int events;

    do
        events = wait_for(fd, POLLOUT, deadline_ns);
    while (events == -EINTR);
    if (events < 0)
        return events;
    if (events == 0)
        return -EAGAIN;
    return events & POLLOUT ? 0 : -EPIPE;
}

/* --- opening --- */

/* *message: "open NAME: REASON". Returns `error`. */
__attribute__((format(printf, 4, 5))) static int
refuse(int error, char **message, const char *name, const char *reason, ...)
{
    va_list arguments;
    char text[128];

    va_start(arguments, reason);
    vsnprintf(text, sizeof(text), reason, arguments);
    va_end(arguments);
    if (asprintf(message, "open %s: %s", name, text) < 0)
        *message = NULL;
    return error;
}

static int
refuse_errno(int error, char **message, const char *name)
{
    return refuse(error, message, name, "%s", strerror(-error));
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* What is it that was opened? NULL, or why it is no jobserver. A number from MAKEFLAGS may have
 * become anything by now; a terminal's keys and /dev/zero's zeros are no tokens. */
static const char *
identify(int fd, const struct stat *status, enum client_kind *kind)
{
    struct steved_status answer = {0};

    if (S_ISFIFO(status->st_mode)) {
        *kind = CLIENT_FIFO;
        return NULL;
    }
    if (S_ISDIR(status->st_mode))
        return "a directory, not a jobserver";
    if (!S_ISCHR(status->st_mode) && !S_ISREG(status->st_mode))
        return "neither a FIFO nor a device, not a jobserver";
    if (S_ISCHR(status->st_mode) && (major(status->st_rdev) == MEM_MAJOR || isatty(fd)))
        return "a terminal or memory device, not a jobserver";
    bool answers = ioctl(fd, STEVED_IOC_STATUS, &answer) == 0 && answer.version != 0;
    if (S_ISREG(status->st_mode) && !answers)
        return "a regular file, not a jobserver";
    *kind = answers && answer.version == STEVED_PROTOCOL_VERSION ? CLIENT_SERVER : CLIENT_DEVICE;
    return NULL;
}

static int
open_description(const char *path)
{
    int fd = open(path, OPEN_FLAGS | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* Up to Linux 6.5 splice(2) between pipes sends no inotify event, so that the relay of a jobwrap
 * around us would not see that its float is gone. */
static bool
splice_is_silent(void)
{
    struct utsname name;
    int major, minor;

    return uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
           (major < 6 || (major == 6 && minor < 6));
}

static struct client *
create(const char *name)
{
    struct client *client = malloc(sizeof(*client));

    if (!client)
        return NULL;
    *client = (struct client){.is_silent = splice_is_silent(),
                              .read_fd = -1,
                              .write_fd = -1,
                              .control_fd = -1,
                              .ready_fd = -1,
                              .watch_fd = -1,
                              .transit = {-1, -1}};
    client->name = strdup(name);
    if (!client->name) {
        free(client);
        return NULL;
    }
    return client;
}

static void
close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void
client_close(struct client *client)
{
    if (!client)
        return;
    close_if_open(client->read_fd);
    if (client->write_fd != client->read_fd)
        close_if_open(client->write_fd);
    close_if_open(client->control_fd);
    close_if_open(client->ready_fd);
    close_if_open(client->watch_fd);
    close_if_open(client->transit[0]);
    close_if_open(client->transit[1]);
    free(client->name);
    free(client);
}

bool
client_is_gone(int error)
{
    static const int reasons[] = {ENOTCONN, ECONNABORTED, ENODEV, EPIPE};

    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
        if (error == -reasons[i])
            return true;
    return false;
}

void
client_replace(struct client *client, struct client *other)
{
    struct client old = *client;

    *client = *other;
    *other = old;
    client_close(other);
}

int
client_replace_file(struct client *client, int file)
{
    int result = dup3(file, client->read_fd, O_CLOEXEC) < 0 ? -errno : 0;

    close(file);
    return result;
}

/* The FIFO of a jobwrap has a server beside it; where it cannot be reached (it is gone, another mount
 * namespace), it is a FIFO like others. */
static void
find_control(struct client *client)
{
    char path[PATH_MAX];

    if (client->kind != CLIENT_FIFO ||
        process_descriptor_path(client->read_fd, path, sizeof(path)) < 0)
        return;
    int connection = control_connect(path, client->read_fd, &client->ready_fd, &client->operations);
    if (connection < 0)
        return;
    client->control_fd = connection;
    client->kind = CLIENT_SERVER;
    /* Who has it open is taken for somebody who has tokens of it. */
    close(client->read_fd);
    client->read_fd = client->write_fd = -1;
}

/* Owns `fd`, which is closed on an error. */
static int
open_own(int fd, const char *name, struct client **client, char **error)
{
    enum client_kind kind;
    struct stat status;

    if (fstat(fd, &status) < 0) {
        int reason = -errno;
        close(fd);
        return refuse_errno(reason, error, name);
    }
    const char *why_not = identify(fd, &status, &kind);
    struct client *opened = why_not ? NULL : create(name);
    if (!opened) {
        close(fd);
        return why_not ? refuse(-EINVAL, error, name, "%s", why_not)
                       : refuse_errno(-ENOMEM, error, name);
    }
    opened->kind = kind;
    opened->own = true;
    opened->read_fd = opened->write_fd = fd;
    *client = opened;
    return 0;
}

int
client_open_path(const char *path, struct client **client, char **error)
{
    int result = client_open_file(path, client, error);

    if (result == 0)
        find_control(*client);
    return result;
}

int
client_open_file(const char *path, struct client **client, char **error)
{
    char *name;

    *error = NULL;
    if (asprintf(&name, "fifo:%s", path) < 0)
        return -ENOMEM;
    int result = open_description(path);
    if (result == -EISDIR)
        result = refuse(-EINVAL, error, name, "a directory, not a jobserver");
    else if (result < 0)
        refuse_errno(result, error, name);
    else
        result = open_own(result, name, client, error);
    free(name);
    return result;
}

int
client_open_class(const char *prefix, const char *name, struct client **client, char **error)
{
    char *path;

    *error = NULL;
    if (!class_name_is_valid(name))
        return refuse(-EINVAL, error, name, "that is not a class name");
    if (asprintf(&path, "%s%s", prefix, name) < 0)
        return -ENOMEM;
    int result = client_open_path(path, client, error);
    free(path);
    if (result == 0 && client_kind(*client) != CLIENT_SERVER) {
        client_close(*client);
        *client = NULL;
        result = -ENOENT;
    }
    if (result == -ENOENT) {
        free(*error);
        *error = NULL;
    }
    return result;
}

/* NULL and their kind, or why the two are not the ends of one jobserver. */
static const char *
check_inherited(int read_fd, int write_fd, enum client_kind *kind)
{
    struct stat read_status, write_status;
    int read_flags = fcntl(read_fd, F_GETFL), write_flags = fcntl(write_fd, F_GETFL);

    if (read_flags < 0 || write_flags < 0)
        return "not open here (a recipe without '+' does not get them)";
    if (fstat(read_fd, &read_status) < 0 || fstat(write_fd, &write_status) < 0)
        return strerror(errno);
    if ((read_flags | write_flags) & O_PATH || (read_flags & O_ACCMODE) == O_WRONLY ||
        (write_flags & O_ACCMODE) == O_RDONLY)
        return "not a readable and a writable end";
    if (!same_file(&read_status, &write_status))
        return "not two ends of one FIFO or pipe";
    return identify(read_fd, &read_status, kind);
}

/* The inherited descriptions as they are, another user's: their O_NONBLOCK is not ours to set, so that
 * tokens pass through a pipe by splice(2), which can be told not to block. */
static int
open_borrowed(const struct auth *auth, const char *name, struct client **client, char **error)
{
    struct client *opened = create(name);

    if (!opened)
        return refuse_errno(-ENOMEM, error, name);
    opened->kind = CLIENT_FIFO;
    opened->read_fd = fcntl(auth->read_fd, F_DUPFD_CLOEXEC, 0);
    opened->write_fd = fcntl(auth->write_fd, F_DUPFD_CLOEXEC, 0);
    if (opened->read_fd < 0 || opened->write_fd < 0 ||
        pipe2(opened->transit, O_CLOEXEC | O_NONBLOCK) < 0) {
        int reason = -errno;
        client_close(opened);
        return refuse_errno(reason, error, name);
    }
    *client = opened;
    return 0;
}

static int
open_inherited(const struct auth *auth, struct client **client, char **error)
{
    char name[sizeof("2147483647,2147483647")];
    enum client_kind kind;

    snprintf(name, sizeof(name), "%d,%d", auth->read_fd, auth->write_fd);
    const char *why_not = check_inherited(auth->read_fd, auth->write_fd, &kind);
    if (why_not)
        return refuse(-EBADF, error, name, "%s", why_not);
    int fd = process_reopen(auth->read_fd, OPEN_FLAGS);
    if (fd >= 0) {
        int result = open_own(fd, name, client, error);
        if (result == 0)
            find_control(*client);
        return result;
    }
    if (kind == CLIENT_FIFO)
        return open_borrowed(auth, name, client, error);
    /* A server's file knows no splice, and a read from it could block for ever. */
    return refuse(fd, error, name, "reopen: %s", strerror(-fd));
}

int
client_open(const struct auth *auth, struct client **client, char **error)
{
    *error = NULL;
    switch (auth->kind) {
    case AUTH_FIFO:
        return client_open_path(auth->path, client, error);
    case AUTH_PIPE:
        return open_inherited(auth, client, error);
    case AUTH_NONE:
    case AUTH_CLOSED:
        break;
    }
    return refuse(-EINVAL, error, "jobserver", "none is named");
}

enum client_kind
client_kind(const struct client *client)
{
    return client->kind;
}

bool
client_is_jobwrap(const struct client *client)
{
    return client->control_fd >= 0;
}

const char *
client_name(const struct client *client)
{
    return client->name;
}

int
client_fd(const struct client *client)
{
    return client->control_fd >= 0 ? client->ready_fd : client->read_fd;
}

int
client_file(const struct client *client)
{
    return client->read_fd;
}

/* --- moving tokens between pipes --- */

/* One byte, without blocking whatever the descriptions' flags are: 1, 0 if `from` is at its end
 * (no writer is left), or -errno; -EAGAIN if `from` is empty or `to` full. */
static int
splice_one(int from, int to)
{
    ssize_t moved;

    do
        moved = splice(from, NULL, to, NULL, 1, SPLICE_F_NONBLOCK);
    while (moved < 0 && errno == EINTR);
    return moved < 0 ? -errno : (int)moved;
}

/* A spliced byte fills a slot of the FIFO, of which there are 16 at first, while written ones share
 * slots; and who writes to a FIFO with no free slot waits, a make that has got enough tokens for
 * ever. So keep half of the slots free. -errno: it cannot be made larger (pipe(7)). */
static int
ensure_slots(int fd)
{
    int bytes, size = fcntl(fd, F_GETPIPE_SZ);

    if (size < 0 || ioctl(fd, FIONREAD, &bytes) < 0)
        return -errno;
    if (bytes < size / (int)sysconf(_SC_PAGESIZE) / 2)
        return 0;
    return fcntl(fd, F_SETPIPE_SZ, 2 * size) < 0 ? -errno : 0;
}

/* --- taking --- */

static int
read_one(int fd, char *token)
{
    ssize_t got;

    do
        got = read(fd, token, 1);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN ? 0 : -errno;
    return got == 0 ? -EPIPE : 1;
}

static void
drain(int notices_fd)
{
    char notices[64];

    while (read(notices_fd, notices, sizeof(notices)) > 0)
        continue;
}

/* What the pipe said is old: the answer is the truth, and what comes after it will be told. */
static int
ask_for_token(struct client *client, enum control_operation operation)
{
    struct control_packet packet;

    control_begin(&packet, operation);
    drain(client->ready_fd);
    return control_ask(client->control_fd, &packet, NULL);
}

int
client_try_acquire(struct client *client, char *token)
{
    if (client->control_fd >= 0) {
        *token = '+';
        return ask_for_token(client, CONTROL_ACQUIRE);
    }
    if (client->own)
        return read_one(client->read_fd, token);
    int moved = splice_one(client->read_fd, client->transit[1]);
    if (moved == -EAGAIN)
        return 0;
    if (moved <= 0)
        return moved < 0 ? moved : -EPIPE;
    return read_one(client->transit[0], token);
}

/* Tries until there is one, or an error. */
static int
await(struct client *client, int timeout_ms, int (*try)(struct client *client, char *token),
      char *token)
{
    int64_t deadline_ns = deadline_in_ms(timeout_ms);

    for (;;) {
        int got = try(client, token);
        if (got != 0)
            return got;
        int events = wait_for(client_fd(client), POLLIN, deadline_ns);
        if (events <= 0)
            return events;
        /* POLLIN: one was there, but somebody may be faster. An error shows in the next read; if
         * it does not, to poll again would be a busy loop. */
        if (!(events & POLLIN)) {
            got = try(client, token);
            return got ? got : -EIO;
        }
    }
}

int
client_acquire(struct client *client, int timeout_ms, char *token)
{
    return await(client, timeout_ms, client_try_acquire, token);
}

static int
try_take_back(struct client *client, char *token)
{
    return ask_for_token(client, CONTROL_TAKE_BACK);
}

int
client_take_back(struct client *client, int timeout_ms)
{
    return client->control_fd < 0 ? -ENOTTY : await(client, timeout_ms, try_take_back, NULL);
}

/* --- giving back --- */

static int
write_one(int fd, char token)
{
    ssize_t put;

    do
        put = write(fd, &token, 1);
    while (put < 0 && errno == EINTR);
    if (put < 0)
        return -errno;
    return put == 1 ? 0 : -EIO;
}

/* Through a description that may block. RWF_NOWAIT is for pipes, as long as nobody splices into them;
 * named FIFOs do not know it. */
static int
write_one_borrowed(struct client *client, char token)
{
    struct iovec byte = {.iov_base = &token, .iov_len = 1};
    char back;

    ssize_t put = pwritev2(client->write_fd, &byte, 1, -1, RWF_NOWAIT);
    if (put >= 0)
        return put == 1 ? 0 : -EIO;
    if (errno != EOPNOTSUPP)
        return -errno;
    ensure_slots(client->write_fd);
    int result = write_one(client->transit[1], token);
    if (result < 0)
        return result;
    result = splice_one(client->transit[0], client->write_fd);
    if (result == 1)
        return 0;
    read_one(client->transit[0], &back);
    return result < 0 ? result : -EIO;
}

static int
release_by_control(struct client *client)
{
    struct control_packet packet;

    control_begin(&packet, CONTROL_RETURN);
    return packet_send(client->control_fd, &packet, control_question_size(CONTROL_RETURN), -1);
}

int
client_release(struct client *client, char token)
{
    int64_t deadline_ns = deadline_in_ms(ROOM_TIMEOUT_MS);

    if (client->control_fd >= 0)
        return release_by_control(client);

    for (;;) {
        int result =
            client->own ? write_one(client->write_fd, token) : write_one_borrowed(client, token);
        if (result == -EINTR)
            continue;
        if (result != -EAGAIN)
            return result;
        result = wait_for_room(client->write_fd, deadline_ns);
        if (result < 0)
            return result;
    }
}

/* --- to a pipe, and back --- */

static int
splice_to(struct client *client, int pipe_fd)
{
    for (;;) {
        int moved = splice_one(client->read_fd, pipe_fd);
        if (moved == 0)
            return -EPIPE;
        if (moved != -EAGAIN)
            return moved;
        if (!is_ready(client->read_fd, POLLIN))
            return 0;
        if (!is_ready(pipe_fd, POLLOUT))
            return -ENOSPC;
        /* Both have changed in between. */
    }
}

/* Where the FIFO has few slots left and cannot be made larger: written bytes share slots. A SIGKILL
 * between the two calls loses the token. (A pipe that was spliced knows RWF_NOWAIT no more.) */
static int
copy_from(struct client *client, int pipe_fd)
{
    char token;
    int result = wait_for_room(client->write_fd, deadline_in_ms(ROOM_TIMEOUT_MS));

    if (result < 0)
        return result;
    if (!is_ready(pipe_fd, POLLIN))
        return 0;
    result = read_one(pipe_fd, &token);
    if (result <= 0)
        return result;
    result = client_release(client, token);
    return result < 0 ? result : 1;
}

static int
splice_from(struct client *client, int pipe_fd)
{
    int64_t deadline_ns = deadline_in_ms(ROOM_TIMEOUT_MS);

    if (ensure_slots(client->write_fd) < 0)
        return copy_from(client, pipe_fd);
    for (;;) {
        int moved = splice_one(pipe_fd, client->write_fd);
        if (moved != -EAGAIN)
            return moved;
        if (!is_ready(pipe_fd, POLLIN))
            return 0;
        int room = wait_for_room(client->write_fd, deadline_ns);
        if (room < 0)
            return room;
    }
}

/* An open is an event that inotify does tell. */
static void
announce(const struct client *client)
{
    int fd = client->is_silent ? process_reopen(client->read_fd, OPEN_FLAGS) : -1;

    if (fd >= 0)
        close(fd);
}

int
client_move_to(struct client *client, int pipe_fd)
{
    char token;

    if (client->kind == CLIENT_FIFO) {
        int moved = splice_to(client, pipe_fd);
        if (moved == 1)
            announce(client);
        return moved;
    }
    int result = client_try_acquire(client, &token);
    if (result <= 0)
        return result;
    if (write(pipe_fd, &token, 1) == 1)
        return 1;
    client_release(client, token);
    return -ENOSPC;
}

int
client_move_from(struct client *client, int pipe_fd)
{
    char token;

    if (client->kind == CLIENT_FIFO) {
        int moved = splice_from(client, pipe_fd);
        if (moved == 1)
            announce(client);
        return moved;
    }
    if (read(pipe_fd, &token, 1) != 1)
        return 0;
    int result = client_release(client, token);
    return result < 0 ? result : 1;
}

unsigned
client_tokens_in_pipe(const struct client *client, unsigned bytes)
{
    /* A spliced byte takes a slot, that is a page, however short it is. */
    return client->kind == CLIENT_FIFO ? bytes / (unsigned)sysconf(_SC_PAGESIZE) : bytes;
}

/* --- asking --- */

/* A jobwrap that does not say how many operations it knows is an old one. */
static bool
knows(const struct client *client, enum control_operation operation)
{
    return operation < (client->operations > 0 ? client->operations : CONTROL_WEIGHT + 1u);
}

/* `argument` is what goes out with the request, comes back with it, or both. */
static int
ask(struct client *client, unsigned long request, enum control_operation operation, void *argument,
    size_t size)
{
    struct control_packet packet;
    int result;

    if (client->kind != CLIENT_SERVER)
        return -ENOTTY;
    if (client->control_fd >= 0) {
        if (!knows(client, operation))
            return -ENOTTY;
        control_begin(&packet, operation);
        /* Else it need not have been set. */
        if (_IOC_DIR(request) & _IOC_WRITE)
            memcpy(&packet.status, argument, size);
        result = control_ask(client->control_fd, &packet, NULL);
        if (result >= 0 && size > 0)
            memcpy(argument, &packet.status, size);
        return result;
    }
    do
        result = ioctl(client->read_fd, request, argument);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

static int
ask_to_lend(struct client *client, enum control_operation operation)
{
    struct control_packet packet;

    if (client->control_fd < 0 || !knows(client, operation))
        return -ENOTTY;
    control_begin(&packet, operation);
    return control_ask(client->control_fd, &packet, NULL);
}

int
client_lend(struct client *client)
{
    return ask_to_lend(client, CONTROL_LEND);
}

int
client_spare(struct client *client)
{
    return ask_to_lend(client, CONTROL_SPARE);
}

int
client_count_free(struct client *client, unsigned *tokens_free)
{
    struct steved_status status;
    int bytes = 0;

    if (client->kind == CLIENT_SERVER) {
        int result = client_get_status(client, &status);
        if (result == 0)
            *tokens_free = status.free;
        return result;
    }
    if (ioctl(client->read_fd, FIONREAD, &bytes) < 0)
        return -errno;
    if (bytes < 0)
        return -EIO;
    *tokens_free = (unsigned)bytes;
    return 0;
}

int
client_get_status(struct client *client, struct steved_status *status)
{
    return ask(client, STEVED_IOC_STATUS, CONTROL_STATUS, status, sizeof(*status));
}

int
client_get_throttle(struct client *client, struct steved_throttle *throttle)
{
    return ask(client, STEVED_IOC_THROTTLE, CONTROL_THROTTLE, throttle, sizeof(*throttle));
}

int
client_account(struct client *client, struct steved_account *account)
{
    return ask(client, STEVED_IOC_ACCOUNT, CONTROL_ACCOUNT, account, sizeof(*account));
}

/* Who serves may be anybody, and what it tells ends up on a terminal. */
static void
make_showable(char *name, size_t size)
{
    name[size - 1] = '\0';
    make_printable_text(name, size);
}

int
client_get_clients(struct client *client, struct steved_clients *page)
{
    int result = ask(client, STEVED_IOC_CLIENTS, CONTROL_CLIENTS, page, sizeof(*page));

    if (result < 0)
        return result;
    if (page->count > STEVED_CLIENTS_PER_PAGE)
        return -EIO;
    for (unsigned i = 0; i < page->count; i++)
        make_showable(page->clients[i].command, sizeof(page->clients[i].command));
    return result;
}

int
client_get_classes(struct client *client, struct steved_classes *classes)
{
    int result = ask(client, STEVED_IOC_CLASSES, CONTROL_CLASSES, classes, sizeof(*classes));

    if (result < 0)
        return result;
    if (classes->count > STEVED_CLASSES_MAX)
        return -EIO;
    for (unsigned i = 0; i < classes->count; i++) {
        classes->classes[i].name[STEVED_CLASS_NAME_SIZE - 1] = '\0';
        if (!class_name_is_valid(classes->classes[i].name))
            return -EIO;
    }
    return 0;
}

unsigned
client_class_number(struct client *client, const char *name)
{
    struct steved_classes classes;

    if (client_get_classes(client, &classes) < 0)
        return 0;
    for (unsigned i = 0; i < classes.count; i++)
        if (strcmp(classes.classes[i].name, name) == 0)
            return i + 1;
    return 0;
}

int
client_set(struct client *client, const struct steved_settings *settings)
{
    struct steved_settings copy = *settings;

    return ask(client, STEVED_IOC_SET, CONTROL_SET, &copy, sizeof(copy));
}

/* The connection itself is the group: the keeper has it, too. */
int
client_join_group(struct client *client)
{
    if (client->kind != CLIENT_SERVER || client->control_fd >= 0)
        return 0;
    return ask(client, STEVED_IOC_JOIN_GROUP, CONTROL_OPERATIONS, NULL, 0);
}

int
client_pay_implicit(struct client *client)
{
    if (client->kind != CLIENT_SERVER)
        return 0;
    return ask(client, STEVED_IOC_PAY_IMPLICIT, CONTROL_PAY_IMPLICIT, NULL, 0);
}

int
client_need(struct client *client, unsigned waiting_without)
{
    struct control_packet packet = {.operation = CONTROL_NEED,
                                    .need = {.waiting = waiting_without}};

    if (client->kind != CLIENT_SERVER)
        return 0;
    if (client->control_fd >= 0)
        return packet_send(client->control_fd, &packet, control_question_size(CONTROL_NEED), -1);
    return ask(client, STEVED_IOC_NEED, CONTROL_NEED, &packet.need, sizeof(packet.need));
}

int
client_set_weight(struct client *client, unsigned weight)
{
    struct steved_weight argument = {.weight = weight};

    if (client->kind != CLIENT_SERVER)
        return 0;
    return ask(client, STEVED_IOC_WEIGHT, CONTROL_WEIGHT, &argument, sizeof(argument));
}

int
client_claim_implicit(struct client *client, struct steved_claim *claim)
{
    *claim = (struct steved_claim){0};
    return ask(client, STEVED_IOC_CLAIM_IMPLICIT, CONTROL_CLAIM_IMPLICIT, claim, sizeof(*claim));
}

int
client_memory(struct client *client, struct steved_memory *memory)
{
    return ask(client, STEVED_IOC_MEMORY, CONTROL_MEMORY, memory, sizeof(*memory));
}

/* steved tells by POLLPRI. Of a recall the answer stays the same until the wish is granted: so by the edge. */
static int
open_epoll_of_file(const struct client *client, uint32_t events)
{
    struct epoll_event event = {.events = events};
    int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd >= 0 && epoll_ctl(fd, EPOLL_CTL_ADD, client->read_fd, &event) == 0)
        return fd;
    int result = -errno;
    close_if_open(fd);
    return result;
}

/* What a jobwrap tells by: the reading end of a pipe. */
static int
ask_for_pipe(const struct client *client, enum control_operation operation)
{
    struct control_packet packet;
    int fd;

    control_begin(&packet, operation);
    int result = control_ask(client->control_fd, &packet, &fd);
    return result < 0 ? result : fd < 0 ? -EPROTO : fd;
}

int
client_open_recall(struct client *client)
{
    if (client->kind != CLIENT_SERVER)
        return -EOPNOTSUPP;
    if (client->control_fd < 0)
        return open_epoll_of_file(client, EPOLLPRI | EPOLLET);
    return ask_for_pipe(client, CONTROL_RECALL);
}

void
client_drain_recall(const struct client *client, int fd)
{
    struct epoll_event event;

    if (client->control_fd >= 0)
        drain(fd);
    else
        while (epoll_wait(fd, &event, 1, 0) > 0)
            continue;
}

/* --- events --- */

/* One page of what there is, from the cursor on. */
static int
ask_events(struct client *client, struct steved_events *page)
{
    *page = (struct steved_events){.cursor = client->cursor};
    int result = ask(client, STEVED_IOC_EVENTS, CONTROL_EVENTS, page, sizeof(*page));
    if (result < 0)
        return result;
    if (page->size > sizeof(page->bytes))
        return -EIO;
    client->cursor = page->cursor;
    return 0;
}

int
client_watch(struct client *client)
{
    struct steved_events page;

    if (client->kind != CLIENT_SERVER || (client->control_fd >= 0 && !knows(client, CONTROL_WATCH)))
        return -ENOTTY;
    if (client->watch_fd < 0)
        client->watch_fd = client->control_fd >= 0 ? ask_for_pipe(client, CONTROL_WATCH)
                                                   : open_epoll_of_file(client, EPOLLPRI);
    return client->watch_fd < 0 ? client->watch_fd : ask_events(client, &page);
}

int
client_watch_fd(const struct client *client)
{
    return client->watch_fd >= 0 ? client->watch_fd : -1;
}

/* The notices of a jobwrap first: what comes after the answer is told anew. */
int
client_next_events(struct client *client, struct client_events *events)
{
    struct steved_event event = {0};
    struct steved_events page;

    events->count = 0;
    if (client->control_fd >= 0 && client->watch_fd >= 0)
        drain(client->watch_fd);
    int result = ask_events(client, &page);
    if (result < 0)
        return result;
    for (size_t read = 0; read < page.size;) {
        size_t size = event_decode(&event, page.bytes + read, page.size - read);
        if (size == 0 || events->count == STEVED_EVENTS_PER_PAGE)
            return -EIO;
        events->events[events->count] = event;
        make_showable(events->events[events->count++].name, sizeof(event.name));
        read += size;
    }
    return page.has_more != 0;
}

int
client_tell(struct client *client, struct steved_told *told)
{
    return ask(client, STEVED_IOC_TELL, CONTROL_TELL, told, sizeof(*told));
}
