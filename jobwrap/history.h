/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* --memory-history. words: what follows the option, with a NULL at the end. Becomes the program that does it; ends
 * with 125 where there is none. */
_Noreturn void history_run(char **words);
