/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stevefarm/trouble.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"

#define QUIET_NS (10 * NS_PER_S)

void
trouble_set(struct trouble *trouble, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(trouble->now, sizeof(trouble->now), format, arguments);
    va_end(arguments);
}

void
trouble_clear(struct trouble *trouble)
{
    trouble->now[0] = '\0';
}

void
trouble_tell(struct trouble *trouble, const char *subject, int64_t now_ns)
{
    if (strcmp(trouble->now, trouble->told) == 0 || now_ns < trouble->quiet_until_ns)
        return;
    message("%s: %s", subject, trouble->now[0] ? trouble->now : "all is well again");
    memcpy(trouble->told, trouble->now, sizeof(trouble->told));
    trouble->quiet_until_ns = now_ns + QUIET_NS;
}
