/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stevefarm/answers.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#define ICECC_LOAD_FULL 1000u
#define JSON_DEPTH_MAX 8

static bool
begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static const char *
next_line(const char *line)
{
    const char *end = strchr(line, '\n');

    return end ? end + 1 : NULL;
}

/* Digits, as many as there are: true, the number (`most` at most), and *text is behind them. */
static bool
take_digits(const char **text, uint64_t most, uint64_t *number)
{
    const char *at = *text;

    *number = 0;
    for (; *at >= '0' && *at <= '9'; at++)
        if (*number < most)
            *number = *number * 10 + (uint64_t)(*at - '0');
    if (at == *text)
        return false;
    if (*number > most)
        *number = most;
    *text = at;
    return true;
}

static bool
take_number(const char **text, unsigned *number)
{
    uint64_t wide;
    const bool is_number = take_digits(text, SLOTS_MAX, &wide);

    *number = (unsigned)wide;
    return is_number;
}

/* The number of a job; those that are larger are no numbers of jobs. */
static bool
take_number32(const char **text, uint32_t *number)
{
    uint64_t wide;

    if (!take_digits(text, (uint64_t)UINT32_MAX + 1, &wide) || wide > UINT32_MAX)
        return false;
    *number = (uint32_t)wide;
    return true;
}

static bool
take_text(const char **text, const char *wanted)
{
    if (!begins_with(*text, wanted))
        return false;
    *text += strlen(wanted);
    return true;
}

/* Up to one of `ends`, and at least one character. */
static bool
take_until(const char **text, const char *ends)
{
    size_t length = strcspn(*text, ends);

    *text += length;
    return length > 0;
}

static void
add(unsigned *sum, unsigned number)
{
    *sum = number > SLOTS_MAX - *sum ? SLOTS_MAX : *sum + number;
}

/* --- icecc --- */

/* " NAME (ADDRESS:PORT) [PLATFORM] speed=N.NN jobs=N/MAX load=N", from the beginning of the line on: what follows in
 * other lines are names of files, which anybody may choose. */
static bool
parse_node(const char *line, unsigned *max, bool *takes_jobs)
{
    unsigned port, running, load;

    if (!take_text(&line, " ") || !take_until(&line, " \n") || !take_text(&line, " (") ||
        !take_until(&line, " )\n") || !take_text(&line, ") ["))
        return false;
    /* The address may be one of IPv6, which has colons too. */
    const char *digits = line - strlen(") [");
    while (digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    if (digits[-1] != ':' || !take_number(&digits, &port) || !take_until(&line, "]\n") ||
        !take_text(&line, "] speed=") || !take_until(&line, " \n") || !take_text(&line, " jobs=") ||
        !take_number(&line, &running) || !take_text(&line, "/") || !take_number(&line, max) ||
        !take_text(&line, " load=") || !take_number(&line, &load))
        return false;
    *takes_jobs = port != 0 && load < ICECC_LOAD_FULL;
    return true;
}

/* Where the last line stands that ends an answer; NULL: nowhere. */
static const char *
find_end(const char *text)
{
    for (const char *line = text; line; line = next_line(line))
        if (begins_with(line, "200 done") && strchr(line, '\n'))
            return line;
    return NULL;
}

bool
answer_icecc_is_whole(const char *text)
{
    return find_end(text) != NULL;
}

const char *
answer_icecc(const char *text, unsigned *slots)
{
    const char *end = find_end(text);
    unsigned sum = 0, max;
    bool takes_jobs;

    if (!end)
        return "the answer does not end as that of an icecc scheduler does";
    for (const char *line = text; line < end; line = next_line(line))
        if (parse_node(line, &max, &takes_jobs) && takes_jobs)
            add(&sum, max);
    *slots = sum;
    return NULL;
}

/* A word of one line: at *text, which is behind it and the blanks after it then. */
static bool
take_word(const char **text, const char **word, size_t *length)
{
    *word = *text;
    *length = strcspn(*text, " \n");
    *text += *length;
    *text += strspn(*text, " ");
    return *length > 0;
}

static void
copy_end(char *to, size_t size, const char *from, size_t length)
{
    const size_t kept = length < size ? length : size - 1;

    memcpy(to, from + length - kept, kept);
    to[kept] = '\0';
}

/* "   NUMBER COMP sub:MACHINE on:NODE FILE": what is before the name of the file is the scheduler's, and names of
 * machines have no blanks. */
static bool
parse_job(const char *line, const char *submitter, struct farm_job *job)
{
    const size_t blanks = strspn(line, " ");
    const char *word;
    size_t length;

    line += blanks;
    if (blanks == 0 || !take_number32(&line, &job->number) || !take_text(&line, " COMP sub:") ||
        !take_word(&line, &word, &length) || length != strlen(submitter) ||
        memcmp(word, submitter, length) != 0 || !take_text(&line, "on:") ||
        !take_word(&line, &word, &length))
        return false;
    if (length >= sizeof(job->node))
        length = sizeof(job->node) - 1;
    memcpy(job->node, word, length);
    job->node[length] = '\0';
    length = strcspn(line, "\r\n");
    copy_end(job->file, sizeof(job->file), line, length);
    return length > 0;
}

void
answer_icecc_jobs(const char *text, const char *submitter, struct farm_jobs *jobs)
{
    const char *end = find_end(text);

    jobs->count = 0;
    for (const char *line = text; end && line < end; line = next_line(line))
        if (jobs->count < FARM_JOBS_MAX && parse_job(line, submitter, &jobs->list[jobs->count]))
            jobs->count++;
}

/* --- by HTTP --- */

/* Where the body begins; NULL: it is no answer of HTTP that says yes. */
static const char *
find_body(const char *text)
{
    if (!begins_with(text, "HTTP/1.") || strcspn(text, " ") > strlen("HTTP/1.1") ||
        !begins_with(text + strcspn(text, " "), " 200"))
        return NULL;
    for (const char *line = next_line(text); line; line = next_line(line))
        if (*line == '\n' || begins_with(line, "\r\n"))
            return next_line(line);
    return NULL;
}

const char *
answer_distcc(const char *text, unsigned *slots)
{
    const char *line = find_body(text);
    unsigned max_kids;

    if (!line)
        return "the answer is not HTTP 200";
    while (line && !begins_with(line, "<distccstats>"))
        line = next_line(line);
    for (; line; line = next_line(line)) {
        const char *at = line;
        if (take_text(&at, "dcc_max_kids ") && take_number(&at, &max_kids) && *at == '\n') {
            *slots = max_kids;
            return NULL;
        }
    }
    return "the answer has no dcc_max_kids";
}

static const char *
count_processors(struct json_object *status, unsigned *slots)
{
    struct json_object *member;

    if (!json_object_is_type(status, json_type_object) ||
        !json_object_object_get_ex(status, "num_cpus", &member) ||
        !json_object_is_type(member, json_type_int))
        return "the answer has no num_cpus";
    int64_t number = json_object_get_int64(member);
    if (number < 0)
        return "num_cpus is negative";
    *slots = number > SLOTS_MAX ? SLOTS_MAX : (unsigned)number;
    return NULL;
}

const char *
answer_sccache(const char *text, unsigned *slots)
{
    const char *body = find_body(text);

    if (!body)
        return "the answer is not HTTP 200";
    struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
    if (!tokener)
        return "out of memory";
    struct json_object *status = json_tokener_parse_ex(tokener, body, (int)strlen(body) + 1);
    const char *wrong = status ? count_processors(status, slots) : "the answer is not valid JSON";
    json_object_put(status);
    json_tokener_free(tokener);
    return wrong;
}
