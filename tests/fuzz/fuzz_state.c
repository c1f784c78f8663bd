/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The state that a server leaves, taken over by another. An input: what is asked of the first; where its state is
 * spoilt; and what is asked of the next. That one either refuses the state, or is as sound as one that has begun by
 * itself; what is not spoilt is never refused.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "steved/replay.h"
#include "steved/requests.h"
#include "steved/restore.h"
#include "tests/fuzz/device.h"

#define STEPS_MAX 64u
#define CHUNKS_MAX 64u
#define CHUNK 4096u

/* --- instead of session.c and messages --- */

void
session_process(struct session *session, const void *request)
{
    device_ask_again(request);
}

static int
device_fd(void)
{
    static int fd = -1;

    if (fd < 0)
        fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    return fd;
}

void __wrap_message(const char *format, ...) __attribute__((format(printf, 1, 2)));
void __wrap_message_errno(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

__attribute__((format(printf, 1, 0))) static void
say(const char *format, va_list arguments)
{
    char *text;

    ALWAYS(vasprintf(&text, format, arguments) >= 0);
    ALWAYS(!strchr(text, '\n'));
    free(text);
}

void
__wrap_message(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void
__wrap_message_errno(int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

/* --- the file --- */

struct chunks {
    off_t at[CHUNKS_MAX];
    unsigned count;
};

/* What of it is there; all else is zero. */
static struct chunks
find_chunks(int fd, off_t size)
{
    struct chunks chunks = {.count = 0};

    for (off_t at = 0; at < size && chunks.count < CHUNKS_MAX; at += CHUNK) {
        at = lseek(fd, at, SEEK_DATA);
        if (at < 0)
            break;
        chunks.at[chunks.count++] = at;
    }
    return chunks;
}

/* As it is at this moment. */
static int
copy_state(const struct server *server, struct chunks *chunks)
{
    const int from = state_fd(server->state);
    int to = memfd_create("copy", MFD_CLOEXEC);
    unsigned char bytes[CHUNK];
    struct stat status;

    ALWAYS(to >= 0 && fstat(from, &status) == 0 && ftruncate(to, status.st_size) == 0);
    *chunks = find_chunks(from, status.st_size);
    for (unsigned i = 0; i < chunks->count; i++) {
        ssize_t size = pread(from, bytes, sizeof(bytes), chunks->at[i]);
        ALWAYS(size > 0 && pwrite(to, bytes, (size_t)size, chunks->at[i]) == size);
    }
    return to;
}

/* Up to eight numbers in it are others. */
static bool
spoil(int fd, const struct chunks *chunks, struct input *input)
{
    static const uint64_t numbers[] = {0,   1, 2, 255, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 31,
                                       4096};
    unsigned count = input_below(input, 9);

    for (unsigned i = 0; i < count; i++) {
        off_t at = chunks->at[input_byte(input) % chunks->count];
        uint16_t offset;
        input_bytes(input, &offset, sizeof(offset));
        unsigned how = input_byte(input), size = how & 1 ? 8 : how & 2 ? 4 : 1;
        uint64_t number = how & 4 ? numbers[how >> 5] : input_byte(input);
        at += offset % CHUNK / size * size;
        ALWAYS(pwrite(fd, &number, size, at) == (ssize_t)size);
    }
    return count > 0;
}

/* --- two servers, one after the other --- */

/* 0, or a negative errno: it was refused. has_lost_classes: nobody has kept their devices. */
static int
take_over(struct server *server, int fd, bool has_lost_classes)
{
    static const struct session_calls calls = {server_look, requests_record, server_settle,
                                               server_leave};
    struct session sessions[STATE_FILES_MAX];
    const char *what = NULL;

    server->state = state_open(fd, &what);
    if (!server->state) {
        ALWAYS(what);
        close(fd);
        return -EINVAL;
    }
    int error = restore(server);
    if (error < 0)
        return error;
    for (unsigned i = 0; i < STATE_FILES_MAX; i++)
        sessions[i] = (struct session){.channel.fd = device_fd(),
                                       .server = server,
                                       .number = i,
                                       .calls = &calls,
                                       .is_inherited = i == 0 || !has_lost_classes};
    for (unsigned i = 1; i < server->file_count && has_lost_classes; i++)
        requests_end_file(&server->files[i]);
    replay_requests(sessions, restore_settle);
    return 0;
}

/* A request begins with its size. */
static void
greet(struct state_greeting *greeting)
{
    greeting->request_size = greeting->answer_size = sizeof(greeting->request_size) * 2;
    memcpy(greeting->request, &greeting->request_size, sizeof(greeting->request_size));
}

static struct server *
begin(const struct options *options, struct input *input)
{
    struct server *server = device_create(options);

    ALWAYS(server_begin(server) == 0);
    greet(state_greeting(server->state, 0));
    device_steps(input, input_below(input, STEPS_MAX + 1));
    server_settle(server);
    if (input_below(input, 2))
        device_arrive(input);
    return server;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    const struct options options = {.device = "steve",
                                    .jobs = 1 + input_below(&input, 3),
                                    .min_jobs = 1,
                                    .per_process_limit = input_below(&input, 3),
                                    .limits.load_recheck_ms = 5000,
                                    .classes = {1, {{.name = "link", .jobs = 1}}}};
    struct chunks chunks;

    int fd = copy_state(begin(&options, &input), &chunks);
    device_end();
    bool is_spoilt = spoil(fd, &chunks, &input);
    bool has_lost_classes = input_below(&input, 4) == 3;
    if (take_over(device_succeed(&options), fd, has_lost_classes) == 0) {
        device_check();
        device_steps(&input, UINT32_MAX);
    } else {
        ALWAYS(is_spoilt);
    }
    device_end();
    return 0;
}
