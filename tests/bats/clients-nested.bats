#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Jobservers in jobservers, of both makes, ninja 1.13 and jobwrap: exactly N jobs at the bottom, and
# everything returned at the top, where make says so if a token is missing or too many.
# needs_the_plain_build: with sanitizers jobwrap-builds goes the same ways, in less time.

# shellcheck disable=SC2016 # what single quotes hold is make's, or another shell's
# shellcheck disable=SC2154 # common.bash sets spawned
load ../lib/bash/common

setup() {
    common_setup
    cd "$BATS_TEST_TMPDIR" || return
    export LOG=$BATS_TEST_TMPDIR/log
}

# ninja_file DIR: 24 jobs.
ninja_file() {
    mkdir "$1"
    {
        printf 'rule job\n  command = "%s" "%s" ninja.$out 0.05\n' "$STAMP" "$LOG"
        printf 'build %d: job\n' $(seq 24)
        # A job touches no file, and so is run each time.
    } >"$1/build.ninja"
}

# says_nothing COMMAND...: of tokens or jobservers, but for ninja, which has found one.
says_nothing() {
    run -0 "$@"
    ! grep -v '^ninja: Jobserver mode detected' <<<"$output" |
        grep -i 'token\|jobserver\|jobwrap:\|warning'
}

@test 'jobwrap in jobwrap in make in jobwrap, two beside one another: exactly 4 jobs' {
    at_once 4
    "$LIB/make-tree" a 0.03 "$LOG"
    "$LIB/make-tree" b 0.03 "$LOG"
    makefile outer.mk '"$(JOBWRAP)" "$(JOBWRAP)" make -C a' '"$(JOBWRAP)" "$(JOBWRAP)" make -C b'
    make_fifo parent 4
    says_nothing "$JOBWRAP" --parent=parent make -f outer.mk
    exactly 4 120
    fifo_has parent 4
}

@test 'make 4.3 and 4.4.1 -j4, jobwrap, make, jobwrap, ninja 1.13: exactly 4 jobs, and all tokens back' {
    require_tool MAKE441 NINJA113
    at_once 4
    ninja_file ninja
    "$LIB/make-tree" tree 0.03 "$LOG"
    makefile inner.mk '"$(JOBWRAP)" --style=fifo "$(NINJA113)" -C ninja' '$(MAKE) -C tree'
    for outer in make "$MAKE441"; do
        for inner in make "$MAKE441"; do
            rm -f "$LOG"
            makefile outer.mk "\"\$(JOBWRAP)\" $inner -f inner.mk"
            # make itself looks at its tokens when it ends.
            says_nothing "$outer" -j4 -f outer.mk
            exactly 4 84
        done
    done
}

@test 'the same below steved: exactly 4 jobs, and all tokens back' {
    require_tool MAKE441 NINJA113
    at_once 4
    ninja_file ninja
    "$LIB/make-tree" tree 0.03 "$LOG"
    makefile inner.mk '"$(JOBWRAP)" --style=fifo "$(NINJA113)" -C ninja' '$(MAKE) -C tree'
    makefile outer.mk '"$(JOBWRAP)" make -f inner.mk'
    start_steved --jobs 4
    says_nothing "$JOBWRAP" --parent="$SERVER" "$MAKE441" -f outer.mk
    exactly 4 84
    wait_for 10 steved_has free 4
    [ "$(steved_get reclaimed) $(steved_get dropped)" = '0 0' ]
}

@test 'after a jobwrap that was killed inside a make, the make has all its tokens' {
    require_tool MAKE441
    at_once 4
    "$LIB/make-tree" tree 0.03 "$LOG"
    # Killed while its jobs hold tokens; then a tree that needs all of them.
    printf 'all: tree\ntree: killed\n\t+@$(MAKE) -C tree\nkilled:\n\t+@-exec "$(JOBWRAP)" $(MAKE) %s\n' \
        '-f long.mk' >outer.mk
    printf 'all: 1 2 3\n1 2 3:\n\t@STAMP_MEET= "$(STAMP)" "$(LOG).long" $@ 30\n' >long.mk
    for make in make "$MAKE441"; do
        rm -f "$LOG" "$LOG.long"
        spawn "$make" -j4 -f outer.mk >said 2>&1
        outer=$spawned
        wait_for 20 lives_jobs 3 "$LOG.long"
        kill -s KILL "$(pgrep -P "$outer" -x jobwrap)"
        status_of "$outer" 60
        cat said
        [ "$status" = 0 ]
        run ! grep -i 'tokens\|jobserver' said
        exactly 4 60
    done
}

# with_group_jobserver COMMAND...: where there is one, as there is with a server in /dev.
with_group_jobserver() {
    cp /etc/group group
    grep -q '^jobserver:' group || echo 'jobserver:x:49152:' >>group
    unshare --mount --propagation private bash -euc \
        'mount --bind group /etc/group && exec "$@"' - "$@"
}

@test "builds of another user share a root's FIFO through the group jobserver, below steved" {
    require unshare
    at_once 4
    require_nobody "$STAMP"
    directory_for_all
    start_steved --jobs 4
    LOG=$OTHER/log
    touch "$LOG"
    chmod 0666 "$LOG"
    "$LIB/make-tree" "$OTHER/tree" 0.03 "$LOG"
    makefile outer.mk \
        "setpriv --reuid=65534 --regid=65534 --groups=\$(GID) make -C $OTHER/tree"
    gid=$(with_group_jobserver getent group jobserver | cut -d: -f3)
    says_nothing with_group_jobserver "$JOBWRAP" --parent="$SERVER" make -f outer.mk GID="$gid"
    exactly 4 60
    wait_for 10 steved_has free 4
    # Without the group there is no way in.
    run ! with_group_jobserver "$JOBWRAP" --parent="$SERVER" \
        setpriv --reuid=65534 --regid=65534 --clear-groups sh -c ': <>"$JOBWRAP_FIFO"'
}
