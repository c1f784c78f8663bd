#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# SIGKILL at random moments, $JOBWRAP_ROUNDS times each (25 unless told): every token is back at the
# parent, none was back before its job had ended, the statuses are right, no process and no directory
# is left.

load ../lib/bash/common

rounds() {
    local server=()
    mkdir "$BATS_TEST_TMPDIR/rounds"
    if [ "$1" = steved ]; then
        start_steved --jobs 4
        server=(--server "$SERVER")
    fi
    "$LIB/jobwrap-rounds" --rounds "${JOBWRAP_ROUNDS:-25}" "${server[@]}" "$1" "$2" \
        "$BATS_TEST_TMPDIR/rounds"
}

@test 'SIGKILL of jobwrap, a FIFO as parent' {
    rounds fifo jobwrap
}

@test 'SIGKILL of jobwrap, a pipe as parent' {
    rounds pipe jobwrap
}

@test 'SIGKILL of jobwrap, steved as parent' {
    rounds steved jobwrap
}

@test 'SIGKILL of the keeper, a FIFO as parent' {
    rounds fifo keeper
}

@test 'SIGKILL of the keeper, a pipe as parent' {
    rounds pipe keeper
}

@test 'SIGKILL of the keeper, steved as parent' {
    rounds steved keeper
}

@test 'SIGKILL of the command, a FIFO as parent' {
    rounds fifo command
}

@test 'SIGKILL of the command, a pipe as parent' {
    rounds pipe command
}

@test 'SIGKILL of the command, steved as parent' {
    rounds steved command
}

@test 'SIGKILL of any process of the build, a FIFO as parent' {
    rounds fifo client
}

@test 'SIGKILL of any process of the build, a pipe as parent' {
    rounds pipe client
}

@test 'SIGKILL of any process of the build, steved as parent' {
    rounds steved client
}
