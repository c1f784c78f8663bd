/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/top_screen.h"

#include <curses.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <unistd.h>
#include <wchar.h>

#include "libjobserver/program/printable.h"

#define MIB(bytes) ((uint64_t)(bytes) >> 20)
/* Of a line of text; what is wider is cut. */
#define LINE_SIZE 512
/* Of the history, with its headings. */
#define HISTORY_ROWS_MAX 10
#define MIB_MAX UINT64_C(999999)
#define HEADER_ROWS 3
#define LEAST_ROWS 6
/* Of all but the foot and the headings that part may be classes, and half of what is left is history. */
#define CLASSES_PART 3
#define LEAST_COLUMNS 24

enum color { COLOR_PLAIN, COLOR_USED, COLOR_WAITING, COLOR_ALARM };

/* --- the terminal --- */

static bool
wants_color(void)
{
    const char *no_color = getenv("NO_COLOR");

    return !(no_color && no_color[0]) && has_colors();
}

static void
begin_colors(void)
{
    if (!wants_color())
        return;
    start_color();
    use_default_colors();
    init_pair(COLOR_USED, COLOR_CYAN, -1);
    init_pair(COLOR_WAITING, COLOR_YELLOW, -1);
    init_pair(COLOR_ALARM, COLOR_RED, -1);
}

const char *
top_screen_check(void)
{
    int error;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return "standard input and output must be a terminal";
    bool is_known = setupterm(NULL, STDOUT_FILENO, &error) == OK;
    bool can_move = is_known && cursor_address && clear_screen;
    if (is_known)
        del_curterm(cur_term);
    return can_move ? NULL : "the terminal cannot move its cursor, or TERM does not name it";
}

bool
top_screen_open(void)
{
    setlocale(LC_CTYPE, "");
    if (!newterm(NULL, stdout, stdin))
        return false;
    begin_colors();
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(25);
    curs_set(0);
    return true;
}

void
top_screen_close(void)
{
    endwin();
}

void
top_screen_resize(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
        resizeterm(size.ws_row, size.ws_col);
    clear();
}

/* --- keys --- */

/* Nothing was typed, though there is something to be read: that is the end. */
static bool
has_ended(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&input, 1, 0) > 0 && (input.revents & (POLLHUP | POLLERR | POLLNVAL));
}

enum top_key
top_screen_key(void)
{
    switch (getch()) {
    case ERR:
        return has_ended() ? TOP_KEY_END : TOP_KEY_NONE;
    case KEY_UP:
    case 'k':
        return TOP_KEY_UP;
    case KEY_DOWN:
    case 'j':
        return TOP_KEY_DOWN;
    case 'q':
    case 'Q':
        return TOP_KEY_QUIT;
    case 'h':
    case '?':
        return TOP_KEY_HELP;
    case '+':
    case '=':
        return TOP_KEY_MORE_JOBS;
    case '-':
        return TOP_KEY_FEWER_JOBS;
    case '>':
        return TOP_KEY_MORE_WEIGHT;
    case '<':
        return TOP_KEY_LESS_WEIGHT;
    case 'p':
    case ' ':
        return TOP_KEY_PAUSE;
    case 's':
        return TOP_KEY_SORT;
    case '\f':
        return TOP_KEY_REDRAW;
    default:
        return TOP_KEY_OTHER;
    }
}

/* --- text --- */

static bool
has_unicode(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/* Printable text: what this terminal does not show becomes '?', and what there is no room for is cut. */
static void
fit(char *text)
{
    char *end = text;
    uint32_t code = 0;

    for (int taken = 0; *text;) {
        const size_t size = printable_character(text, strlen(text), &code);
        const int shown = code < 0x80 ? 1 : has_unicode() ? wcwidth((wchar_t)code) : -1;
        taken += shown < 0 ? 1 : shown;
        if (taken > COLS)
            break;
        memmove(end, shown < 0 ? "?" : text, shown < 0 ? 1 : size);
        end += shown < 0 ? 1 : size;
        text += size;
    }
    *end = '\0';
}

/* One line, from its beginning. */
static void __attribute__((format(printf, 3, 4)))
print_line(int row, attr_t attributes, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    make_printable_text(text, sizeof(text));
    fit(text);
    attrset(attributes);
    mvaddstr(row, 0, text);
    attrset(A_NORMAL);
}

static attr_t
color(enum color color)
{
    return wants_color() ? (attr_t)COLOR_PAIR(color) : A_NORMAL;
}

struct line {
    char text[LINE_SIZE];
    size_t length;
};

static void __attribute__((format(printf, 2, 3))) append(struct line *line, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length =
        vsnprintf(line->text + line->length, sizeof(line->text) - line->length, format, arguments);
    va_end(arguments);
    if (length > 0)
        line->length += (size_t)length;
    if (line->length >= sizeof(line->text))
        line->length = sizeof(line->text) - 1;
}

/* --- the head --- */

static void
draw_totals(const struct top_view *view)
{
    const struct steved_status *status = view->status;
    struct line line = {.length = 0};

    append(&line, "%u job%s: %u held, %u free, %u waiting", status->jobs,
           status->jobs == 1 ? "" : "s", status->held, status->free, status->waiting);
    if (status->paused)
        append(&line, " (%u paused)", status->paused);
    if (status->reserved)
        append(&line, ", %u reserved", status->reserved);
    if (status->debt)
        append(&line, ", %u owed", status->debt);
    if (status->unpaid)
        append(&line, ", %u unpaid", status->unpaid);
    append(&line, "  %s", view->server);
    print_line(0, view->is_gone || view->is_silent ? A_NORMAL : A_BOLD, "%s", line.text);
}

static void
append_throttle(struct line *line, const struct steved_throttle *throttle)
{
    if (throttle->wanted_bytes)
        append(line, ", memory %" PRIu64 " MiB (has %" PRIu64 ")", MIB(throttle->wanted_bytes),
               MIB(throttle->available_bytes));
    if (throttle->limits.load_centi)
        append(line, ", load %.2f (is %.2f)", throttle->limits.load_centi / 100.0,
               throttle->load_centi / 100.0);
}

/* As many as there is room for, from *next on, but one at least. */
static void
append_classes(struct line *line, const struct steved_classes *classes, unsigned *next)
{
    do {
        const struct steved_class *shown = &classes->classes[*next];
        struct line item = {.length = 0};
        append(&item, "%s%s: %u job%s, %u held, %u waiting", line->length > 0 ? "; " : "",
               shown->name, shown->jobs, shown->jobs == 1 ? "" : "s", shown->held, shown->waiting);
        if (line->length > 0 && line->length + item.length > (size_t)COLS)
            return;
        append(line, "%s", item.text);
    } while (++*next < classes->count);
}

static int
class_rows(const struct steved_classes *classes)
{
    const int most = (LINES - HEADER_ROWS - 2) / CLASSES_PART;
    int rows = 0;

    for (unsigned next = 0; next < classes->count && rows < most; rows++) {
        struct line line = {.length = 0};
        append_classes(&line, classes, &next);
    }
    return rows;
}

/* In what is left of the line. */
static void
append_nodes(struct line *line, const struct top_nodes *nodes)
{
    static const char before[] = "; at ";
    const size_t taken = line->length + strlen(before);
    const size_t room = taken < (size_t)COLS ? (size_t)COLS - taken + 1 : 0;
    char text[LINE_SIZE];

    if (room == 0 || nodes->count == 0)
        return;
    top_nodes_text(nodes, text, room < sizeof(text) ? room : sizeof(text));
    if (text[0])
        append(line, "%s%s", before, text);
}

static void
draw_classes(const struct top_view *view)
{
    const int rows = class_rows(view->classes);
    unsigned next = 0;

    for (int row = 1; row <= rows; row++) {
        struct line line = {.length = 0};
        append_classes(&line, view->classes, &next);
        if (row == rows && next < view->classes->count)
            append(&line, "; ...");
        else if (row == rows)
            append_nodes(&line, view->nodes);
        print_line(row, A_NORMAL, "%s", line.text);
    }
}

/* What holds grants back comes first: the rest may be cut. */
static void
draw_limits(const struct top_view *view)
{
    const struct steved_status *status = view->status;
    const struct steved_throttle *throttle = view->throttle;
    struct line line = {.length = 0};
    unsigned by = throttle ? throttle->held_back_by : 0;

    if (by)
        append(&line, "HELD BACK by %s%s%s for %" PRIu64 " s; ",
               by & STEVED_HELD_BACK_BY_MEMORY ? "memory" : "",
               by == (STEVED_HELD_BACK_BY_MEMORY | STEVED_HELD_BACK_BY_LOAD) ? " and " : "",
               by & STEVED_HELD_BACK_BY_LOAD ? "load" : "",
               (uint64_t)throttle->held_back_ms / 1000);
    append(&line, "limits: min-jobs %u", status->min_jobs);
    if (throttle)
        append_throttle(&line, throttle);
    if (status->per_process_limit)
        append(&line, ", %u a client", status->per_process_limit);
    if (status->per_user_limit)
        append(&line, ", %u a user", status->per_user_limit);
    print_line(class_rows(view->classes) + 1, by ? A_BOLD | color(COLOR_ALARM) : A_NORMAL, "%s",
               line.text);
}

static void
draw_memory(const struct top_view *view)
{
    const struct steved_status *status = view->status;
    const int row = class_rows(view->classes) + 2;

    if (view->is_gone)
        print_line(row, A_BOLD | color(COLOR_ALARM), "the server has ended; waiting for the next");
    else if (view->is_silent)
        print_line(row, A_BOLD | color(COLOR_ALARM), "the server does not answer; q quits");
    else if (status->memory_available_bytes)
        print_line(row, A_NORMAL,
                   "memory: %" PRIu64 " MiB available, %" PRIu64 " to stay free, %" PRIu64
                   " expected; %u jobs wait",
                   MIB(status->memory_available_bytes), MIB(status->memory_floor_bytes),
                   MIB(status->memory_growth_bytes), status->memory_waiting);
}

/* --- bars --- */

/* In eighths of a row: full up to the mean, and lighter up to the peak. */
static const char *
cell(int row, double mean, double peak)
{
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    int eighths = (int)((mean - row) * 8 + 0.5);
    bool is_peak = peak > row + 0.06;

    if (!has_unicode())
        return mean >= row + 0.5 ? "#" : is_peak ? ":" : " ";
    if (eighths >= 8)
        return blocks[8];
    if (eighths > 0)
        return blocks[eighths];
    return is_peak ? "░" : " ";
}

struct bars {
    int top, rows; /* on the screen */
    double scale;  /* what is as high as all rows */
    bool is_waiting;
};

static void
draw_bars(const struct top_history *history, const struct bars *bars)
{
    const int width = COLS < (int)TOP_HISTORY_S ? COLS : (int)TOP_HISTORY_S;
    const double factor = bars->rows / bars->scale;

    attrset(color(bars->is_waiting ? COLOR_WAITING : COLOR_USED));
    for (int column = 0; column < width; column++) {
        struct top_bar bar = top_history_bar(history, (unsigned)(width - 1 - column));
        double mean = bars->is_waiting ? bar.waiting : bar.used;
        double peak = bars->is_waiting ? bar.most_waiting : bar.most_used;
        for (int row = 0; row < bars->rows && bar.is_known; row++)
            mvaddstr(bars->top + bars->rows - 1 - row, column,
                     cell(row, mean * factor, peak * factor));
    }
    attrset(A_NORMAL);
}

static int
head_rows(const struct steved_classes *classes)
{
    return HEADER_ROWS + class_rows(classes);
}

/* Half of what there is between head and foot is history: a heading and bars of tokens, and where there is room the
 * same of those who wait. */
static int
history_rows(const struct steved_classes *classes)
{
    int rows = (LINES - head_rows(classes) - 2) / 2;

    return rows < 3 ? 0 : rows > HISTORY_ROWS_MAX ? HISTORY_ROWS_MAX : rows;
}

static int
waiting_rows(const struct steved_classes *classes)
{
    return history_rows(classes) > 6 ? 2 : 0;
}

static int
used_rows(const struct steved_classes *classes)
{
    const int all = history_rows(classes), waiting = waiting_rows(classes);

    return all ? all - 1 - (waiting ? 1 + waiting : 0) : 0;
}

static unsigned
most_waiting(const struct top_history *history)
{
    unsigned most = 1;

    for (unsigned i = 0; i < TOP_HISTORY_S; i++) {
        struct top_bar bar = top_history_bar(history, i);
        most = bar.is_known && bar.most_waiting > most ? bar.most_waiting : most;
    }
    return most;
}

static void
draw_history(const struct top_view *view)
{
    unsigned most = top_history_most(view->history), waiting = most_waiting(view->history);
    const int head = head_rows(view->classes);
    struct bars used = {.top = head + 1, .rows = used_rows(view->classes)};

    if (used.rows == 0)
        return;
    used.scale = most > view->status->jobs ? most : view->status->jobs;
    print_line(head, A_DIM, "the last minute: tokens used, of %.0f", used.scale);
    draw_bars(view->history, &used);
    if (waiting_rows(view->classes) == 0)
        return;
    struct bars waits = {.top = used.top + used.rows + 1,
                         .rows = waiting_rows(view->classes),
                         .scale = waiting,
                         .is_waiting = true};
    print_line(waits.top - 1, A_DIM, "waiting, up to %u", waiting);
    draw_bars(view->history, &waits);
}

/* --- builds --- */

static int
table_row(const struct steved_classes *classes)
{
    return head_rows(classes) + history_rows(classes);
}

size_t
top_screen_rows(const struct steved_classes *classes)
{
    int rows = LINES - table_row(classes) - 2;

    return rows > 0 ? (size_t)rows : 0;
}

/* What a build is needs twenty columns. */
static bool
has_room_for_shares(void)
{
    return COLS >= 56;
}

static bool
has_room_for_memory(void)
{
    return COLS >= 70;
}

static bool
has_room_for_users(void)
{
    return COLS >= 90;
}

/* Whatever a client claims, the columns stay where they are. */
static void
append_mib(struct line *line, uint64_t bytes)
{
    append(line, " %6" PRIu64, MIB(bytes) < MIB_MAX ? MIB(bytes) : MIB_MAX);
}

static void
append_memory(struct line *line, const struct top_row *row)
{
    const struct steved_account *account = &row->account;

    if (row->has_memory) {
        append_mib(line, account->memory_used_bytes);
        append_mib(line, account->memory_used_bytes + account->memory_growth_bytes);
    } else {
        append(line, " %6s %6s", "-", "-");
    }
}

static void
append_share(struct line *line, const struct top_build *build)
{
    if (build->share > 0)
        append(line, " %6.1f", build->share);
    else
        append(line, " %6s", "-");
    append(line, " %6u", build->weight);
}

static void
draw_row(const struct top_view *view, size_t index, int at)
{
    const struct top_row *row = &view->rows[index];
    const struct top_build *build = row->build;
    struct line line = {.length = 0};

    append(&line, "%8d %5u %5u", (int)build->first->pid, build->held + build->reserved,
           build->waiting);
    if (has_room_for_shares())
        append_share(&line, build);
    if (has_room_for_memory())
        append_memory(&line, row);
    if (has_room_for_users())
        append(&line, " %6u", build->uid);
    append(&line, "  %s%s%s", build->is_paused ? "PAUSED " : "", row->is_stopped ? "stopped " : "",
           row->text);
    print_line(at, A_NORMAL, "%s", line.text);
    if (index == view->selected)
        mvchgat(at, 0, -1, A_REVERSE, 0, NULL);
}

static void
draw_builds(const struct top_view *view)
{
    const size_t end = view->first + top_screen_rows(view->classes);
    int at = table_row(view->classes);

    print_line(at, A_BOLD, "%8s %5s %5s%s%s%s  %s", "PID", "HELD", "WAIT",
               has_room_for_shares() ? "  SHARE WEIGHT" : "",
               has_room_for_memory() ? "    MiB EXPECT" : "", has_room_for_users() ? "   USER" : "",
               "BUILD");
    for (size_t i = view->first; i < view->row_count && i < end; i++)
        draw_row(view, i, ++at);
    if (view->row_count == 0)
        print_line(at + 1, A_DIM, "         nobody uses it");
}

/* --- all --- */

static void
draw_help(void)
{
    static const char *const texts[] = {
        "q          quit",
        "+ -        one job more, or fewer",
        "up down    select a build (j k)",
        "> <        twice its weight, or half",
        "p          pause it, or continue it",
        "s          sort by held, waiting, share, age",
        "? h        this, and back",
        "",
        "HELD     tokens, with those set aside",
        "SHARE    what it would have if all wanted more",
        "MiB      memory of its jobs now, and",
        "EXPECT   what is expected (if reported)",
        "A paused build is granted nothing. It goes on",
        "with what it holds.",
    };

    for (int i = 0; i < (int)(sizeof(texts) / sizeof(texts[0])) && i < LINES - 1; i++)
        print_line(i, A_NORMAL, "%s", texts[i]);
}

static void
draw_foot(const struct top_view *view)
{
    if (view->message[0])
        print_line(LINES - 1, A_BOLD, "%s", view->message);
    else if (COLS >= 76)
        print_line(LINES - 1, A_DIM,
                   "q quit  ? help  + - jobs  < > weight  p pause  s sort (by %s)",
                   top_order_name(view->order));
    else
        print_line(LINES - 1, A_DIM, "q quit  ? help  s sort (%s)", top_order_name(view->order));
}

void
top_screen_draw(const struct top_view *view)
{
    erase();
    if (LINES < LEAST_ROWS || COLS < LEAST_COLUMNS) {
        print_line(0, A_NORMAL, "too small; q quits");
    } else if (view->shows_help) {
        draw_help();
        draw_foot(view);
    } else if (view->status->version == 0) { /* nothing has been told yet */
        draw_memory(view);
    } else {
        draw_totals(view);
        draw_classes(view);
        draw_limits(view);
        draw_memory(view);
        draw_history(view);
        draw_builds(view);
        draw_foot(view);
    }
    refresh();
}
