/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* --memory-history: what gates have learnt of jobs' memory is shown, or forgotten. */

/* words: what follows the option, with a NULL at the end: none or "list", which prints a table; "forget", with a
 * package or without. Ends the program: with 0; 1 where nothing is known of the package; 2 where the words make no sense;
 * 125 where the file cannot be used. */
_Noreturn void history_command(char *const *words);
