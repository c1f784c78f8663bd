# SPDX-License-Identifier: GPL-2.0-or-later
# A real emerge 3.0.73, which knows no jobserver, and the adapter. All that it takes for its system lies
# in a directory of the test.

# needs_the_plain_build: nearly all that runs is Python; portage.bats runs the shim under the sanitizers.
load ../lib/bash/common
load ../lib/bash/memory

setup() {
    common_setup
    require_root
    cd "$BATS_TEST_TMPDIR"
    PORTAGE=$("$LIB/fetch-portage" 3.0.73) || missing 'no portage==3.0.73 by pip'
    export LOG=$BATS_TEST_TMPDIR/log EMERGE_SHIM_REAL=$PORTAGE/bin/emerge NOCOLOR=true
    unset EMERGE_SHIM_STRICT EMERGE_SHIM_IMPLICIT PYTHONPATH PYTHONHOME FEATURES MAKEOPTS
    JOBSERVER_EMERGE=$BUILD/portage/jobserver-emerge
    FIFO=$BATS_TEST_TMPDIR/fifo
    : >"$LOG"
    memory_setup
}

# A package takes two seconds of CPU time on its way through Portage's phases, so there are few of them.

# prepare PACKAGES [NAME VALUE]...: with these variables in make.conf, and the job that the test has written.
prepare() {
    local count=$1 variables
    shift
    chmod +x job
    variables=$("$LIB/portage-prefix" "$PWD/system" "$PORTAGE" "$count" \
        JOB "$PWD/job" LOG "$LOG" STAMP "$STAMP" "$@")
    set -a
    eval "$variables"
    set +a
    PACKAGES=$(printf 'app-test/p%02d ' $(seq "$count"))
}

# ROOT tells Portage where to install.
emerge_all() {
    # shellcheck disable=SC2086 # words
    ROOT='' "$JOBSERVER_EMERGE" --strict --jobs=8 --nodeps "$@" $PACKAGES </dev/null >said 2>&1 3>&-
}

# job_meets N: all first N jobs live at once before one of them goes on; then they take SECONDS.
job_meets() {
    cat >job <<END
#!/usr/bin/env bash
if [ "\${2-}" = '' ]; then
    exec "\$STAMP" "\$LOG" "\$1" -- "\$0" "\$1" begun
fi
until [ "\$(grep -c ^start "\$LOG")" -ge $1 ]; do
    sleep 0.2
done
exec sleep $2
END
}

# job_builds: three jobs of make's or ninja's.
job_builds() {
    printf '.PHONY: all a b c\nall: a b c\na b c:\n\t@%s %s %s-$@ 1.5\n' "$STAMP" "$LOG" '$(NAME)' \
        >jobs.mk
    cat >job <<END
#!/usr/bin/env bash
set -eu
export STAMP_MEET=3
case \$1 in
*[13579]) exec '$MAKE441' -f '$PWD/jobs.mk' NAME="\$1" ;;
esac
printf 'rule job\n command = $STAMP $LOG %s-\$out 1.5\nbuild a: job\nbuild b: job\nbuild c: job\n' \
    "\$1" >build.ninja
NINJA_SHIM_REAL='$NINJA113' '$BUILD/ninja-shim/ninja'
[ "\$1" != p02 ]
END
}

# hook: what /etc/portage/bashrc sources. Of the cache it needs the directory.
hook() {
    sed "s|@shims@|$BUILD/ninja-shim|" "$ROOT/portage/config/bashrc.in" >system/prefix/etc/portage/bashrc
    mkdir -m 1777 system/prefix/var/cache/jobwrap
}

# phases PACKAGE...: all at once what emerge runs of each as its compile phase, without what it does besides.
phases() {
    local package
    for package in "$@"; do
        mkdir "$package"
        (
            cd "$package"
            env -i PATH=/usr/bin:/bin EBUILD_PHASE=compile PN="$package" EPREFIX="$SYSTEM" LOG="$LOG" \
                MAKEFLAGS="$MAKEFLAGS" bash -c '. "$EPREFIX/etc/portage/bashrc"; exec ../job "$PN"'
        ) &
    done
    wait
}

# job_needs_memory: in the group, when both packages have begun, one job of make's or ninja's.
job_needs_memory() {
    local cc="$PWD/bin/cc -DMIB=150 -DMS=600 -DHOLD_MS=300 -c heavy.c"
    printf 'heavy.o:; @%s -o $@\n' "$cc" >heavy.mk
    printf 'rule cc\n  command = %s -o $out\nbuild heavy.o: cc\n' "$cc" >heavy.ninja
    cat >job <<END
#!/usr/bin/env bash
set -eu
echo 0 >'$GROUP/cgroup.procs'
[ "\$JOBWRAP_MEMORY" = on ]
: >'$PWD'/begun."\$1"
until [ -e '$PWD/begun.p01' ] && [ -e '$PWD/begun.p02' ]; do sleep 0.05; done
case \$1 in
p01) MAKE_SHIM_REAL='$MAKE441' exec '$BUILD/ninja-shim/make' -f '$PWD/heavy.mk' ;;
*) NINJA_SHIM_REAL='$NINJA113' exec '$BUILD/ninja-shim/ninja' -f '$PWD/heavy.ninja' ;;
esac
END
}

merged() {
    find system/prefix/var/db/pkg/app-test -maxdepth 1 -name 'p*-1' 2>/dev/null | wc -l
}

# end_all_in DIRECTORY: whoever has its working directory there.
end_all_in() {
    local cwd pid
    for cwd in /proc/[0-9]*/cwd; do
        case $(readlink "$cwd" 2>/dev/null) in
        "$1"/*)
            pid=${cwd#/proc/}
            kill -s KILL "${pid%/cwd}" 2>/dev/null || true
            ;;
        esac
    done
}

@test 'emerge, and make and ninja in its jobs, share three tokens; a job that fails returns its own' {
    require_tool MAKE441 NINJA113
    make_fifo "$FIFO" 3
    job_builds
    prepare 4 MAKEFLAGS "--jobserver-auth=fifo:$FIFO"
    run -1 emerge_all --keep-going
    "$LIB/concurrency" --expect-exactly 3 --expect-jobs 12 "$LOG"
    fifo_has "$FIFO" 3
    [ "$(merged)" = 3 ]
}

@test 'below jobwrap builds of make and ninja, each of which alone would fit, wait for memory' {
    require_tool MAKE441 NINJA113
    limited_to 256
    job_needs_memory
    prepare 2
    hook
    # shellcheck disable=SC2086 # words
    ROOT='' "$JOBWRAP" -j4 --parent=none --style=fifo --memory=on --report=report -- \
        "$JOBSERVER_EMERGE" --strict --jobs=2 --nodeps $PACKAGES </dev/null >said 2>&1 3>&-
    kills_are 0
    [ "$(merged)" = 2 ]
    [ "$(grep -c '^end heavy.o' "$LOG")" = 2 ]
    # The two have known of each other: each alone would have taken its only job for the oldest.
    python3 -c 'import json; exit(json.load(open("report"))["memory"]["put_off"] == 0)'
    # What was learnt has not gone with HOME: now one waits for the other.
    rm begun.*
    export SYSTEM=$PWD/system/prefix
    export -f phases
    "$JOBWRAP" -j4 --parent=none --style=fifo --memory=on --report=report -- bash -euc 'phases p01 p02'
    kills_are 0
    [ "$(grep -c '^end heavy.o' "$LOG")" = 4 ]
    python3 -c 'import json; exit(json.load(open("report"))["memory"]["put_off"] != 0)'
}

@test 'MAKEFLAGS of the environment: a token and the implicit slot' {
    make_fifo "$FIFO" 1
    job_meets 2 1
    prepare 3
    MAKEFLAGS="--jobserver-auth=fifo:$FIFO" emerge_all
    "$LIB/concurrency" --expect-exactly 2 --expect-jobs 3 "$LOG"
    fifo_has "$FIFO" 1
    [ "$(merged)" = 3 ]
}

waits_at_steved() {
    [ "$(steved_get waiting)" -ge 1 ]
}

@test 'at steved, below who has the only token: the slot is paid for as soon as nobody else claims that' {
    cat >job <<END
#!/usr/bin/env bash
exec '$STAMP' '$LOG' "\$1" 0.05
END
    prepare 1
    mkfifo gate
    exec {gate}<>gate
    start_steved --jobs 1
    export JOBSERVER_EMERGE PACKAGES
    MAKEFLAGS="--jobserver-auth=fifo:$SERVER" spawn bash -euc "exec $gate>&-"'
        exec 3<>"$0"
        dd bs=1 count=1 <&3 >token 2>/dev/null
        "$JOBWRAP" -j1 -- "$STAMP" "$LOG" first -- sh -c ": >claimed; read -r _ <gate" 3>&- &
        until [ -e claimed ]; do sleep 0.01; done
        ROOT="" "$JOBSERVER_EMERGE" --strict --jobs=8 --nodeps $PACKAGES 3>&- </dev/null
        wait' "$SERVER" >said 2>&1
    wait_for 60 waits_at_steved || { cat said && return 1; }
    lives_jobs 1
    echo >&"$gate"
    status_of "$spawned" 120
    cat said
    [ "$status" = 0 ]
    "$LIB/concurrency" --expect-exactly 1 --expect-jobs 2 "$LOG"
    [ "$(merged)" = 1 ]
}

has_begun() {
    [ "$(grep -c ^start "$LOG")" -ge "$1" ]
}

# stopped_by SIGNAL PREFIX: while two jobs run; PREFIX '-' sends it to all that are in the foreground,
# as ^C does.
stopped_by() {
    make_fifo "$FIFO" 2
    job_meets 2 600
    prepare 3 MAKEFLAGS "--jobserver-auth=fifo:$FIFO"
    # shellcheck disable=SC2086 # words
    ROOT='' spawn setsid env --default-signal=INT "$JOBSERVER_EMERGE" --jobs=8 --nodeps $PACKAGES \
        </dev/null >said 2>&1
    wait_for 60 has_begun 2 || { cat said && return 1; }
    fifo_has "$FIFO" 0
    kill -s "$1" -- "${2-}$spawned"
    status_of "$spawned"
    wait_for 20 fifo_has "$FIFO" 2
    "$LIB/concurrency" --killed --expect-exactly 2 --expect-jobs 2 "$LOG"
}

@test 'interrupted: both tokens back' {
    stopped_by INT -
    [ "$status" = 130 ]
}

begins_below_jobwrap() {
    [ -e jobwrap-fifo ] && has_begun "$1"
}

@test 'killed below a jobwrap: what it held is held as long as its jobs run' {
    job_meets 2 600
    prepare 3
    export JOBSERVER_EMERGE PACKAGES
    # shellcheck disable=SC2016 # the inner shell's
    spawn "$JOBWRAP" -j2 --parent=none --style=fifo -- bash -euc 'echo "$JOBWRAP_FIFO" >jobwrap-fifo
        ROOT="" "$JOBSERVER_EMERGE" --strict --jobs=8 --nodeps $PACKAGES </dev/null & echo $! >emerge.pid
        until [ -e end ]; do sleep 0.01; done' >said 2>&1
    wait_for 120 begins_below_jobwrap 2 || { cat said && return 1; }
    SERVER=$(cat jobwrap-fifo)
    kill -s KILL "$(cat emerge.pid)"
    wait_for 10 has_ended "$(cat emerge.pid)"
    # Of the FIFO, the killed one, and who asks.
    [ "$(steved_get accounts)" = 3 ]
    [ "$(steved_get reclaimed)" = 0 ]
    awk '$1 == "start" { print $3 }' "$LOG" | xargs kill
    end_all_in "$PWD/system"
    end_all_in "$PWD/system"
    wait_for 20 steved_has accounts 2
    [ "$(steved_get reclaimed)" = 1 ]
    : >end
    status_of "$spawned"
    [ "$status" = 0 ]
    "$LIB/concurrency" --killed --expect-exactly 2 --expect-jobs 2 "$LOG"
}

@test 'killed: both tokens back' {
    stopped_by KILL
    [ "$status" = 137 ]
    # Its jobs run on.
    awk '$1 == "start" { print $3 }' "$LOG" | xargs kill
    end_all_in "$PWD/system"
    end_all_in "$PWD/system"
}
