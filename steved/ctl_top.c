/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * stevectl top: what the builds at a server have, on a screen of its own.
 *
 * The server's events tell when something has changed, and by them the history is added up; the rest is asked for
 * when it is drawn, which is once a second, and at an event, but not more often than DRAW_NS lets it.
 */
#include "steved/ctl.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "libjobserver/environment.h"
#include "libjobserver/process.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "libjobserver/server_events.h"
#include "steved/snapshot.h"
#include "steved/top_asker.h"
#include "steved/top_labels.h"
#include "steved/top_screen.h"

#define DRAW_NS (250 * NS_PER_MS)
#define TICK_S 1
/* For clients whose memory is locked, at each drawing. */
#define PATIENCE_MS 100
/* For an answer of the server, before it is said that there is none. */
#define ANSWER_PATIENCE_MS 1000
/* Of events, before keys are looked at again. */
#define PAGES_AT_ONCE 64

struct top {
    struct ctl_server *server;
    bool is_named; /* by the user */
    struct top_asker asker;
    struct snapshot snapshot;
    struct top_build *builds;
    struct top_row *rows;
    size_t count;
    struct top_labels labels;
    struct top_history history;
    struct top_nodes nodes;

    /* The build that is selected, wherever it stands. */
    uint64_t account;
    uint32_t uid;
    size_t selected, first;

    enum top_order order;
    bool shows_help;
    char message[200];
    int64_t drawn_ns;

    bool is_silent; /* the server, which has not answered yet */
    bool is_gone;   /* the server, which is looked for by `next` */
    struct server_events next;
    int error;      /* what has ended us, or 0 */
    int signals_fd; /* signalfd(2): what ends us */
    int ended_by;

    struct event_base *base;
    struct event *input, *tick, *redraw, *events, *next_event, *resized, *ending;
};

static void draw(struct top *top);
static void refresh_all(struct top *top);

static void
fail(struct top *top, int error)
{
    top->error = error;
    event_base_loopbreak(top->base);
}

static void __attribute__((format(printf, 2, 3))) say(struct top *top, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(top->message, sizeof(top->message), format, arguments);
    va_end(arguments);
}

/* --- asking the server --- */

static void
die_by(int signal_number)
{
    sigset_t set;

    signal(signal_number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    raise(signal_number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* What the thread has cannot be taken from it, so that nothing is left to be done. */
static _Noreturn void
leave(const struct top *top)
{
    top_screen_close();
    if (top->ended_by)
        die_by(top->ended_by);
    _exit(EXIT_SUCCESS);
}

static int
read_signal(const struct top *top)
{
    struct signalfd_siginfo info;

    return read(top->signals_fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

static void
press_meanwhile(struct top *top)
{
    enum top_key key;

    while ((key = top_screen_key()) != TOP_KEY_NONE) {
        if (key == TOP_KEY_QUIT || key == TOP_KEY_END)
            leave(top);
        top->shows_help ^= key == TOP_KEY_HELP;
    }
    draw(top);
}

static void
wait_for_answer(struct top *top)
{
    struct pollfd polled[] = {{.fd = top->asker.answer_fd, .events = POLLIN},
                              {.fd = top->signals_fd, .events = POLLIN},
                              {.fd = STDIN_FILENO, .events = POLLIN}};
    int ready;

    do
        ready = poll(polled, 1, ANSWER_PATIENCE_MS);
    while (ready < 0 && errno == EINTR); /* the terminal has another size */
    if (ready == 1)
        return;
    top->is_silent = true;
    draw(top);
    while (poll(polled, 3, -1) < 0 || !polled[0].revents) {
        top->ended_by = read_signal(top);
        if (top->ended_by)
            leave(top);
        press_meanwhile(top);
    }
    top->is_silent = false;
}

/* Until it answers, the user may do nothing but leave. */
static int
ask_server(struct top *top, top_question question, void *argument)
{
    top_asker_begin(&top->asker, question, top->server->client, argument, top->events != NULL);
    wait_for_answer(top);
    return top_asker_end(&top->asker);
}

static int
begin_to_watch(struct client *client, void *argument)
{
    return client_watch(client);
}

static int
take_events(struct client *client, void *page)
{
    return client_next_events(client, page);
}

static int
take_snapshot(struct client *client, void *snapshot)
{
    return snapshot_take(client, snapshot);
}

static int
ask_account(struct client *client, void *account)
{
    return client_account(client, account);
}

static int
set_settings(struct client *client, void *settings)
{
    return client_set(client, settings);
}

struct search {
    bool is_named;
    struct client *found; /* NULL: none */
};

static int
find_next(struct client *client, void *argument)
{
    struct search *search = argument;

    search->found = environment_find_next(client_name(client), search->is_named);
    return 0;
}

/* --- events of the server --- */

static void
draw_soon(struct top *top)
{
    const int64_t now_ns = clock_now_ns(), due_ns = top->drawn_ns + DRAW_NS;

    if (now_ns >= due_ns) {
        refresh_all(top);
        return;
    }
    struct timeval left = clock_until(due_ns, now_ns);
    if (!evtimer_pending(top->redraw, NULL))
        evtimer_add(top->redraw, &left);
}

static void
note_events(struct top *top, const struct client_events *page)
{
    const int64_t now_ns = clock_now_ns();

    for (unsigned i = 0; i < page->count; i++) {
        const struct steved_event *event = &page->events[i];
        int64_t time_ns = event->time_ns < (uint64_t)now_ns ? (int64_t)event->time_ns : now_ns;
        /* The others tell nothing of the server's own tokens. */
        if (event->kind > STEVED_EVENT_LOST && event->kind < STEVED_EVENT_HELD_BACK &&
            event->job_class == 0)
            top_history_note(&top->history, time_ns, event->used, event->waiting);
        else if (event->kind == STEVED_EVENT_JOB_PLACED)
            top_nodes_note(&top->nodes, event);
    }
}

static void
note_status(struct top *top)
{
    const struct steved_status *status = &top->snapshot.status;

    top_history_note(&top->history, clock_now_ns(), status->held + status->reserved,
                     status->waiting);
}

static void lose_server(struct top *top, int error);

static void
on_events(evutil_socket_t fd, short what, void *argument)
{
    struct top *top = argument;
    struct client_events page;
    int more = 1;

    eventfd_read(fd, &(eventfd_t){0});
    for (unsigned i = 0; i < PAGES_AT_ONCE && more == 1; i++) {
        more = ask_server(top, take_events, &page);
        if (more >= 0)
            note_events(top, &page);
    }
    if (client_is_gone(more))
        lose_server(top, more);
    else
        draw_soon(top);
}

static void
free_event(struct event **event)
{
    if (*event)
        event_free(*event);
    *event = NULL;
}

/* An older server tells nothing: then what it is once a second has to do. */
static int
watch_server(struct top *top)
{
    if (ask_server(top, begin_to_watch, NULL) < 0)
        return 0;
    top->events = event_new(top->base, top->asker.events_fd, EV_READ | EV_PERSIST, on_events, top);
    return top->events && event_add(top->events, NULL) == 0 ? 0 : -ENOMEM;
}

/* --- the end of a server, and the next --- */

static void
stop_search(struct top *top)
{
    if (!top->next_event)
        return;
    free_event(&top->next_event);
    server_events_close(&top->next);
}

static void
on_next(evutil_socket_t fd, short what, void *argument)
{
    struct top *top = argument;
    struct search search = {.is_named = top->is_named};

    server_events_drain(&top->next);
    ask_server(top, find_next, &search);
    if (!search.found)
        return;
    stop_search(top);
    client_close(top->server->client);
    top->server->client = search.found;
    top->is_gone = false;
    if (watch_server(top) < 0)
        fail(top, -ENOMEM);
    else
        refresh_all(top);
}

/* A jobwrap ends with its build. */
static void
lose_server(struct top *top, int error)
{
    if (top->is_gone)
        return;
    free_event(&top->events);
    top->is_gone = true;
    top->nodes.count = 0;
    top_history_interrupt(&top->history, clock_now_ns());
    int result = client_is_jobwrap(top->server->client) ? error : server_events_open(&top->next);
    if (result < 0) {
        fail(top, error);
        return;
    }
    top->next_event = event_new(top->base, top->next.fd, EV_READ | EV_PERSIST, on_next, top);
    if (!top->next_event || event_add(top->next_event, NULL) < 0) {
        fail(top, -ENOMEM);
        return;
    }
    /* It may be there already. */
    event_active(top->next_event, EV_READ, 0);
    draw_soon(top);
}

/* --- what is shown --- */

/* Ourselves: we are a client of a jobwrap, but no build. */
static size_t
drop_ourselves(struct top *top, size_t count)
{
    const pid_t self = getpid();
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        const struct top_build *build = &top->builds[i];
        if (build->first->pid != self || build->held + build->waiting > 0)
            top->builds[kept++] = *build;
    }
    return kept;
}

static int
collect(struct top *top)
{
    struct snapshot *snapshot = &top->snapshot;
    struct top_build *builds = reallocarray(top->builds, snapshot->count + 1, sizeof(*top->builds));
    struct top_row *rows = reallocarray(top->rows, snapshot->count + 1, sizeof(*top->rows));

    top->builds = builds ? builds : top->builds;
    top->rows = rows ? rows : top->rows;
    if (!builds || !rows)
        return -ENOMEM;
    top->count =
        drop_ourselves(top, top_builds_collect(snapshot->clients, snapshot->count, builds));
    top_builds_share(builds, top->count, snapshot->status.jobs);
    top_builds_sort(builds, top->count, top->order);
    for (size_t i = 0; i < top->count; i++)
        rows[i] = (struct top_row){.build = &builds[i], .text = ""};
    return 0;
}

static void
find_selected(struct top *top)
{
    const size_t room = top_screen_rows(&top->snapshot.classes);

    for (size_t i = 0; i < top->count; i++)
        if (top->builds[i].account == top->account && top->builds[i].uid == top->uid)
            top->selected = i;
    if (top->selected >= top->count)
        top->selected = top->count > 0 ? top->count - 1 : 0;
    if (top->count > 0) {
        top->account = top->builds[top->selected].account;
        top->uid = top->builds[top->selected].uid;
    }
    if (top->selected < top->first)
        top->first = top->selected;
    if (room > 0 && top->selected >= top->first + room)
        top->first = top->selected - room + 1;
}

/* Only of those that are shown. */
static void
describe_rows(struct top *top)
{
    const int64_t now_ns = clock_now_ns();
    const size_t end = top->first + top_screen_rows(&top->snapshot.classes);
    int patience_ms = PATIENCE_MS;

    for (size_t i = top->first; i < top->count && i < end; i++) {
        struct top_row *row = &top->rows[i];
        const struct steved_client *client = row->build->first;
        struct process_info info;
        const char *text = top_labels_text(&top->labels, client, &patience_ms, now_ns);
        row->text = text ? text : "";
        row->is_stopped = client->start_ticks != 0 && process_info(client->pid, &info) == 0 &&
                          info.start_ticks == client->start_ticks && info.state == 'T';
        struct steved_account account = {.account = client->account, .uid = client->uid};
        row->has_memory = ask_server(top, ask_account, &account) == 0 &&
                          account.flags & STEVED_ACCOUNT_HAS_MEMORY;
        row->account = account;
    }
    top_labels_sweep(&top->labels);
}

static const char *
path_of(const struct client *client)
{
    const char *name = client_name(client);

    return strncmp(name, "fifo:", 5) == 0 ? name + 5 : name;
}

static void
draw(struct top *top)
{
    const struct top_view view = {
        .server = path_of(top->server->client),
        .status = &top->snapshot.status,
        .throttle = top->snapshot.has_throttle ? &top->snapshot.throttle : NULL,
        .classes = &top->snapshot.classes,
        .nodes = &top->nodes,
        .history = &top->history,
        .rows = top->rows,
        .row_count = top->count,
        .selected = top->selected,
        .first = top->first,
        .order = top->order,
        .shows_help = top->shows_help,
        .is_silent = top->is_silent,
        .is_gone = top->is_gone,
        .message = top->message,
    };

    top_history_advance(&top->history, clock_now_ns());
    top_screen_draw(&view);
    top->drawn_ns = clock_now_ns();
}

static int
ask(struct top *top)
{
    struct snapshot now = {0};
    int error = ask_server(top, take_snapshot, &now);

    if (error < 0) {
        snapshot_clear(&now);
        return error;
    }
    snapshot_clear(&top->snapshot);
    top->snapshot = now;
    if (!top->events || !top->history.is_known)
        note_status(top);
    error = collect(top);
    if (error < 0)
        return error;
    find_selected(top);
    describe_rows(top);
    return 0;
}

static void
refresh_all(struct top *top)
{
    int error = top->is_gone ? 0 : ask(top);

    if (client_is_gone(error))
        lose_server(top, error);
    else if (error < 0)
        fail(top, error);
    draw(top);
}

/* --- keys --- */

static void
tell_result(struct top *top, const char *what, int error)
{
    if (error == -EPERM)
        say(top, "%s: only root and the server's own user may", what);
    else if (error < 0)
        say(top, "%s: %s", what, strerror(-error));
}

static void
change_jobs(struct top *top, int by)
{
    struct steved_settings wanted = {.named = STEVED_SET_JOBS,
                                     .jobs = top->snapshot.status.jobs + (unsigned)by};
    int error = ask_server(top, set_settings, &wanted);

    if (error == 0)
        top->snapshot.status.jobs = wanted.jobs; /* the next key may have been typed already */
    else if (error == -EINVAL)
        say(top, "set jobs=%u: out of range", wanted.jobs);
    else
        tell_result(top, "set jobs", error);
}

static void
change_account(struct top *top, const char *what, struct steved_account wanted)
{
    struct top_build *build = &top->builds[top->selected];

    wanted.account = top->account;
    wanted.uid = top->uid;
    int error = ask_server(top, ask_account, &wanted);
    if (error == 0) {
        build->weight = wanted.weight;
        build->is_paused = wanted.paused;
    } else if (error == -EPERM && wanted.named == STEVED_ACCOUNT_SET_PAUSE) {
        say(top, "%s: only root, the server's user and the build's (for its own pauses) may", what);
    } else {
        tell_result(top, what, error);
    }
}

static void
change_weight(struct top *top, bool is_more)
{
    const unsigned weight = top->builds[top->selected].weight;
    unsigned wanted = is_more ? 2 * weight : weight / 2;

    if (wanted > STEVED_WEIGHT_MAX)
        wanted = STEVED_WEIGHT_MAX;
    change_account(top, "weight",
                   (struct steved_account){.named = STEVED_ACCOUNT_SET_WEIGHT,
                                           .weight = wanted > 0 ? wanted : 1});
}

static void
change_pause(struct top *top)
{
    const bool is_paused = top->builds[top->selected].is_paused;

    change_account(
        top, is_paused ? "continue" : "pause",
        (struct steved_account){.named = STEVED_ACCOUNT_SET_PAUSE, .paused = !is_paused});
}

static void
select_build(struct top *top, bool is_next)
{
    if (is_next && top->selected + 1 < top->count)
        top->selected++;
    else if (!is_next && top->selected > 0)
        top->selected--;
    top->account = top->builds[top->selected].account;
    top->uid = top->builds[top->selected].uid;
}

/* What is about the build that is selected, if there is one. */
static void
press_for_build(struct top *top, enum top_key key)
{
    if (top->count == 0 || top->is_gone)
        return;
    if (key == TOP_KEY_UP || key == TOP_KEY_DOWN)
        select_build(top, key == TOP_KEY_DOWN);
    else if (key == TOP_KEY_MORE_WEIGHT || key == TOP_KEY_LESS_WEIGHT)
        change_weight(top, key == TOP_KEY_MORE_WEIGHT);
    else if (key == TOP_KEY_PAUSE)
        change_pause(top);
}

static void
press(struct top *top, enum top_key key)
{
    switch (key) {
    case TOP_KEY_QUIT:
    case TOP_KEY_END:
        event_base_loopbreak(top->base);
        break;
    case TOP_KEY_HELP:
        top->shows_help = !top->shows_help;
        break;
    case TOP_KEY_MORE_JOBS:
    case TOP_KEY_FEWER_JOBS:
        if (!top->is_gone)
            change_jobs(top, key == TOP_KEY_MORE_JOBS ? 1 : -1);
        break;
    case TOP_KEY_SORT:
        top->order = (top->order + 1) % TOP_ORDERS;
        break;
    case TOP_KEY_REDRAW:
        top_screen_resize();
        break;
    default:
        press_for_build(top, key);
    }
}

static void
on_input(evutil_socket_t fd, short what, void *argument)
{
    struct top *top = argument;
    enum top_key key;

    top->message[0] = '\0';
    while ((key = top_screen_key()) != TOP_KEY_NONE && !event_base_got_break(top->base))
        press(top, key);
    if (!event_base_got_break(top->base))
        refresh_all(top);
}

/* --- its life --- */

static void
on_tick(evutil_socket_t fd, short what, void *argument)
{
    refresh_all(argument);
}

static void
on_resize(evutil_socket_t fd, short what, void *argument)
{
    top_screen_resize();
    refresh_all(argument);
}

static void
on_end(evutil_socket_t fd, short what, void *argument)
{
    struct top *top = argument;

    top->ended_by = read_signal(top);
    event_base_loopbreak(top->base);
}

/* They come by a descriptor, which can be looked at while the server is asked. */
static int
open_signals(struct top *top)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaddset(&set, signals[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    top->signals_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return top->signals_fd < 0 ? -errno : 0;
}

/* Before the screen is opened: ncurses leaves alone what is handled. */
static int
open_events(struct top *top)
{
    const struct timeval second = {.tv_sec = TICK_S};
    int error = open_signals(top);

    if (error < 0)
        return error;
    top->base = event_base_new();
    if (!top->base)
        return -ENOMEM;
    top->tick = event_new(top->base, -1, EV_PERSIST, on_tick, top);
    top->redraw = evtimer_new(top->base, on_tick, top);
    top->input = event_new(top->base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, top);
    top->resized = evsignal_new(top->base, SIGWINCH, on_resize, top);
    top->ending = event_new(top->base, top->signals_fd, EV_READ, on_end, top);
    bool is_ok = top->tick && top->redraw && top->input && top->resized && top->ending &&
                 event_add(top->tick, &second) == 0 && event_add(top->input, NULL) == 0 &&
                 event_add(top->resized, NULL) == 0 && event_add(top->ending, NULL) == 0;
    return is_ok ? 0 : -ENOMEM;
}

static void
close_events(struct top *top)
{
    stop_search(top);
    free_event(&top->events);
    free_event(&top->tick);
    free_event(&top->redraw);
    free_event(&top->input);
    free_event(&top->resized);
    free_event(&top->ending);
    if (top->base)
        event_base_free(top->base);
    if (top->signals_fd >= 0)
        close(top->signals_fd);
    snapshot_clear(&top->snapshot);
    top_labels_clear(&top->labels);
    free(top->builds);
    free(top->rows);
}

static void
run(struct top *top)
{
    if (watch_server(top) < 0)
        top->error = -ENOMEM;
    else
        refresh_all(top);
    if (top->error == 0)
        event_base_dispatch(top->base);
    if (!top_asker_stop(&top->asker, ANSWER_PATIENCE_MS))
        leave(top);
}

static int
show(struct top *top)
{
    if (!top_screen_open()) {
        message("top: the terminal cannot be used");
        return EXIT_FAILURE;
    }
    int error = top_asker_start(&top->asker);
    if (error < 0) {
        top_screen_close();
        message("top: start a thread: %s", strerror(-error));
        return EXIT_FAILURE;
    }
    run(top);
    top_screen_close();
    if (top->is_gone && client_is_jobwrap(top->server->client))
        message("top: %s has ended", client_name(top->server->client));
    else if (top->error < 0)
        message("top: %s", strerror(-top->error));
    return top->error < 0 && !top->is_gone ? EXIT_FAILURE : EXIT_SUCCESS;
}

int
ctl_top(struct ctl_server *server, int argc, char **argv)
{
    struct top top = {
        .server = server, .is_named = server->path != NULL, .next = {-1, -1, -1}, .signals_fd = -1};

    if (argc > 0) {
        message("top takes no argument, not '%s'", argv[argc - 1]);
        return EXIT_USAGE;
    }
    const char *wrong = top_screen_check();
    if (wrong) {
        message("top: %s", wrong);
        return EXIT_USAGE;
    }
    if (ctl_connect(server) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    int error = open_events(&top), status = EXIT_FAILURE;
    if (error == 0)
        status = show(&top);
    else
        message("top: %s", strerror(-error));
    close_events(&top);
    if (top.ended_by)
        die_by(top.ended_by);
    return status;
}
