/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Text of others as it is shown. UTF-8 stays as it is. '?' stands for each byte of what is none, of control
 * characters, of line and paragraph separators, and of what changes the direction of the text that follows. Pure. */

#include <stddef.h>
#include <stdint.h>

/* How many bytes the first character has, and its code point; 0: it is none that is shown. */
size_t printable_character(const char *text, size_t length, uint32_t *code);
/* Of text up to a NUL that is not empty: its first character, or "?" for its first byte. Returns how many bytes
 * that are, of both. */
size_t printable_first(const char *text, const char **shown);
/* A NUL becomes a blank. */
void make_printable(char *text, size_t length);
/* The same up to the NUL. Where text fills all `size` bytes, it may have been cut: a character without its end is left
 * out. */
void make_printable_text(char *text, size_t size);

/* Where text can be cut that may go on: `length`, or up to three bytes less. */
size_t printable_cut(const char *text, size_t length);
/* The first character that begins here or later, in text up to a NUL. */
const char *printable_begin(const char *text);
