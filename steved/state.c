/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The file: a head, the request, two answers, the tables, and a log.
 *
 * What is put is written into the log, of which nobody takes notice until its size is set, in one step: that
 * is the commit. Then the log is applied to the tables, and its size is 0 again; a new server does so if the
 * old one did not come to it. A server that is killed leaves its memory as its instructions have written it,
 * in their order, so that nothing but the compiler must be kept from changing that.
 *
 * The file is as large as all rows that there can be: what is not used takes no memory. Only the head, the
 * request and the answers are there from the beginning.
 */
#include "steved/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libjobserver/pool/rows.h"
#include "libjobserver/program/message.h"
#include "steved/steps.h"

/* Linux 6.3: else it complains in its log. Kernels before know none such, and make the file without. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static const char magic[8] = "steved\n";

/* Openings, and clients, of which each may have processes, groups and accounts in the pool. A build for tests has
 * fewer. */
#ifndef OPENINGS_MAX
#define OPENINGS_MAX (UINT32_C(1) << 17)
#endif

struct entry {
    uint32_t offset, size; /* in the file; of what follows, which is filled up to a multiple of 8 */
};

struct head {
    char magic[8];
    uint32_t version;
    uint32_t file_size;
    uint32_t log_size; /* 0: nothing is to be applied */
    uint32_t answer;   /* which of the two is the last */
    uint32_t answer_sizes[2], answer_sessions[2];
    uint32_t request_session;
    uint32_t request_tries;
    uint32_t rows[STATE_TABLES]; /* see state_rows() */
    struct state_greeting greetings[STATE_FILES_MAX];
};

/* --- the layout --- */

#define ALIGNED(size, to) (((size) + (to)-1) / (to) * (to))

enum {
    PAGE = 4096,
    REQUEST_AT = ALIGNED(sizeof(struct head), PAGE),
    ANSWERS_AT = REQUEST_AT + STATE_REQUEST_SIZE,
    HEAD_SIZE = ANSWERS_AT + 2 * STATE_ANSWER_SIZE, /* what is there from the beginning */
};

struct table {
    uint32_t size, count;
};

/* The others' tables have a sixteenth of the rows, but for those of tokens. */
static const struct table file_tables[STATE_FILE_TABLES] = {
    [STATE_POOL_ROWS + POOL_ROW_POOL] = {sizeof(struct pool_row), 1},
    [STATE_POOL_ROWS + POOL_ROW_ACCOUNT] = {sizeof(struct pool_row), 4 * OPENINGS_MAX},
    [STATE_POOL_ROWS + POOL_ROW_PROCESS] = {sizeof(struct pool_row), 2 * OPENINGS_MAX},
    [STATE_POOL_ROWS + POOL_ROW_GROUP] = {sizeof(struct pool_row), 2 * OPENINGS_MAX},
    [STATE_POOL_ROWS + POOL_ROW_OPENING] = {sizeof(struct pool_row), OPENINGS_MAX},
    [STATE_POOL_ROWS + POOL_ROW_LOAN] = {sizeof(struct pool_row), POOL_CAPACITY_MAX},
    [STATE_CLIENT] = {sizeof(struct state_client), 2 * OPENINGS_MAX},
    [STATE_OPENING] = {sizeof(struct state_opening), OPENINGS_MAX},
    [STATE_FILE] = {sizeof(struct state_file), 1},
};

static const struct table server_tables[STATE_TABLES - STATE_SERVER] = {
    [0] = {sizeof(struct state_server), 1},
    [STATE_SERIAL - STATE_SERVER] = {sizeof(struct state_serial), 1},
    [STATE_WAITER - STATE_SERVER] = {sizeof(struct state_waiter), OPENINGS_MAX},
};

static struct table
table_of(enum state_table number)
{
    if (number >= STATE_SERVER)
        return server_tables[number - STATE_SERVER];
    struct table table = file_tables[number % STATE_FILE_TABLES];
    if (number >= STATE_FILE_TABLES && table.count > POOL_CAPACITY_MAX)
        table.count /= 16;
    return table;
}

static_assert(STATE_CLIENT == STATE_POOL_ROWS + POOL_ROW_KINDS, "a table for each kind of row");
static_assert(sizeof(struct state_client) == 32 && sizeof(struct state_opening) == 40 &&
                  sizeof(struct state_waiter) == 104 && sizeof(struct state_settings) == 32 &&
                  sizeof(struct state_file) == 48,
              "padding in a row");

struct state {
    unsigned char *file;
    int fd;
    uint32_t at[STATE_TABLES]; /* where the tables are in the file */
    uint32_t log_at, file_size;
    uint32_t log_used; /* not committed yet */
    enum { NO_REQUEST, REQUEST, WAITER } serving;
    uint32_t waiter;  /* that is being served */
    uint32_t *unused; /* numbers below state_rows() that no waiter has */
    uint32_t unused_count, unused_room;
};

static struct head *
head_of(const struct state *state)
{
    return (struct head *)state->file;
}

static void
lay_out(struct state *state)
{
    uint32_t at = HEAD_SIZE, rows_size = 0;

    for (size_t i = 0; i < STATE_TABLES; i++) {
        state->at[i] = at;
        const struct table table = table_of((enum state_table)i);
        const uint32_t size = ALIGNED(table.size * table.count, PAGE);
        at += size;
        if (i < STATE_FILE_TABLES || i >= STATE_SERVER)
            rows_size += size;
    }
    state->log_at = at;
    /* All rows of the first file at once, each with its entry. */
    state->file_size = at + rows_size / 2 * 3;
}

static unsigned char *
place_of(const struct state *state, enum state_table table, uint32_t number)
{
    return state->file + state->at[table] + (size_t)number * table_of(table).size;
}

static uint32_t *
request_size(const struct state *state)
{
    return (uint32_t *)(state->file + REQUEST_AT);
}

static struct state_waiter *
waiter_of(const struct state *state, uint32_t number)
{
    return (struct state_waiter *)place_of(state, STATE_WAITER, number);
}

/* --- making and finding it --- */

static int
make_file(uint32_t size)
{
    int fd = memfd_create("steved", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("steved", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    /* Whoever else has it open cannot take the memory away below us. */
    if (fd < 0 || (ftruncate(fd, size) == 0 &&
                   fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0))
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* The server's own: one of the open file would be that of all who keep it. */
static bool
lock(int fd)
{
    const struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_SETLK, &whole) == 0 || (errno != EACCES && errno != EAGAIN);
}

/* What is there from the beginning is looked at by the kernel while it must not wait. */
static int
map(struct state *state)
{
    const int flags = state->fd >= 0 ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS;
    const int rights = PROT_READ | PROT_WRITE;
    void *file = mmap(NULL, state->file_size, rights, flags | MAP_NORESERVE, state->fd, 0);

    if (file == MAP_FAILED)
        return -ENOMEM;
    state->file = file;
    if (mmap(file, HEAD_SIZE, rights, flags | MAP_FIXED | MAP_POPULATE, state->fd, 0) == MAP_FAILED)
        return -ENOMEM;
    /* Where that is not allowed, the memory is there as long as there is no need to swap. */
    mlock(file, HEAD_SIZE);
    return 0;
}

static struct state *
state_new(int fd)
{
    struct state *state = calloc(1, sizeof(*state));

    if (!state)
        return NULL;
    lay_out(state);
    state->fd = fd;
    return state;
}

static struct state *
state_discard(struct state *state)
{
    if (state->file)
        munmap(state->file, state->file_size);
    free(state->unused);
    free(state);
    return NULL;
}

struct state *
state_create(void)
{
    struct state *state = state_new(-1);

    if (!state)
        return NULL;
    state->fd = make_file(state->file_size);
    if (state->fd < 0)
        message_errno(errno,
                      "start: no other server will be able to take over: make a file in memory");
    else
        lock(state->fd);
    if (map(state) < 0) {
        if (state->fd >= 0)
            close(state->fd);
        return state_discard(state);
    }
    struct head *head = head_of(state);
    memcpy(head->magic, magic, sizeof(magic));
    head->version = STATE_VERSION;
    head->file_size = state->file_size;
    return state;
}

void
state_close(struct state *state)
{
    if (state->fd >= 0)
        close(state->fd);
    state_discard(state);
}

int
state_fd(const struct state *state)
{
    return state->fd;
}

/* Before anything else is believed. */
static const char *
look_at_file(int fd, uint32_t file_size)
{
    struct head head;
    struct stat status;

    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return "it is not a file";
    if (pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
        memcmp(head.magic, magic, sizeof(magic)) != 0)
        return "it is not a state of steved";
    if (head.version != STATE_VERSION)
        return "it was written by another version, whose states this one does not know";
    if (head.file_size != file_size || status.st_size != file_size)
        return "it has the wrong size";
    return NULL;
}

static uint32_t
size_of_request(const unsigned char *request)
{
    uint32_t size;

    memcpy(&size, request, sizeof(size));
    return size;
}

static bool
is_damaged(const struct state_greeting *greeting)
{
    return greeting->request_size > STATE_GREETING_SIZE ||
           greeting->answer_size > STATE_GREETING_SIZE ||
           size_of_request(greeting->request) != greeting->request_size;
}

static const char *
look_at_greetings(const struct head *head)
{
    if (head->greetings[0].answer_size == 0)
        return "the server that has left it had not begun to serve";
    for (size_t i = 0; i < STATE_FILES_MAX; i++)
        if (head->greetings[i].answer_size > 0 && is_damaged(&head->greetings[i]))
            return "its greeting is damaged";
    return NULL;
}

/* What is looked at before the rows are. */
static const char *
look_at_head(const struct state *state)
{
    const struct head *head = head_of(state);

    if (head->log_size > state->file_size - state->log_at)
        return "its log is damaged";
    if (head->answer > 1 || head->answer_sizes[head->answer] > STATE_ANSWER_SIZE ||
        head->answer_sessions[head->answer] >= STATE_FILES_MAX)
        return "its last answer is damaged";
    for (size_t i = 0; i < STATE_TABLES; i++)
        if (head->rows[i] > table_of((enum state_table)i).count)
            return "one of its tables is damaged";
    return look_at_greetings(head);
}

/* What will be handed on as long as its first word says. */
static const char *
look_at_requests(const struct state *state)
{
    if (*request_size(state) > STATE_REQUEST_SIZE ||
        head_of(state)->request_session >= STATE_FILES_MAX)
        return "the request that was being served is damaged";
    for (uint32_t i = 0; i < state_rows(state, STATE_WAITER); i++) {
        const struct state_waiter *waiter = waiter_of(state, i);
        if (waiter->state != 0 && (size_of_request(waiter->request) > STATE_WAITER_SIZE ||
                                   waiter->session >= STATE_FILES_MAX))
            return "a request that waits is damaged";
    }
    return NULL;
}

/* --- the log --- */

static bool
apply(struct state *state)
{
    const unsigned char *log = state->file + state->log_at;
    const size_t size = head_of(state)->log_size;
    struct entry entry;

    for (size_t at = 0; at < size; at += sizeof(entry) + ALIGNED((size_t)entry.size, 8)) {
        if (size - at < sizeof(entry))
            return false;
        memcpy(&entry, log + at, sizeof(entry));
        if (entry.offset > state->log_at || entry.size > state->log_at - entry.offset ||
            entry.size > size - at - sizeof(entry))
            return false;
        memcpy(state->file + entry.offset, log + at + sizeof(entry), entry.size);
        steps_count();
    }
    atomic_signal_fence(memory_order_seq_cst);
    head_of(state)->log_size = 0;
    return true;
}

/* Whoever needs more has never been seen, and is not told apart from who is out of memory. */
static unsigned char *
log_extend(struct state *state, uint32_t offset, size_t size)
{
    const struct entry entry = {offset, (uint32_t)size};
    unsigned char *at = state->file + state->log_at + state->log_used;

    if (state->log_used + sizeof(entry) + size > state->file_size - state->log_at) {
        message("serve: too much changes at once");
        abort();
    }
    memcpy(at, &entry, sizeof(entry));
    state->log_used += (uint32_t)(sizeof(entry) + ALIGNED(size, 8));
    return at + sizeof(entry);
}

static void
log_add(struct state *state, const void *place, const void *bytes, size_t size)
{
    uint32_t offset = (uint32_t)((const unsigned char *)place - state->file);

    memcpy(log_extend(state, offset, size), bytes, size);
}

void
state_commit(struct state *state)
{
    if (state->log_used == 0)
        return;
    steps_count();
    atomic_signal_fence(memory_order_seq_cst);
    head_of(state)->log_size = state->log_used;
    atomic_signal_fence(memory_order_seq_cst);
    steps_count();
    state->log_used = 0;
    apply(state);
    steps_count();
}

/* --- rows --- */

uint32_t
state_room(enum state_table table)
{
    return table_of(table).count;
}

bool
state_has_room(enum state_table table, uint32_t number)
{
    return number < state_room(table);
}

void
state_put(struct state *state, enum state_table table, uint32_t number, const void *bytes,
          size_t size)
{
    uint32_t *rows = &head_of(state)->rows[table];

    assert(state_has_room(table, number) && size <= table_of(table).size);
    log_add(state, place_of(state, table, number), bytes, size);
    /* Of a row that is not committed there are zeros. */
    if (number >= *rows)
        *rows = number + 1;
}

void
state_drop(struct state *state, enum state_table table, uint32_t number)
{
    static const unsigned char zeros[sizeof(struct state_waiter)];

    static_assert(sizeof(struct pool_row) <= sizeof(zeros), "the largest rows that end");
    assert(table_of(table).size <= sizeof(zeros));
    state_put(state, table, number, zeros, table_of(table).size);
}

const void *
state_row(const struct state *state, enum state_table table, uint32_t number)
{
    return place_of(state, table, number);
}

uint32_t
state_rows(const struct state *state, enum state_table table)
{
    return head_of(state)->rows[table];
}

bool
state_has_rows(const struct state *state, enum state_table table)
{
    const unsigned char *rows = place_of(state, table, 0);
    const size_t size = (size_t)state_rows(state, table) * table_of(table).size;

    for (size_t i = 0; i < size; i++)
        if (rows[i])
            return true;
    return false;
}

/* --- the request that is being served --- */

/* Whose it is must be known as soon as it is there. */
void *
state_request(struct state *state, unsigned session)
{
    head_of(state)->request_session = session;
    return request_size(state);
}

bool
state_has_request(const struct state *state)
{
    return *request_size(state) > 0;
}

const void *
state_serve_request(struct state *state)
{
    state->serving = REQUEST;
    return request_size(state);
}

const void *
state_serve_waiter(struct state *state, uint32_t number)
{
    state->serving = WAITER;
    state->waiter = number;
    return waiter_of(state, number)->request;
}

unsigned
state_session(const struct state *state)
{
    return state->serving == WAITER ? waiter_of(state, state->waiter)->session
                                    : head_of(state)->request_session;
}

/* Without memory a number stays unused until there is a new server. */
static void
put_aside(struct state *state, uint32_t number)
{
    if (state->unused_count == state->unused_room) {
        uint32_t room = state->unused_room ? 2 * state->unused_room : 64;
        uint32_t *unused = reallocarray(state->unused, room, sizeof(*unused));
        if (!unused)
            return;
        state->unused = unused;
        state->unused_room = room;
    }
    state->unused[state->unused_count++] = number;
}

static uint32_t
unused_waiter(struct state *state)
{
    uint32_t number = state_rows(state, STATE_WAITER);

    if (state->unused_count > 0)
        return state->unused[--state->unused_count];
    return state_has_room(STATE_WAITER, number) ? number : STATE_NONE;
}

static void
consume_request(struct state *state)
{
    static const uint32_t none = 0;

    log_add(state, request_size(state), &none, sizeof(none));
    state->serving = NO_REQUEST;
}

uint32_t
state_wait(struct state *state, pid_t pid)
{
    struct state_waiter row = {
        .state = STATE_WAITER_WAITS, .pid = pid, .session = head_of(state)->request_session};
    uint32_t number = state->waiter;

    if (state->serving == REQUEST) {
        number = *request_size(state) <= sizeof(row.request) ? unused_waiter(state) : STATE_NONE;
        if (number == STATE_NONE)
            return STATE_NONE;
        memcpy(row.request, request_size(state), *request_size(state));
        state_put(state, STATE_WAITER, number, &row, sizeof(row));
        consume_request(state);
    }
    state->serving = NO_REQUEST;
    return number;
}

void
state_waiter_answered(struct state *state, uint32_t number, int error)
{
    const struct state_waiter row = {.state = STATE_WAITER_IS_ANSWERED, .error = error};

    state_put(state, STATE_WAITER, number, &row, offsetof(struct state_waiter, tries));
}

void
state_waiter_end(struct state *state, uint32_t number)
{
    state_drop(state, STATE_WAITER, number);
    put_aside(state, number);
}

void
state_request_done(struct state *state)
{
    if (state->serving == REQUEST)
        consume_request(state);
    else if (state->serving == WAITER)
        state_waiter_end(state, state->waiter);
    state->serving = NO_REQUEST;
}

static uint32_t *
tries_of(const struct state *state, uint32_t number)
{
    return number == STATE_NONE ? &head_of(state)->request_tries : &waiter_of(state, number)->tries;
}

uint32_t
state_try(struct state *state, uint32_t number)
{
    return ++*tries_of(state, number);
}

void
state_tried(struct state *state, uint32_t number)
{
    *tries_of(state, number) = 0;
}

/* --- answers --- */

static unsigned char *
answer_place(const struct state *state, uint32_t which)
{
    return state->file + ANSWERS_AT + (size_t)which * STATE_ANSWER_SIZE;
}

void *
state_answer(struct state *state)
{
    return answer_place(state, !head_of(state)->answer);
}

void
state_answered(struct state *state, size_t size)
{
    struct head *head = head_of(state);
    uint32_t which = !head->answer;

    /* Nobody looks at it before it is the last one. */
    head->answer_sizes[which] = (uint32_t)size;
    head->answer_sessions[which] = state_session(state);
    log_add(state, &head->answer, &which, sizeof(which));
    state_request_done(state);
}

const void *
state_last_answer(const struct state *state, size_t *size, unsigned *session)
{
    const struct head *head = head_of(state);

    *size = head->answer_sizes[head->answer];
    *session = head->answer_sessions[head->answer];
    return answer_place(state, head->answer);
}

struct state_greeting *
state_greeting(struct state *state, unsigned session)
{
    return &head_of(state)->greetings[session];
}

/* --- the one that another server has left --- */

static const char *
take_over(struct state *state)
{
    const char *what = look_at_head(state);

    if (!what && !apply(state))
        what = "its log is damaged";
    if (!what)
        what = look_at_requests(state);
    for (uint32_t i = state_rows(state, STATE_WAITER); i > 0 && !what; i--)
        if (waiter_of(state, i - 1)->state == 0)
            put_aside(state, i - 1);
    return what;
}

const char *
state_check(int fd)
{
    struct state state;

    lay_out(&state);
    return look_at_file(fd, state.file_size);
}

struct state *
state_open(int fd, const char **what)
{
    struct state *state = state_new(fd);

    *what = "out of memory";
    if (!state)
        return NULL;
    *what = look_at_file(fd, state->file_size);
    bool is_in_use = !*what && !lock(fd);
    if (is_in_use)
        *what = "a server that is still alive uses it";
    if (!*what && map(state) < 0)
        *what = "out of memory";
    if (!*what)
        *what = take_over(state);
    if (*what)
        state = state_discard(state);
    errno = is_in_use ? EBUSY : EINVAL;
    return state;
}
