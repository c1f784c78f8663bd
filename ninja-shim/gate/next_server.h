/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Where the gate's server has ended for good, the next one is looked for. When it is there the gate's client stands for
 * it, and the keeper is ended; gate_keeper_renewed() goes on once another keeper has joined the gate's group there.
 */

#include "ninja-shim/gate/state.h"

/* Looks for it until it is found, and at once, too. Nothing to be done where there cannot be one: at a plain jobserver,
 * or a jobwrap around us, which ends with its build. */
void next_server_await(struct gate *gate);
void next_server_stop_awaiting(struct gate *gate);
