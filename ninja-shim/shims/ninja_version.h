/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Versions of ninja. */

#include <stdbool.h>

/* What `ninja --version` prints: does this ninja wait for tokens by itself? From 1.14 on; of a state
 * between versions (1.14.0.git) nobody knows, since it called itself so before it had learnt that. */
bool ninja_version_is_proper_client(const char *version);
