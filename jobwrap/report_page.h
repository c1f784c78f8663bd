/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a build used, as one page of HTML that needs nothing else: --report=FILE.html. */

#include "jobwrap/recorder.h"
#include "jobwrap/report.h"

/* recorder: it has ended. The page, to be freed; NULL: out of memory. */
char *report_page(const struct recorder *recorder, const struct report *report, unsigned jobs,
                  const char *parent, const struct memory_totals *memory);
