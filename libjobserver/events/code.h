/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Events as they are passed on: each as what is different from the one before, of which a few hundred fit where one
 * call has 4 KiB. See "Events" in docs/protocol.md. Pure.
 */

#include <stddef.h>
#include <stdint.h>

#include "libjobserver/protocol.h"

/* The most that one takes. */
#define EVENT_CODE_MAX 256

/* `before`: the one before; of the first: zeros. Returns how many bytes were written, 0: there are not so many
 * (`room`). */
size_t event_encode(const struct steved_event *event, const struct steved_event *before,
                    uint8_t *bytes, size_t room);
/* `event`: the one before, which becomes the next. Returns how many of the `size` bytes it took, 0: they make no
 * sense. */
size_t event_decode(struct steved_event *event, const uint8_t *bytes, size_t size);
