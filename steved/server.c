/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"
#include "steved/clients.h"
#include "steved/requests.h"

/* Requests that are read in a row, before deaths and deadlines have their turn again. */
#define REQUESTS_PER_WAKE 64

/* --- events --- */

static void
leave(struct server *server)
{
    event_base_loopbreak(server->base);
}

/* 1: one has been answered, or put off; 0: there is none; -1: the session has ended. */
static int
serve_one(struct server *server)
{
    int size = fuse_session_receive_buf(server->session, &server->request);

    if (size == -EINTR || size == -EAGAIN)
        return 0;
    if (size <= 0)
        return -1;
    fuse_session_process_buf(server->session, &server->request);
    return fuse_session_exited(server->session) ? -1 : 1;
}

/* One client alone sends its next request when it has the answer: to look for another would cost a
 * system call in vain each time. Many at once keep the burst long. */
static int
next_burst(int burst, int count)
{
    if (count < burst)
        return count > 0 ? count : 1;
    return 2 * burst < REQUESTS_PER_WAKE ? 2 * burst : REQUESTS_PER_WAKE;
}

static void
on_readable(evutil_socket_t session_fd, short what, void *data)
{
    struct server *server = data;
    int served = 1, count = 0;

    (void)session_fd;
    (void)what;
    while (count < server->burst && (served = serve_one(server)) > 0)
        count++;
    if (served < 0)
        leave(server);
    server->burst = next_burst(server->burst, count);
    server_arm_deadline(server);
}

static void
on_deadline(evutil_socket_t none, short what, void *data)
{
    struct server *server = data;

    (void)none;
    (void)what;
    server->armed_ns = POOL_NO_DEADLINE;
    pool_expire(server->pool, clock_now_ns());
    server_arm_deadline(server);
}

void
server_arm_deadline(struct server *server)
{
    int64_t deadline_ns = pool_next_deadline(server->pool);

    if (deadline_ns == server->armed_ns)
        return;
    server->armed_ns = deadline_ns;
    if (deadline_ns == POOL_NO_DEADLINE) {
        event_del(server->deadline);
        return;
    }
    struct timeval left = clock_until(deadline_ns, clock_now_ns());
    event_add(server->deadline, &left);
}

static void
on_end_signal(evutil_socket_t signal_number, short what, void *data)
{
    (void)signal_number;
    (void)what;
    leave(data);
}

static void
on_status_signal(evutil_socket_t signal_number, short what, void *data)
{
    struct server *server = data;
    struct pool_status status;

    (void)signal_number;
    (void)what;
    pool_get_status(server->pool, &status);
    message(
        "jobs %u, free %u, held %u, reserved %u, debt %u, waiting %u, unpaid implicit slots %u, "
        "reclaimed %llu, dropped %llu, processes %u",
        status.capacity, status.free, status.held, status.reserved, status.debt, status.waiting,
        status.unpaid, (unsigned long long)status.reclaimed, (unsigned long long)status.dropped,
        status.processes);
}

/* --- begin and end --- */

/* Each client costs a descriptor. */
static void
raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static struct event_base *
create_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (!config)
        return NULL;
    /* The cached time is from before a batch of requests. */
    if (event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME) == 0)
        base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static bool
create_events(struct server *server)
{
    server->deadline = event_new(server->base, -1, 0, on_deadline, server);
    server->signals[SERVER_TERM] = evsignal_new(server->base, SIGTERM, on_end_signal, server);
    server->signals[SERVER_INT] = evsignal_new(server->base, SIGINT, on_end_signal, server);
    server->signals[SERVER_STATUS] = evsignal_new(server->base, SIGUSR1, on_status_signal, server);
    if (!server->deadline)
        return false;
    for (size_t i = 0; i < SERVER_SIGNALS; i++)
        if (!server->signals[i] || event_add(server->signals[i], NULL) < 0)
            return false;
    return true;
}

/* libfuse says what is wrong in its own words, in lines that end in a newline. */
__attribute__((format(printf, 2, 0))) static void
on_fuse_message(enum fuse_log_level level, const char *format, va_list arguments)
{
    char line[256];

    (void)level;
    vsnprintf(line, sizeof(line), format, arguments);
    line[strcspn(line, "\n")] = '\0';
    message("%s", line);
}

int
server_init(struct server *server)
{
    fuse_set_log_func(on_fuse_message);
    raise_descriptor_limit();
    signal(SIGPIPE, SIG_IGN);
    server->armed_ns = POOL_NO_DEADLINE;
    server->burst = 1;
    LIST_INIT(&server->openings);
    for (size_t i = 0; i < CLIENT_BUCKETS; i++)
        LIST_INIT(&server->clients[i]);
    server->pool = pool_create(&request_events, server, server->options.jobs);
    server->threads = process_cache_create();
    server->base = create_base();
    if (server->pool && server->threads && server->base && create_events(server)) {
        pool_set_per_process_limit(server->pool, server->options.per_process_limit, clock_now_ns());
        return 0;
    }
    message("start: out of memory");
    return -ENOMEM;
}

static void
end_events(struct server *server)
{
    if (server->readable)
        event_free(server->readable);
    if (server->deadline)
        event_free(server->deadline);
    for (size_t i = 0; i < SERVER_SIGNALS; i++)
        if (server->signals[i])
            event_free(server->signals[i]);
}

/* Who waits gets an error. libfuse frees a session only together with its mount, which is left to the
 * unmounter: what is closed here is all that the kernel knows of it. */
static void
end_session(struct server *server)
{
    struct opening *opening;

    server->is_ending = true;
    while ((opening = LIST_FIRST(&server->openings)))
        opening_release(opening);
    if (server->session && fuse_session_fd(server->session) >= 0)
        close(fuse_session_fd(server->session));
    free(server->request.mem);
}

void
server_end(struct server *server)
{
    end_events(server);
    end_session(server);
    clients_end(server);
    if (server->base)
        event_base_free(server->base);
    if (server->threads)
        process_cache_destroy(server->threads);
    if (server->pool)
        pool_destroy(server->pool);
}

int
server_greet(struct server *server)
{
    while (!server->is_initialised) {
        int served = serve_one(server);
        if (served < 0) {
            message("start: the kernel has closed the session");
            return -ENODEV;
        }
    }
    return 0;
}

int
server_run(struct server *server)
{
    int session_fd = fuse_session_fd(server->session);
    int flags = fcntl(session_fd, F_GETFL);

    if (flags < 0 || fcntl(session_fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        message_errno(errno, "serve: fcntl");
        return -errno;
    }
    server->readable =
        event_new(server->base, session_fd, EV_READ | EV_PERSIST, on_readable, server);
    if (!server->readable || event_add(server->readable, NULL) < 0 ||
        event_base_dispatch(server->base) < 0) {
        message("serve: the event loop has failed");
        return -EIO;
    }
    return 0;
}
