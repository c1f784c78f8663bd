#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The Python packages and what they share have unit tests of their own.
# needs_the_plain_build: no program of ours runs in them.

load ../lib/bash/common

@test "what the packages share, and the plugin's own modules" {
    eval "$("$LIB/python-venvs" VENV_NEWEST)" || missing 'no VENV_NEWEST: see tests/lib/python-venvs'
    [ -n "${VENV_NEWEST-}" ] || missing 'no VENV_NEWEST: see tests/lib/python-venvs'
    "$VENV_NEWEST/bin/python" -m pytest -p no:cacheprovider -p no:jobserver -q "$ROOT/tests/python"
}
