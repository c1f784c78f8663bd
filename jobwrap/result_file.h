/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Replaces a file by this text and a newline, so that a reader sees the old one or the new one. What is no regular file is
 * written to. 0, or a negative errno with a message. */
int result_file_write(const char *file, const char *text);

/* Whether that would be possible now; changes nothing. 0, or a negative errno with a message. */
int result_file_check(const char *file);
